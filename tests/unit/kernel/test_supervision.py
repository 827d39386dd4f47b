import asyncio
import threading
from queue import SimpleQueue
from typing import Any

import pykka
import pytest

from maestro_actors.kernel import (
    ActorSystem,
    AsyncLane,
    LaneActor,
    Restart,
    ThreadLane,
    VirtualClock,
)

Escalations = SimpleQueue[tuple[str, BaseException]]

ADDRESS = "urn:maestro:worker"


class Worker(LaneActor):
    """Counts since its start, and raises what it is sent if that can be raised."""

    def __init__(self, base: int, log: list[Any]) -> None:
        super().__init__()
        self.count = base
        self.log = log

    def on_start(self) -> None:
        self.log.append("start")

    def on_failure(self, *exc_info: Any) -> None:
        self.log.append(f"failure {exc_info[1]}")

    def on_stop(self) -> None:
        self.log.append("stop")

    def on_receive(self, message: Any) -> Any:
        if isinstance(message, BaseException):
            raise message
        self.count += 1
        return self.count


@pytest.fixture
def log() -> list[Any]:
    return []


def _spawn(
    system: ActorSystem, log: list[Any], supervision: Restart | None
) -> pykka.ActorRef[Worker]:
    return system.spawn(Worker, 100, log=log, address=ADDRESS, supervision=supervision)


def _wait_until_gone(ref: pykka.ActorRef[Any], system: ActorSystem) -> None:
    assert ref.actor_stopped.wait(20)
    # The entry goes a moment after the flag; a stop of what is going is answered after that.
    system.stop(ref.actor_urn).get(timeout=20)


def test_restart_in_place_keeps_ref_and_queue_and_loses_state(
    system: ActorSystem, log: list[Any]
) -> None:
    ref = _spawn(system, log, Restart())
    system.control(ADDRESS, "suspend")
    ref.tell("one")
    ref.tell("two")
    ref.tell(ValueError("boom"))
    ref.tell("three")
    answer = ref.ask("four", block=False)

    system.control(ADDRESS, "resume")

    assert answer.get(timeout=20) == 102
    assert log == ["start", "failure boom", "start"]
    assert ref.is_alive()
    assert system.ref(ADDRESS) is ref


def test_old_proxy_talks_to_the_fresh_instance(system: ActorSystem, log: list[Any]) -> None:
    ref = _spawn(system, log, Restart())
    proxy = ref.proxy()
    ref.ask("count", timeout=20)
    ref.tell(ValueError("boom"))

    assert proxy.count.get(timeout=20) == 100


def test_message_that_failed_becomes_a_dead_letter(system: ActorSystem, log: list[Any]) -> None:
    ref = _spawn(system, log, Restart())
    error = ValueError("boom")
    ref.tell(error)
    ref.ask("barrier", timeout=20)

    (letter,) = system.dead_letters.last()

    assert (letter.address, letter.message, letter.reason) == (ADDRESS, error, "failed")


def test_failure_beyond_the_intensity_stops_the_actor_and_tells_its_watcher(
    system: ActorSystem, log: list[Any], escalations: Escalations
) -> None:
    told = threading.Event()

    class Watcher(LaneActor):
        def on_receive(self, message: Any) -> None:
            if message == b"terminated":
                told.set()

    system.spawn(Watcher, address="urn:maestro:watcher")
    ref = _spawn(system, log, Restart(max_restarts=3, within_seconds=60.0))
    system.watch(ADDRESS, "urn:maestro:watcher", b"terminated")

    for _ in range(4):
        ref.tell(ValueError("boom"))

    assert told.wait(20)
    assert log == [*["start", "failure boom"] * 4]
    assert system.ref(ADDRESS) is None
    assert escalations.empty()
    with pytest.raises(pykka.ActorDeadError):
        ref.ask("late", timeout=20)


def test_failure_beyond_the_intensity_is_escalated_if_supervision_says_so(
    system: ActorSystem, log: list[Any], escalations: Escalations
) -> None:
    ref = _spawn(system, log, Restart(max_restarts=1, escalates=True))
    last = ValueError("last")

    ref.tell(ValueError("first"))
    ref.tell(last)

    _wait_until_gone(ref, system)
    assert escalations.get(timeout=20) == (ADDRESS, last)
    assert escalations.empty()


