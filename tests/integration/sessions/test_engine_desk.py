"""The desk between actors and engines: whatever foreign code does, a persona gets its answer."""

import asyncio
import os
import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec
import pytest

from maestro_actors.engine import CallOrder, Estimate, Usage
from maestro_actors.kernel import ActorSystem, AsyncLane, LaneActor, SystemClock
from maestro_actors.messages import CallRecovered, EngineFinished, PersonaMessage
from maestro_actors.team import Contract, Persona
from maestro_runtime.engines import (
    Engine,
    EngineContext,
    EngineHost,
    EngineRegistry,
    EngineResult,
)
from maestro_runtime.engines.errors import Refused
from maestro_runtime.ports import engines
from maestro_runtime.ports.engines import EngineDesk
from maestro_runtime.redaction import Redactor
from procfs import descriptors
from scarce import descriptors_left, no_thread

BOUND_SECONDS = 20.0
ADDRESS = "persona"
ORDER = CallOrder(
    session_id="s-1",
    task_id="c1",
    call_id="0" * 32,
    round=1,
    attempt=1,
    ordinal=1,
    persona=Persona(persona_id="dev", engine="foreign"),
    contract=Contract(id="c1", name="c1", phase="build", provider_persona_id="dev"),
    requirement="r",
    workspace="/nowhere",
)


class Foreign(Engine):
    """An engine of somebody else."""

    name = "foreign"

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.released = False
        self.ended = False
        self.grace_seconds: float | None = None
        self.message = ""
        self.usage = Usage(input_tokens=7)
        self.tokens: object = 10
        self.error: Exception | None = None

    def estimate(self, _order: CallOrder) -> int:
        if isinstance(self.tokens, Exception):
            raise self.tokens
        return self.tokens  # type: ignore[return-value] # the point of the test

    async def run(self, _order: CallOrder, context: EngineContext) -> EngineResult:
        context.usage = self.usage
        self.begun.set()
        try:
            if not self.released:
                await asyncio.Event().wait()
            if self.error is not None:
                raise self.error
        finally:
            # Some time passes between the order to stop and the end.
            for _ in range(10):
                await asyncio.sleep(0)
            self.ended = True
            self.grace_seconds = context.grace_seconds
        return EngineResult(usage=self.usage, message=self.message)

    async def recover(self, _order: CallOrder) -> Usage | None:
        return self.usage


class Listener(LaneActor):
    """Stands where the persona is."""

    def __init__(self, heard: "queue.Queue[PersonaMessage]") -> None:
        super().__init__()
        self._heard = heard

    def on_receive(self, message: PersonaMessage) -> None:
        self._heard.put(message)


@dataclass
class Place:
    """A desk with one engine behind it, and what it has sent."""

    desk: EngineDesk
    engine: Foreign
    heard: "queue.Queue[PersonaMessage]"

    def next(self, kind: type[PersonaMessage]) -> PersonaMessage:
        """Return the next message of a kind; others are passed over."""
        while not isinstance(message := self.heard.get(timeout=BOUND_SECONDS), kind):
            pass
        return message


@pytest.fixture
def place() -> Iterator[Place]:
    engine = Foreign()
    registry = EngineRegistry([engine])
    host = EngineHost(registry)
    lane = AsyncLane("test")
    system = ActorSystem(lane, SystemClock(lane))
    heard: queue.Queue[PersonaMessage] = queue.Queue()
    system.spawn(Listener, heard, address=ADDRESS)
    yield Place(EngineDesk(system, host, registry, Redactor()), engine, heard)
    host.close(1.0)
    system.stop_all(timeout_seconds=BOUND_SECONDS)
    lane.close()


def test_recovering_a_call_that_still_runs_stops_it_first_and_returns_its_own_count(
    place: Place,
) -> None:
    place.desk.start(ORDER, ADDRESS)
    assert place.engine.begun.wait(BOUND_SECONDS)
    place.engine.usage = Usage(input_tokens=999)

    place.desk.recover(ORDER, ADDRESS)
    recovered = place.next(CallRecovered)

    assert place.engine.ended
    assert isinstance(recovered, CallRecovered)
    assert recovered.usage == Usage(input_tokens=7)


def test_the_programs_of_a_call_that_is_taken_over_have_until_the_deadline(place: Place) -> None:
    place.desk.start(ORDER, ADDRESS)
    assert place.engine.begun.wait(BOUND_SECONDS)

    # Long ago: they have no time left.
    place.desk.recover(ORDER, ADDRESS, deadline_ms=1)
    place.next(CallRecovered)

    assert place.engine.grace_seconds == 0.0


