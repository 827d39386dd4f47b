import asyncio
import queue
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from maestro_actors.engine import CallOrder, Outcome, ProcessIdentity, Usage
from maestro_runtime.engines import (
    CallInFlight,
    EngineContext,
    EngineHost,
    EngineRegistry,
    EngineResult,
    HostClosed,
    Transient,
    _call,
)
from maestro_runtime.engines.protocol import Engine
from maestro_runtime.engines.rehearsal import RehearsalEngine
from maestro_runtime.workspace import _manifest

MakeOrder = Callable[..., CallOrder]
Behaviour = Callable[[CallOrder, EngineContext], Any]


class ProbeEngine(Engine):
    """Does what its test says."""

    name = "probe"

    def __init__(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour
        self.runs = threading.Semaphore(0)
        self.closed = False

    def estimate(self, order: CallOrder) -> int:
        return 1

    async def run(self, order: CallOrder, context: EngineContext) -> EngineResult:
        self.runs.release()
        result: EngineResult = await self._behaviour(order, context)
        return result

    async def recover(self, order: CallOrder) -> Usage | None:
        raise Transient("no record")

    async def close(self) -> None:
        self.closed = True


class Bench:
    """A host with one probe engine, and what it answered."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.engine = ProbeEngine(behaviour)
        self.host = EngineHost(EngineRegistry([self.engine, RehearsalEngine()]))
        self.outcomes: queue.Queue[Outcome] = queue.Queue()
        self.processes: list[ProcessIdentity] = []

    async def _started(self, process: ProcessIdentity) -> None:
        self.processes.append(process)

    def submit(self, order: CallOrder) -> None:
        self.host.submit(order, self.outcomes.put, self._started)

    def serve(self, order: CallOrder) -> Outcome:
        self.submit(order)
        return self.outcomes.get(timeout=20)

    def begun(self) -> None:
        assert self.engine.runs.acquire(timeout=20)


@pytest.fixture
def bench() -> Iterator[Callable[[Behaviour], Bench]]:
    benches = []

    def make(behaviour: Behaviour) -> Bench:
        made = Bench(behaviour)
        benches.append(made)
        return made

    yield make
    for made in benches:
        made.host.close(grace_seconds=1)


@pytest.fixture
def order(make_order: MakeOrder) -> CallOrder:
    return make_order(persona={"engine": "probe"})


async def _hang(order: CallOrder, context: EngineContext) -> EngineResult:
    context.usage = Usage(input_tokens=7)
    await asyncio.Event().wait()
    raise AssertionError


async def _ok(order: CallOrder, context: EngineContext) -> EngineResult:
    return EngineResult(usage=Usage(output_tokens=2), message="fine")


def test_a_call_without_deliverables_does_not_touch_the_disk(
    bench: Callable[[Behaviour], Bench], order: CallOrder
) -> None:
    # Those of other tests may be about to end.
    before = set(threading.enumerate())

    outcome = bench(_ok).serve(order)

    assert outcome.failure is None
    assert outcome.message == "fine"
    assert outcome.usage == Usage(output_tokens=2)
    assert not Path(order.workspace).exists()
    started = [thread.name for thread in threading.enumerate() if thread not in before]
    assert started == ["engines"]


def test_artifacts_are_what_is_on_disk_and_changes_are_marked(
    bench: Callable[[Behaviour], Bench], make_order: MakeOrder
) -> None:
    order = make_order("old.txt", "new.txt", persona={"engine": "probe"})
    root = Path(order.workspace)
    root.mkdir()
    (root / "old.txt").write_text("before")

    async def write(order: CallOrder, context: EngineContext) -> EngineResult:
        (root / "new.txt").write_text("x")
        return EngineResult()

    outcome = bench(write).serve(order)

    assert outcome.failure is None
    assert [(artifact.path, artifact.changed) for artifact in outcome.artifacts] == [
        ("new.txt", True),
        ("old.txt", False),
    ]


def test_a_glob_without_a_file_fails_the_call_by_name(
    bench: Callable[[Behaviour], Bench], make_order: MakeOrder
) -> None:
    outcome = bench(_ok).serve(make_order("a.txt", persona={"engine": "probe"}))

    assert outcome.failure == "missing_deliverable"
    assert outcome.missing == ("a.txt",)
    assert outcome.evidence == ("deliverable 'part a.txt': no file matches 'a.txt'",)
    assert not outcome.engine_fault


def test_files_that_are_no_artifacts_are_evidence(
    bench: Callable[[Behaviour], Bench], make_order: MakeOrder
) -> None:
    order = make_order("a.txt", persona={"engine": "probe"})
    Path(order.workspace).mkdir()
    Path(order.workspace, "a.txt").symlink_to("/etc/hostname")

    outcome = bench(_ok).serve(order)

    assert outcome.failure == "missing_deliverable"
    assert outcome.evidence[-1] == "refused: 'a.txt' is a symbolic link"


def test_too_many_artifacts_end_the_call_with_the_usage_it_had(
    bench: Callable[[Behaviour], Bench], make_order: MakeOrder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_manifest, "FILES_MAX", 1)
    order = make_order("*.txt", persona={"engine": "probe"})
    root = Path(order.workspace)
    root.mkdir()

    async def write(order: CallOrder, context: EngineContext) -> EngineResult:
        (root / "a.txt").write_text("x")
        (root / "b.txt").write_text("x")
        return EngineResult(usage=Usage(output_tokens=2))

    outcome = bench(write).serve(order)

    assert outcome.failure == "limit"
    assert outcome.usage == Usage(output_tokens=2)
    assert outcome.evidence == ("artifacts exceed the limit of 1 files",)


def test_a_glob_that_escapes_ends_the_call_before_the_engine_runs(
    bench: Callable[[Behaviour], Bench], make_order: MakeOrder
) -> None:
    outcome = bench(_ok).serve(make_order("../a", persona={"engine": "probe"}))

    assert outcome.failure == "permanent"
    assert outcome.usage == Usage()


def test_a_call_beyond_its_limit_is_stopped_and_its_usage_booked(
    bench: Callable[[Behaviour], Bench], make_order: MakeOrder
) -> None:
    order = make_order(persona={"engine": "probe", "timeout_seconds": 0.05})

    outcome = bench(_hang).serve(order)

    assert (outcome.failure, outcome.engine_fault) == ("transient", True)
    assert outcome.usage == Usage(input_tokens=7)
    assert outcome.evidence == ("call timed out: exceeded its limit of 0.05 s",)


def test_a_cancelled_call_is_answered_as_interrupted_after_the_engine_has_ended(
    bench: Callable[[Behaviour], Bench], order: CallOrder
) -> None:
    ended = threading.Event()

    async def hang(order: CallOrder, context: EngineContext) -> EngineResult:
        try:
            return await _hang(order, context)
        finally:
            await asyncio.sleep(0)
            ended.set()

    made = bench(hang)
    made.submit(order)
    made.begun()
    made.host.cancel(order.call_id)
    outcome = made.outcomes.get(timeout=20)

    assert ended.is_set()
    assert outcome.failure == "interrupted"
    assert outcome.evidence == ("call was cancelled",)
    assert outcome.usage == Usage(input_tokens=7)


def test_a_call_cancelled_before_it_begins_never_reaches_the_engine(
    bench: Callable[[Behaviour], Bench], order: CallOrder
) -> None:
    gate = threading.Event()

    async def block(order: CallOrder, context: EngineContext) -> EngineResult:
        gate.wait(20)
        return EngineResult()

    made = bench(block)
    first = msgspec.structs.replace(order, call_id="1" * 32)
    made.submit(first)
    made.begun()
    made.submit(order)
    made.host.cancel(order.call_id)
    gate.set()
    outcomes = [made.outcomes.get(timeout=20), made.outcomes.get(timeout=20)]

    assert sorted(str(outcome.failure) for outcome in outcomes) == ["None", "interrupted"]
    assert not made.engine.runs.acquire(blocking=False)


def test_cancelling_an_unknown_call_does_nothing(
    bench: Callable[[Behaviour], Bench], order: CallOrder
) -> None:
    made = bench(_ok)

    made.host.cancel("none")

    assert made.serve(order).failure is None


def test_an_engine_that_does_not_stop_is_left_behind_visibly(
    bench: Callable[[Behaviour], Bench], make_order: MakeOrder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_call, "ABANDON_SECONDS", 0.05)
    gate = asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def stubborn(order: CallOrder, context: EngineContext) -> EngineResult:
        loops.append(asyncio.get_running_loop())
        while not gate.is_set():
            try:
                await gate.wait()
            except asyncio.CancelledError:
                continue
        return EngineResult()

    made = bench(stubborn)
    outcome = made.serve(make_order(persona={"engine": "probe", "timeout_seconds": 0.05}))

    assert outcome.failure == "transient"
    assert outcome.evidence[1] == "engine did not stop within 0.05 s"
    loops[0].call_soon_threadsafe(gate.set)


@pytest.mark.parametrize(
    ("result", "evidence"),
    [
        (None, "output is malformed: engine must return an EngineResult, got NoneType"),
        (
            EngineResult(usage=Usage(input_tokens=-1)),
            "engine miscounts: input_tokens must be an integer of at least 0, got -1",
        ),
        (
            EngineResult(usage=Usage(input_tokens=1, cache_read_tokens=2)),
            "engine miscounts: input_tokens must have the cached 2 tokens in it, got 1",
        ),
    ],
)
def test_an_engine_is_held_to_its_protocol(
    bench: Callable[[Behaviour], Bench], order: CallOrder, result: Any, evidence: str
) -> None:
    async def answer(order: CallOrder, context: EngineContext) -> Any:
        return result

    outcome = bench(answer).serve(order)

    assert outcome.failure == "malformed_output"
    assert outcome.evidence == (evidence,)


@pytest.mark.parametrize("usage", [Usage(input_tokens=-5), Usage(output_tokens=1 << 60), None])
@pytest.mark.parametrize("way", ["returns", "raises", "is stopped"])
def test_whoever_counts_wrong_is_booked_with_the_reservation_however_the_call_ends(
    bench: Callable[[Behaviour], Bench], make_order: Callable[..., CallOrder], way: str, usage: Any
) -> None:
    async def miscount(order: CallOrder, context: EngineContext) -> EngineResult:
        context.usage = usage
        if way == "raises":
            raise LookupError
        if way == "is stopped":
            await asyncio.Event().wait()
        return EngineResult(usage=usage)

    order = make_order(persona={"engine": "probe", "timeout_seconds": 0.05}, token_budget=70)
    outcome = bench(miscount).serve(order)

    assert outcome.usage == Usage(input_tokens=70, basis="reserved")
    assert outcome.failure == ("malformed_output" if way == "returns" else "transient")
    assert outcome.evidence[-1].startswith("engine miscounts: ")


def test_an_exception_is_shown_by_type_and_text_cut_short_and_encodable(
    bench: Callable[[Behaviour], Bench], order: CallOrder
) -> None:
    async def fail(order: CallOrder, context: EngineContext) -> EngineResult:
        context.usage = Usage(input_tokens=7)
        raise LookupError("\ud800" + "x" * 100_000)

    outcome = bench(fail).serve(order)

    assert (outcome.failure, outcome.engine_fault) == ("transient", False)
    assert outcome.usage == Usage(input_tokens=7)
    assert outcome.evidence[0].startswith("LookupError: ?xxx")
    assert len(outcome.evidence[0]) == 4_000
    msgspec.msgpack.encode(outcome)


@pytest.mark.parametrize("pause_seconds", [-1.0, float("nan"), float("inf"), 1e9])
def test_a_pause_that_makes_no_sense_is_not_passed_on(
    bench: Callable[[Behaviour], Bench], order: CallOrder, pause_seconds: float
) -> None:
    async def fail(order: CallOrder, context: EngineContext) -> EngineResult:
        raise Transient("x", retry_after_seconds=pause_seconds)

    assert bench(fail).serve(order).retry_after_seconds is None


def test_an_engine_that_cancels_itself_has_failed(
    bench: Callable[[Behaviour], Bench], order: CallOrder
) -> None:
    async def fail(order: CallOrder, context: EngineContext) -> EngineResult:
        raise asyncio.CancelledError

    outcome = bench(fail).serve(order)

    assert outcome.failure == "transient"
    assert outcome.evidence == ("call failed: engine cancelled its own call",)


def test_a_cancellation_that_an_engine_leaves_pending_hits_nothing_after_it(
    bench: Callable[[Behaviour], Bench], make_order: MakeOrder
) -> None:
    async def rash(order: CallOrder, context: EngineContext) -> EngineResult:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        (Path(order.workspace) / "a.txt").write_text("a")
        return EngineResult(message="done")

    made = bench(rash)
    order = make_order("a.txt", persona={"engine": "probe"})
    Path(order.workspace).mkdir(exist_ok=True)

    outcome = made.serve(order)

    assert outcome.failure is None
    assert [artifact.path for artifact in outcome.artifacts] == ["a.txt"]


def test_an_unknown_engine_is_a_permanent_failure(
    bench: Callable[[Behaviour], Bench], make_order: MakeOrder
) -> None:
    outcome = bench(_ok).serve(make_order(persona={"engine": "none"}))

    assert outcome.failure == "permanent"
    assert "unknown engine: must be one of" in outcome.evidence[0]


def test_a_call_in_flight_is_not_taken_twice(
    bench: Callable[[Behaviour], Bench], order: CallOrder
) -> None:
    made = bench(_hang)
    made.submit(order)

    with pytest.raises(CallInFlight):
        made.submit(order)


def test_a_call_can_be_submitted_again_once_it_is_answered(
    bench: Callable[[Behaviour], Bench], order: CallOrder
) -> None:
    made = bench(_ok)

    assert made.serve(order).failure is made.serve(order).failure is None


def test_closing_answers_every_call_closes_the_engines_and_ends_the_thread(
    bench: Callable[[Behaviour], Bench], order: CallOrder
) -> None:
    before = set(threading.enumerate())
    made = bench(_hang)
    for number in range(3):
        made.submit(msgspec.structs.replace(order, call_id=f"{number:032x}"))
    made.begun()

    made.host.close(grace_seconds=5)

    outcomes = [made.outcomes.get_nowait() for _ in range(3)]
    assert {outcome.failure for outcome in outcomes} == {"interrupted"}
    assert {outcome.evidence for outcome in outcomes} == {("engine host was closed",)}
    assert made.engine.closed
    assert set(threading.enumerate()) <= before
    with pytest.raises(HostClosed):
        made.submit(order)
    with pytest.raises(HostClosed):
        made.host.recover(order, print)
    made.host.close(grace_seconds=5)


def test_a_host_that_served_nothing_starts_no_thread(
    bench: Callable[[Behaviour], Bench],
) -> None:
    before = set(threading.enumerate())
    made = bench(_ok)

    made.host.close(grace_seconds=0)

    assert set(threading.enumerate()) <= before


def test_recovery_always_answers_even_if_the_engine_fails(
    bench: Callable[[Behaviour], Bench], order: CallOrder, caplog: pytest.LogCaptureFixture
) -> None:
    answers: queue.Queue[Usage | None] = queue.Queue()

    bench(_ok).host.recover(order, answers.put)

    assert answers.get(timeout=20) is None
    assert "engine 'probe' failed to recover a call" in caplog.text


def test_many_calls_from_many_threads_are_each_answered_once(
    bench: Callable[[Behaviour], Bench], order: CallOrder
) -> None:
    made = bench(_ok)
    answered: queue.Queue[int] = queue.Queue()

    def submit(first: int) -> None:
        for number in range(first, first + 250):
            made.host.submit(
                msgspec.structs.replace(order, call_id=f"{number:032x}"),
                lambda outcome, number=number: answered.put(number),  # type: ignore[misc]  # bound default
                made._started,
            )

    threads = [threading.Thread(target=submit, args=(n * 250,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)

    assert sorted(answered.get(timeout=20) for _ in range(1_000)) == list(range(1_000))
    assert answered.empty()


def test_a_rehearsed_contract_is_fulfilled_end_to_end(
    bench: Callable[[Behaviour], Bench], make_order: MakeOrder
) -> None:
    order = make_order("src/*.py", "README.md", persona={"engine": "rehearsal"})

    outcome = bench(_ok).serve(order)

    assert outcome.failure is None
    assert [artifact.path for artifact in outcome.artifacts] == [
        "README.md",
        "src/part_src_py.py",
    ]