def test_what_a_restart_would_not_mend_stops_at_once_and_is_escalated(
    system: ActorSystem, log: list[Any], escalations: Escalations
) -> None:
    ref = _spawn(system, log, Restart(unless=(LookupError,)))
    error = KeyError("lost")

    ref.tell(ValueError("mended"))
    ref.tell(error)

    _wait_until_gone(ref, system)
    assert log == ["start", "failure mended", "start", f"failure {error}"]
    assert escalations.get(timeout=20) == (ADDRESS, error)
    assert escalations.empty()


def test_restarts_long_ago_do_not_count(
    system: ActorSystem, clock: VirtualClock, log: list[Any]
) -> None:
    ref = _spawn(system, log, Restart(max_restarts=1, within_seconds=60.0))

    for _ in range(5):
        ref.tell(ValueError("boom"))
        ref.ask("barrier", timeout=20)
        clock.advance(60.1)

    assert ref.is_alive()
    assert system.dump_actors()[0].restarts == 5


def test_unsupervised_failure_is_escalated_once_the_actor_is_gone(
    system: ActorSystem, log: list[Any], escalations: Escalations
) -> None:
    ref = _spawn(system, log, None)
    error = ValueError("boom")
    ref.tell(error)

    _wait_until_gone(ref, system)

    assert system.ref(ADDRESS) is None
    assert log == ["start", "failure boom"]
    assert escalations.get(timeout=20) == (ADDRESS, error)
    assert escalations.empty()


def test_error_of_an_ask_is_no_failure(
    system: ActorSystem, log: list[Any], escalations: Escalations
) -> None:
    ref = _spawn(system, log, None)

    with pytest.raises(ValueError, match="mine"):
        ref.ask(ValueError("mine"), timeout=20)

    assert ref.ask("still there", timeout=20) == 101
    assert escalations.empty()


def test_base_exception_is_escalated_and_stops_the_whole_system(
    system: ActorSystem, log: list[Any], escalations: Escalations
) -> None:
    bystander = system.spawn(Worker, 0, [], address="urn:maestro:bystander")
    ref = _spawn(system, log, Restart())
    error = SystemExit(3)
    ref.tell(error)

    _wait_until_gone(ref, system)
    _wait_until_gone(bystander, system)

    assert escalations.get(timeout=20) == (ADDRESS, error)
    assert escalations.empty()
    assert system.dump_actors() == []


def test_backoff_keeps_messages_waiting_and_doubles(
    system: ActorSystem, clock: VirtualClock, log: list[Any]
) -> None:
    ref = _spawn(system, log, Restart(backoff_seconds=0.5))
    failed = threading.Event()
    system.dead_letters.listen(lambda _: failed.set())

    ref.ask("ready", timeout=20)
    for pause_seconds in (0.5, 1.0, 2.0):
        started = len(log)
        failed.clear()
        ref.tell(ValueError("boom"))
        answer = ref.ask("waiting", block=False)
        assert failed.wait(20)
        _wait_for_timer(system)
        clock.advance(pause_seconds - 0.001)
        assert not answer.is_done  # type: ignore[attr-defined] # a LaneFuture
        assert log[started:] == ["failure boom"]

        clock.advance(0.001)

        assert answer.get(timeout=20) == 101


def _wait_for_timer(system: ActorSystem) -> None:
    """Return when the turn that set the timer has ended."""
    seen = threading.Event()

    class Barrier(LaneActor):
        def on_start(self) -> None:
            seen.set()

    # The lane has one thread: what is spawned now starts after the turn in flight.
    system.spawn(Barrier, address="urn:maestro:barrier")
    assert seen.wait(20)
    system.stop("urn:maestro:barrier").get(timeout=20)


def test_actor_in_backoff_can_be_killed(
    system: ActorSystem, log: list[Any], clock: VirtualClock
) -> None:
    ref = _spawn(system, log, Restart(backoff_seconds=5.0))
    ref.tell(ValueError("boom"))
    answer = ref.ask("waiting", block=False)
    failed = threading.Event()
    system.dead_letters.listen(lambda _: failed.set())

    system.control(ADDRESS, "kill")

    with pytest.raises(pykka.ActorDeadError):
        answer.get(timeout=20)
    clock.advance(10)
    assert system.ref(ADDRESS) is None


def test_failing_on_start_is_restarted_until_the_intensity_is_exceeded(
    system: ActorSystem,
) -> None:
    starts: list[int] = []

    class Stillborn(LaneActor):
        def on_start(self) -> None:
            starts.append(len(starts))
            raise ValueError("on_start")

    ref = system.spawn(
        Stillborn, address=ADDRESS, supervision=Restart(max_restarts=2, within_seconds=1.0)
    )
    _wait_until_gone(ref, system)

    assert starts == [0, 1, 2]