def test_recovering_a_call_of_an_earlier_start_asks_the_engine(place: Place) -> None:
    place.desk.recover(ORDER, ADDRESS)

    recovered = place.next(CallRecovered)

    assert isinstance(recovered, CallRecovered)
    assert recovered.usage == Usage(input_tokens=7)


def test_a_call_that_gets_no_thread_has_failed_and_the_next_one_runs(
    place: Place,
) -> None:
    with no_thread("engines"):
        place.desk.start(ORDER, ADDRESS)
        finished = place.next(EngineFinished)
    place.engine.released = True
    place.desk.start(ORDER, ADDRESS)
    after = place.next(EngineFinished)

    assert isinstance(finished, EngineFinished)
    assert finished.outcome.failure == "transient"
    assert finished.outcome.evidence == ("engine not started: can't start new thread",)
    assert isinstance(after, EngineFinished)
    assert after.outcome.usage == Usage(input_tokens=7)


def test_a_call_that_gets_no_descriptors_has_failed_and_the_next_one_runs(place: Place) -> None:
    before = descriptors(os.getpid())

    with descriptors_left(3):
        place.desk.start(ORDER, ADDRESS)
        finished = place.next(EngineFinished)
    left = descriptors(os.getpid())
    place.engine.released = True
    place.desk.start(ORDER, ADDRESS)
    after = place.next(EngineFinished)

    assert left == before
    assert isinstance(finished, EngineFinished)
    assert finished.outcome.failure == "transient"
    assert finished.outcome.evidence == ("engine not started: [Errno 24] Too many open files",)
    assert isinstance(after, EngineFinished)
    assert after.outcome.usage == Usage(input_tokens=7)


def test_an_engine_that_gets_no_thread_cannot_tell_what_a_call_used(place: Place) -> None:
    with no_thread("engines"):
        place.desk.recover(ORDER, ADDRESS)
        recovered = place.next(CallRecovered)

    assert isinstance(recovered, CallRecovered)
    assert recovered.usage is None


def test_an_outcome_that_is_too_large_to_be_sent_is_a_failure_with_its_tokens(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "FINISHED_BYTES_MAX", 1000)
    place.engine.released = True
    place.engine.message = "x" * 2000
    place.desk.start(ORDER, ADDRESS)

    finished = place.next(EngineFinished)

    assert isinstance(finished, EngineFinished)
    assert finished.outcome.failure == "limit"
    assert finished.outcome.usage == Usage(input_tokens=7)
    (evidence,) = finished.outcome.evidence
    assert "at most 1000 bytes" in evidence


@pytest.mark.parametrize(
    ("tokens", "reserved"),
    [(10, 10), (0, 1), (-5, 1), (10.7, 10), (1 << 70, 1 << 53), (None, 1), (ValueError("?"), 1)],
)
def test_whatever_an_engine_estimates_there_is_a_reservation(
    place: Place, tokens: object, reserved: int
) -> None:
    place.engine.tokens = tokens

    found = place.desk.estimate(ORDER)

    assert found == Estimate(reserved)
    assert type(found.need_tokens) is int


@pytest.mark.parametrize(
    ("least", "floor"), [(0, 0), (4, 4), (10, 10), (99, 10), (-1, 0), (4.9, 4)]
)
def test_a_call_can_never_do_with_more_than_it_needs(place: Place, least: int, floor: int) -> None:
    place.engine.tokens = Estimate(10, least)

    assert place.desk.estimate(ORDER) == Estimate(10, floor)


@pytest.mark.parametrize("usage", [Usage(input_tokens=-1), Usage(output_tokens=1 << 60)])
def test_a_recovered_count_that_cannot_be_is_no_answer(place: Place, usage: Usage) -> None:
    place.engine.usage = usage
    place.desk.recover(ORDER, ADDRESS)

    recovered = place.next(CallRecovered)

    assert isinstance(recovered, CallRecovered)
    assert recovered.usage is None


def test_a_count_that_cannot_be_is_booked_as_the_reservation(place: Place) -> None:
    place.engine.released = True
    place.engine.error = Refused("no", Usage(input_tokens=-100))
    place.desk.start(msgspec.structs.replace(ORDER, token_budget=50), ADDRESS)

    finished = place.next(EngineFinished)

    assert isinstance(finished, EngineFinished)
    assert finished.outcome.failure == "refused"
    assert finished.outcome.usage == Usage(input_tokens=50, basis="reserved")
    assert finished.outcome.evidence[1] == (
        "engine miscounts: input_tokens must be an integer of at least 0, got -100"
    )
