"""What a call makes of checks and repairs: when they run, and how they are stopped."""

import asyncio
import queue
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from maestro_actors import checks
from maestro_actors.checks import CheckResult
from maestro_actors.engine import CallOrder, Outcome, ProcessIdentity, Usage
from maestro_runtime.edits import SearchReplace, WholeFile
from maestro_runtime.engines import (
    Engine,
    EngineContext,
    EngineHost,
    EngineRegistry,
    EngineResult,
    Transient,
)
from maestro_runtime.engines.protocol import Mending
from maestro_runtime.workspace import Fingerprint, Workspace

PASS = CheckResult(
    index=0,
    name="exists",
    kind="exists",
    required=True,
    verdict="pass",
    score=1.0,
    expected="",
    got="",
)


class StubChecker:
    """Says that all is well, at once or never."""

    def __init__(self) -> None:
        self.orders: list[CallOrder] = []
        self.before: list[Mapping[str, Fingerprint]] = []
        self.begun = threading.Event()
        self.endless = False
        self.meanwhile: Callable[[], object] | None = None
        """What somebody else does while the second look is taken."""
        self.closed = False

    async def check(
        self, order: CallOrder, before: Mapping[str, Fingerprint], context: EngineContext
    ) -> tuple[CheckResult, ...]:
        assert context.usage.input_tokens == 7
        self.orders.append(order)
        self.before.append(before)
        self.begun.set()
        if self.endless:
            await asyncio.Event().wait()
        if self.meanwhile is not None and len(self.orders) == 2:
            self.meanwhile()
        return (PASS,)

    async def close(self) -> None:
        self.closed = True


class StubMender:
    """Repairs by the edits of its test, at once or never."""

    def __init__(self) -> None:
        self.mending = Mending(notes=("looked",))
        self.outcomes: list[Outcome] = []
        self.begun = threading.Event()
        self.endless = False
        self.error: Exception | None = None
        self.closed = False

    async def mend(self, order: CallOrder, outcome: Outcome, context: EngineContext) -> Mending:
        self.outcomes.append(outcome)
        self.begun.set()
        if self.endless:
            await asyncio.Event().wait()
        if self.error is not None:
            raise self.error
        return self.mending

    async def close(self) -> None:
        self.closed = True


class CheckedHost:
    """A host with a checker and a mender, and an engine that does what the test says."""

    def __init__(self) -> None:
        self.checker = StubChecker()
        self.mender = StubMender()
        self.host = EngineHost(EngineRegistry([WritingEngine()]), self.checker, self.mender)
        self.outcomes: queue.Queue[Outcome] = queue.Queue()

    def submit(self, order: CallOrder) -> None:
        async def recorded(process: ProcessIdentity) -> None:
            """Accept any process at once."""

        self.host.submit(order, self.outcomes.put, recorded)

    def answer(self) -> Outcome:
        return self.outcomes.get(timeout=20)


@pytest.fixture
def checked() -> Iterator[CheckedHost]:
    host = CheckedHost()
    yield host
    host.host.close(grace_seconds=1)


class WritingEngine(Engine):
    """Writes `a.md`, or does what the persona's options say instead."""

    name = "writing"

    def estimate(self, order: CallOrder) -> int:
        return 0

    async def run(self, order: CallOrder, context: EngineContext) -> EngineResult:
        if order.persona.options.get("fails"):
            raise Transient("no idea")
        if order.persona.options.get("writes", True):
            Workspace(order.workspace).write_text("a.md", "a")
        return EngineResult(usage=Usage(input_tokens=7), message="wrote `a.md` and `b.md`")


def order_with_checks(make_order: Any, *globs: str, **options: Any) -> CallOrder:
    persona = {"engine": "writing", "options": options}
    order: CallOrder = make_order(*globs, persona=persona)
    owed = (checks.Exists(), checks.ChangedSinceStart(files=("*.txt",)))
    return msgspec.structs.replace(
        order, contract=msgspec.structs.replace(order.contract, checks=owed)
    )


def test_the_results_and_the_unfounded_claims_travel_in_the_outcome(
    checked: CheckedHost, make_order: Any
) -> None:
    checked.submit(order_with_checks(make_order, "*.md"))

    outcome = checked.answer()

    assert (outcome.failure, outcome.checks) == (None, (PASS,))
    assert outcome.claimed_missing == ("b.md",)
    assert outcome.evidence == ("engine names 'b.md', and there is no such file",)


def test_what_a_check_compares_with_is_looked_at_before_the_engine(
    checked: CheckedHost, make_order: Any, tmp_path: Path
) -> None:
    (tmp_path / "workspace").mkdir()
    (tmp_path / "workspace" / "old.txt").write_text("old")
    checked.submit(order_with_checks(make_order, "*.md"))

    outcome = checked.answer()

    assert [list(before) for before in checked.checker.before] == [["old.txt"]]
    assert [artifact.path for artifact in outcome.artifacts] == ["a.md"]


