import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from maestro_actors.engine import CallOrder
from maestro_runtime.engines import SCRIPT_STEPS, EngineContext
from maestro_runtime.engines.errors import (
    EngineCrashed,
    EngineError,
    MalformedOutput,
    Permanent,
    RateLimited,
    Refused,
    Transient,
)
from maestro_runtime.engines.rehearsal import RehearsalEngine

MakeOrder = Callable[..., CallOrder]
RunEngine = Callable[[RehearsalEngine, CallOrder], Any]


def _tree(root: str) -> dict[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in Path(root).rglob("*")
        if path.is_file()
    }


def test_every_glob_of_the_contract_gets_a_file(
    make_order: MakeOrder, run_engine: RunEngine
) -> None:
    order = make_order("src/*.py", "docs/**/*.md", "data.json")

    run_engine(RehearsalEngine(), order)

    assert sorted(_tree(order.workspace)) == [
        "data.json",
        "docs/part_docs_md.md",
        "src/part_src_py.py",
    ]


def test_the_same_seed_writes_the_same_bytes_in_every_session_and_attempt(
    make_order: MakeOrder, run_engine: RunEngine, tmp_path: Path
) -> None:
    first = make_order("a.py", "b.md")
    again = msgspec.structs.replace(
        first, session_id="s-2", ordinal=3, call_id="1" * 32, workspace=str(tmp_path / "again")
    )
    other = msgspec.structs.replace(first, seed=1, workspace=str(tmp_path / "other"))

    for order in (first, again, other):
        run_engine(RehearsalEngine(), order)

    assert _tree(first.workspace) == _tree(again.workspace)
    assert _tree(first.workspace) != _tree(other.workspace)


def test_the_estimate_is_what_a_good_attempt_uses(
    make_order: MakeOrder, run_engine: RunEngine
) -> None:
    order = make_order("a.py", "b.md")

    result = run_engine(RehearsalEngine(), order)

    assert RehearsalEngine().estimate(order) == result.usage.total
    assert result.usage.basis == "estimated"
    assert result.usage.input_tokens > 0 < result.usage.output_tokens


@pytest.mark.parametrize(
    ("step", "error"),
    [
        ("transient", Transient),
        ("rate_limited", RateLimited),
        ("malformed", MalformedOutput),
        ("refused", Refused),
        ("permanent", Permanent),
        ("crash", EngineCrashed),
    ],
)
def test_a_scripted_failure_is_raised_with_its_usage(
    make_order: MakeOrder, run_engine: RunEngine, step: str, error: type[EngineError]
) -> None:
    order = make_order("a.py", persona={"script": ("ok", step)}, ordinal=2)

    with pytest.raises(error) as caught:
        run_engine(RehearsalEngine(), order)

    assert str(caught.value).endswith("rehearsed in attempt 2")
    assert caught.value.usage is not None
    assert caught.value.usage.input_tokens > 0
    assert not Path(order.workspace).exists()


def test_the_step_missing_leaves_out_one_deliverable(
    make_order: MakeOrder, run_engine: RunEngine
) -> None:
    order = make_order("a.py", "b.md", persona={"script": ("missing",)})

    run_engine(RehearsalEngine(), order)

    assert list(_tree(order.workspace)) == ["a.py"]


@pytest.mark.parametrize(
    ("step", "begins", "ends"),
    [
        ("fenced", b"```\n{", b"}\n```\n"),
        ("trailing_comma", b"{", b",\n}\n"),
        ("broken", b"<", b"}\n"),
    ],
)
def test_a_step_that_spoils_files_leaves_them_spoilt(
    make_order: MakeOrder, run_engine: RunEngine, step: str, begins: bytes, ends: bytes
) -> None:
    order = make_order("a.json", persona={"script": (step,)})

    run_engine(RehearsalEngine(), order)

    (content,) = _tree(order.workspace).values()
    assert (content[: len(begins)], content[-len(ends) :]) == (begins, ends)
    with pytest.raises(ValueError, match=r"Expecting|Illegal"):
        json.loads(content)


def test_the_step_unchanged_writes_nothing(make_order: MakeOrder, run_engine: RunEngine) -> None:
    order = make_order("a.py", persona={"script": ("unchanged",)})

    assert run_engine(RehearsalEngine(), order).message == "rehearsed 0 files"
    assert not Path(order.workspace).exists()


def test_only_what_is_in_scope_is_written_and_estimated(
    make_order: MakeOrder, run_engine: RunEngine
) -> None:
    whole, part = make_order("a.py", "b.md"), make_order("a.py", "b.md", scope=("b.md",))

    result = run_engine(RehearsalEngine(), part)

    assert list(_tree(part.workspace)) == ["b.md"]
    assert RehearsalEngine().estimate(part) == result.usage.total
    assert RehearsalEngine().estimate(part) < RehearsalEngine().estimate(whole)


def test_an_attempt_beyond_the_script_is_ok(make_order: MakeOrder, run_engine: RunEngine) -> None:
    order = make_order("a.py", persona={"script": ("crash",)}, ordinal=2)

    assert run_engine(RehearsalEngine(), order).message == "rehearsed 1 files"


def test_the_step_hang_ends_only_when_it_is_cancelled(
    make_order: MakeOrder, context: EngineContext
) -> None:
    order = make_order("a.py", persona={"script": ("hang",)})

    async def main() -> bool:
        task = asyncio.create_task(RehearsalEngine().run(order, context))
        for _ in range(10):
            await asyncio.sleep(0)
        hangs = not task.done()
        task.cancel()
        await asyncio.wait({task})
        return hangs and task.cancelled()

    assert asyncio.run(main())
    assert context.usage.input_tokens > 0


def test_every_step_of_the_script_is_known_to_the_preflight(make_order: MakeOrder) -> None:
    good = make_order(persona={"script": SCRIPT_STEPS}).persona
    bad = make_order(persona={"script": ("explode",)}).persona

    assert RehearsalEngine().preflight(good).ok
    assert RehearsalEngine().preflight(bad).detail == (
        f"script step must be one of {', '.join(SCRIPT_STEPS)}, got 'explode'"
    )
