"""Edit plans through the engine host: applied after the engine, before the look at the disk."""

import queue
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from maestro_actors.engine import CallOrder, Outcome, Usage
from maestro_runtime.edits import EditStep, SearchReplace, WholeFile, apply_plan
from maestro_runtime.engines import (
    Engine,
    EngineContext,
    EngineHost,
    EngineRegistry,
    EngineResult,
)
from maestro_runtime.workspace import Workspace

MakeOrder = Callable[..., CallOrder]
Serve = Callable[[Engine, CallOrder], Outcome]

USAGE = Usage(input_tokens=3, output_tokens=2, basis="provider")


class EditingEngine(Engine):
    """Returns the edits its test gives it, and sees what is there when it begins."""

    name = "editing"

    def __init__(self, edits: Any) -> None:
        self._edits = edits
        self.seen: dict[str, str] = {}

    def estimate(self, order: CallOrder) -> int:
        return 1

    async def run(self, order: CallOrder, context: EngineContext) -> EngineResult:
        self.seen = _tree(Path(order.workspace))
        return EngineResult(usage=USAGE, message="edited", edits=self._edits)

    async def recover(self, order: CallOrder) -> Usage | None:
        self.seen = _tree(Path(order.workspace))
        return USAGE


def _tree(root: Path) -> dict[str, str]:
    paths = (path for path in root.rglob("*") if path.is_file() and path.name != "lock")
    return {str(path.relative_to(root)): path.read_text() for path in paths}


@pytest.fixture
def order(make_order: MakeOrder) -> CallOrder:
    order = make_order("*.txt", persona={"engine": "editing"})
    Workspace(order.workspace).write_text("a.txt", "old" + "x" * 300)
    return order


GOOD = SearchReplace(path="a.txt", search="old", replace="new")
BAD = SearchReplace(path="a.txt", search="nowhere", replace="new")


def test_edits_are_in_place_when_the_artifacts_are_looked_at(
    order: CallOrder, serve: Serve
) -> None:
    outcome = serve(EditingEngine((GOOD, WholeFile(path="b.txt", content="x" * 30))), order)

    assert (outcome.failure, outcome.message, outcome.usage) == (None, "edited", USAGE)
    assert [(file.path, file.changed) for file in outcome.artifacts] == [
        ("a.txt", True),
        ("b.txt", True),
    ]
    # 333 bytes of files, 36 of edits, 3 bytes a token.
    assert outcome.tokens_saved == 111 - 12


def test_a_rejected_plan_is_malformed_output_with_the_reason_as_evidence(
    order: CallOrder, serve: Serve
) -> None:
    before = _tree(Path(order.workspace))

    outcome = serve(EditingEngine((GOOD, BAD)), order)

    assert outcome.failure == "malformed_output"
    rejection = "edit 2 of 'a.txt' cannot be applied: search must be found in one place, found in 0"
    assert outcome.evidence == (f"output is malformed: {rejection}",)
    assert (outcome.usage, outcome.message, outcome.tokens_saved) == (USAGE, "edited", 0)
    assert not outcome.engine_fault
    assert _tree(Path(order.workspace)) == before


@pytest.mark.parametrize("edits", [3, [3], [SearchReplace(path=3, search="", replace="")]])  # type: ignore[arg-type] # what foreign code may do
def test_edits_that_are_none_are_malformed_output(
    order: CallOrder, serve: Serve, edits: Any
) -> None:
    outcome = serve(EditingEngine(edits), order)

    assert outcome.failure == "malformed_output"
    assert outcome.usage == USAGE
    assert outcome.evidence[0].startswith("output is malformed: edits returned by engine: Expected")


def test_a_disk_that_refuses_costs_the_attempt_but_not_the_count_of_tokens(
    order: CallOrder, serve: Serve
) -> None:
    root = Path(order.workspace)
    (root / ".maestro").mkdir()
    (root / ".maestro/edits").write_text("in the way")

    outcome = serve(EditingEngine((GOOD,)), order)

    assert outcome.failure == "transient"
    assert outcome.usage == USAGE
    assert "'edits' is a link or a file" in outcome.evidence[0]


class Cut(BaseException):
    """Stands for the end of the process."""


class CutOnceJournalled:
    def reached(self, step: EditStep) -> None:
        if step == "journalled":
            raise Cut


@pytest.fixture
def cut_short(order: CallOrder) -> CallOrder:
    """An order whose workspace has a plan of a call that was cut short."""
    plan = (GOOD, WholeFile(path="c.txt", content="c"))
    with pytest.raises(Cut):
        apply_plan(Workspace(order.workspace), "f" * 32, plan, CutOnceJournalled())
    return order


AFTER = {"a.txt": "new" + "x" * 300, "c.txt": "c"}


@pytest.mark.parametrize("globs", [(), ("*.txt",)])
def test_an_engine_never_meets_a_plan_that_is_half_applied(
    cut_short: CallOrder, make_order: MakeOrder, serve: Serve, globs: tuple[str, ...]
) -> None:
    engine = EditingEngine(None)

    outcome = serve(engine, make_order(*globs, persona={"engine": "editing"}))

    assert engine.seen == AFTER
    assert (outcome.failure, outcome.evidence) == (None, ())


def test_what_a_crash_left_and_cannot_be_finished_is_told_in_the_evidence(
    cut_short: CallOrder, serve: Serve
) -> None:
    Workspace(cut_short.workspace).write_text("a.txt", "theirs")

    outcome = serve(EditingEngine(None), cut_short)

    assert outcome.failure is None
    assert outcome.evidence == (
        f"edit plan of call {'f' * 32}: 'a.txt' stays as it is: somebody has changed it since",
    )


@pytest.fixture
def recover() -> Iterator[Callable[[Engine, CallOrder], Usage | None]]:
    hosts = []

    def ask(engine: Engine, order: CallOrder) -> Usage | None:
        hosts.append(EngineHost(EngineRegistry([engine])))
        answers: queue.Queue[Usage | None] = queue.Queue()
        hosts[-1].recover(order, answers.put)
        return answers.get(timeout=30)

    yield ask
    for host in hosts:
        host.close(grace_seconds=1)


def test_recovering_a_call_finishes_the_plan_it_was_applying(
    cut_short: CallOrder, recover: Callable[[Engine, CallOrder], Usage | None]
) -> None:
    engine = EditingEngine(None)

    assert recover(engine, cut_short) == USAGE
    assert engine.seen == AFTER


def test_a_plan_that_cannot_be_finished_does_not_keep_a_call_from_being_recovered(
    cut_short: CallOrder, recover: Callable[[Engine, CallOrder], Usage | None]
) -> None:
    edits = Path(cut_short.workspace) / ".maestro/edits"
    (edits / "lock").unlink()
    (edits / "lock").mkdir()

    assert recover(EditingEngine(None), cut_short) == USAGE