def test_checks_run_although_a_file_is_missing_so_that_all_is_told_at_once(
    checked: CheckedHost, make_order: Any
) -> None:
    checked.submit(order_with_checks(make_order, "*.md", writes=False))

    outcome = checked.answer()

    assert outcome.failure == "missing_deliverable"
    assert outcome.checks == (PASS,)


def test_after_an_engine_that_failed_nothing_is_checked(
    checked: CheckedHost, make_order: Any
) -> None:
    checked.submit(order_with_checks(make_order, "*.md", fails=True))

    assert checked.answer().failure == "transient"
    assert checked.checker.orders == []


def test_a_contract_with_checks_alone_is_checked_too(checked: CheckedHost, make_order: Any) -> None:
    checked.submit(order_with_checks(make_order))

    assert checked.answer().checks == (PASS,)


@pytest.mark.parametrize("how", ["cancelled", "closed"])
def test_a_call_that_is_stopped_while_it_is_checked_is_interrupted_and_keeps_its_tokens(
    checked: CheckedHost, make_order: Any, how: str
) -> None:
    checked.checker.endless = True
    order = order_with_checks(make_order, "*.md")
    checked.submit(order)
    assert checked.checker.begun.wait(timeout=20)

    if how == "cancelled":
        checked.host.cancel(order.call_id)
    else:
        checked.host.close(grace_seconds=5)
    outcome = checked.answer()

    assert outcome.failure == "interrupted"
    assert outcome.usage == Usage(input_tokens=7)


def test_the_checker_is_closed_with_its_host(checked: CheckedHost, make_order: Any) -> None:
    checked.submit(order_with_checks(make_order, "*.md"))
    checked.answer()

    checked.host.close(grace_seconds=1)

    assert checked.checker.closed
    assert checked.mender.closed


def test_nothing_is_repaired_where_nothing_is_wrong_or_the_engine_failed(
    checked: CheckedHost, make_order: Any
) -> None:
    checked.submit(order_with_checks(make_order, "*.md"))
    assert checked.answer().failure is None
    checked.submit(order_with_checks(make_order, "*.md", fails=True))
    assert checked.answer().failure == "transient"

    assert checked.mender.outcomes == []


def test_after_a_repair_files_and_checks_are_looked_at_anew(
    checked: CheckedHost, make_order: Any
) -> None:
    edit = WholeFile(path="a.md", content="mended")
    checked.mender.mending = Mending(edits=(edit,), notes=("mended",))
    checked.submit(order_with_checks(make_order, "*.md", writes=False))

    outcome = checked.answer()

    assert (outcome.failure, outcome.healing) == (None, ("mended",))
    assert [(file.path, file.size_bytes) for file in outcome.artifacts] == [("a.md", 6)]
    assert len(checked.checker.orders) == 2
    (seen,) = checked.mender.outcomes
    assert seen.missing == ("*.md",)


@pytest.mark.parametrize("written", [None, "theirs"])
def test_a_file_created_in_vain_is_removed_unless_somebody_has_filled_it(
    checked: CheckedHost, make_order: Any, tmp_path: Path, written: str | None
) -> None:
    place = tmp_path / "workspace" / "b.txt"
    edit = WholeFile(path="b.txt", content="")
    checked.mender.mending = Mending(edits=(edit,), created=("b.txt",))
    if written is not None:
        checked.checker.meanwhile = lambda: place.write_text(written)
    checked.submit(order_with_checks(make_order, "*.md", writes=False))

    outcome = checked.answer()

    assert outcome.failure == "missing_deliverable"
    assert outcome.healing == ("created in vain: b.txt",)
    assert (place.read_text() if place.exists() else None) == written


def test_a_repair_that_cannot_be_found_or_made_costs_nothing(
    checked: CheckedHost, make_order: Any
) -> None:
    checked.mender.error = Transient("no process")
    checked.submit(order_with_checks(make_order, "*.md", writes=False))
    assert checked.answer().healing == ("repair failed: engine failed: no process",)

    checked.mender.error = PermissionError(13, "Permission denied")
    checked.submit(order_with_checks(make_order, "*.md", writes=False))
    outcome = checked.answer()
    assert outcome.failure == "missing_deliverable"
    assert outcome.healing == ("repair failed: [Errno 13] Permission denied",)

    checked.mender.error = None
    checked.mender.mending = Mending(edits=(SearchReplace(path="no", search="x", replace="y"),))
    checked.submit(order_with_checks(make_order, "*.md", writes=False))
    outcome = checked.answer()
    assert outcome.failure == "missing_deliverable"
    assert outcome.healing[0].startswith("repair failed: edit 1 of 'no' cannot be applied: ")


def test_a_call_that_is_stopped_while_it_is_repaired_is_interrupted_and_keeps_its_tokens(
    checked: CheckedHost, make_order: Any
) -> None:
    checked.mender.endless = True
    order = order_with_checks(make_order, "*.md", writes=False)
    checked.submit(order)
    assert checked.mender.begun.wait(timeout=20)

    checked.host.cancel(order.call_id)
    outcome = checked.answer()

    assert outcome.failure == "interrupted"
    assert outcome.usage == Usage(input_tokens=7)