def test_constructor_that_fails_at_the_restart_counts_as_a_failure(
    system: ActorSystem, caplog: pytest.LogCaptureFixture
) -> None:
    made: list[int] = []

    class Once(LaneActor):
        def __init__(self) -> None:
            super().__init__()
            made.append(1)
            if len(made) > 1:
                raise ValueError("constructor")

        def on_receive(self, message: Any) -> None:
            raise ValueError(message)

    ref = system.spawn(Once, address=ADDRESS, supervision=Restart(max_restarts=2))
    ref.tell("boom")
    behind = ref.ask("behind", block=False)

    with pytest.raises(pykka.ActorDeadError):
        behind.get(timeout=20)
    assert len(made) == 3
    assert system.ref(ADDRESS) is None
    assert "its mailbox is closed" not in caplog.text


def test_failing_on_failure_stops_a_supervised_actor(system: ActorSystem) -> None:
    class Sore(LaneActor):
        def on_receive(self, message: Any) -> None:
            raise ValueError(message)

        def on_failure(self, *_: Any) -> None:
            raise KeyError("on_failure")

    ref = system.spawn(Sore, address=ADDRESS, supervision=Restart())
    ref.tell("boom")

    _wait_until_gone(ref, system)


def test_ordered_restart_ends_the_instance_in_good_order(
    system: ActorSystem, log: list[Any]
) -> None:
    ref = _spawn(system, log, None)
    ref.ask("count", timeout=20)

    assert system.control(ADDRESS, "restart")

    assert ref.ask("count", timeout=20) == 101
    assert log == ["start", "stop", "start"]


def test_kill_cancels_what_an_async_handler_awaits(
    async_lane: AsyncLane, clock: VirtualClock
) -> None:
    system = ActorSystem(async_lane, clock)
    awaits = threading.Event()
    ended: list[str] = []

    class Patient(LaneActor):
        async def on_receive(self, _: Any) -> None:
            awaits.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.append("cancelled")

        async def on_stop(self) -> None:  # type: ignore[override] # awaited on an asyncio lane
            await asyncio.sleep(0)
            ended.append("stopped")

    ref = system.spawn(Patient, address=ADDRESS, supervision=Restart())
    ref.tell("wait")
    gone = system.stop(ADDRESS)
    assert awaits.wait(20)

    assert system.control(ADDRESS, "kill")

    gone.get(timeout=20)
    assert ended == ["cancelled", "stopped"]
    assert [letter.reason for letter in system.dead_letters.last()] == ["stopped"]


def test_async_failure_is_restarted_in_place(async_lane: AsyncLane, clock: VirtualClock) -> None:
    system = ActorSystem(async_lane, clock)

    class Fragile(LaneActor):
        async def on_receive(self, message: Any) -> Any:
            await asyncio.sleep(0)
            if message == "boom":
                raise ValueError(message)
            return message

    ref = system.spawn(Fragile, address=ADDRESS, supervision=Restart())
    ref.tell("boom")

    assert ref.ask("after", timeout=20) == "after"
    assert system.dump_actors()[0].restarts == 1
    system.stop_all(timeout_seconds=20)


def test_escalation_callback_that_raises_harms_nobody(
    thread_lane: ThreadLane, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(address: str, error: BaseException) -> None:
        raise KeyError(address, error)

    system = ActorSystem(thread_lane, clock, on_escalation=fail)
    ref = _spawn(system, [], None)
    ref.tell(ValueError("boom"))
    behind = ref.ask("behind", block=False)

    # Answered after the escalation, in spite of it.
    with pytest.raises(pykka.ActorDeadError):
        behind.get(timeout=20)

    assert "on_escalation for urn:maestro:worker" in caplog.text


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"max_restarts": -1}, "max_restarts must not be negative, got -1"),
        ({"within_seconds": 0.0}, r"within_seconds must be positive, got 0\.0"),
        ({"backoff_seconds": -1.0}, r"backoff_seconds must not be negative, got -1\.0"),
        ({"backoff_seconds": float("nan")}, "backoff_seconds must not be negative, got nan"),
    ],
)
def test_restart_refuses_impossible_numbers(fields: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Restart(**fields)


def test_pauses_double_up_to_half_a_minute() -> None:
    policy = Restart(max_restarts=10, backoff_seconds=4.0)
    restarts: list[float] = []

    pauses = [policy.pause_seconds(restarts, now=0.0) for _ in range(6)]

    assert pauses == [4.0, 8.0, 16.0, 30.0, 30.0, 30.0]
