import asyncio
import logging
import threading
from typing import Any

import pykka
import pytest

from maestro_actors.kernel import (
    ActorSystem,
    AddressTaken,
    AsyncLane,
    BlockingOnLoop,
    DeadLetter,
    Lane,
    LaneActor,
    LaneClosed,
    ThreadLane,
    VirtualClock,
)

A, B, C = "urn:maestro:a", "urn:maestro:b", "urn:maestro:c"


class Inbox(LaneActor):
    """Keeps what it is sent and says when it has got so many."""

    def __init__(self, expected: int = 1) -> None:
        super().__init__()
        self.got: list[Any] = []
        self.expected = expected
        self.complete = threading.Event()

    def on_receive(self, message: Any) -> Any:
        if message == "?":
            return self.got
        self.got.append(message)
        if len(self.got) == self.expected:
            self.complete.set()
        return None


def test_spawned_actor_has_its_address_as_urn_and_is_not_in_pykkas_registry(
    system: ActorSystem,
) -> None:
    ref = system.spawn(Inbox, address=A)

    assert ref.actor_urn == A
    assert system.ref(A) is ref
    assert pykka.ActorRegistry.get_by_urn(A) is None


def test_constructor_knows_address_and_ref(system: ActorSystem) -> None:
    class Aware(LaneActor):
        def __init__(self) -> None:
            super().__init__()
            self.seen = (self.actor_urn, str(self.actor_ref))
            self.actor_ref.tell("to myself")

        def on_receive(self, message: Any) -> Any:
            return self.seen

    assert system.spawn(Aware, address=A).ask("?", timeout=20) == (A, f"Aware ({A})")


def test_constructor_arguments_pass_through(system: ActorSystem) -> None:
    class Sized(Inbox): ...

    ref = system.spawn(Sized, 2, address=A)
    other = system.spawn(Sized, expected=3, address=B)

    assert (ref.proxy().expected.get(), other.proxy().expected.get()) == (2, 3)


def test_a_stop_of_an_actor_on_its_way_out_is_answered_once_its_address_is_free(
    system: ActorSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    leaving, may_leave = threading.Event(), threading.Event()
    remove = system._directory.remove

    def remove_late(address: str) -> list[tuple[str, object]]:
        leaving.set()
        assert may_leave.wait(20)
        return remove(address)

    monkeypatch.setattr(system._directory, "remove", remove_late)
    system.spawn(Inbox, address=A)
    first = system.stop(A)
    assert leaving.wait(20)

    second = system.stop(A)

    answered_early = second.is_done
    may_leave.set()
    for stop in (first, second):
        stop.get(timeout=20)
    assert not answered_early
    system.spawn(Inbox, address=A)


def test_address_in_use_is_refused_and_free_again_after_the_stop(system: ActorSystem) -> None:
    first = system.spawn(Inbox, address=A)

    with pytest.raises(AddressTaken):
        system.spawn(Inbox, address=A)
    system.stop(A).get(timeout=20)
    second = system.spawn(Inbox, address=A)

    assert system.ref(A) is second
    assert not first.is_alive()


def test_constructor_that_raises_leaves_the_address_free(system: ActorSystem) -> None:
    class Broken(LaneActor):
        def __init__(self) -> None:
            raise ValueError("constructor")

    with pytest.raises(ValueError, match="constructor"):
        system.spawn(Broken, address=A)

    assert system.ref(A) is None
    system.spawn(Inbox, address=A)


def test_spawn_on_a_closed_lane_leaves_the_address_free(system: ActorSystem, lane: Lane) -> None:
    lane.close()

    with pytest.raises(LaneClosed):
        system.spawn(Inbox, address=A)

    assert system.dump_actors() == []


def test_class_with_a_lane_of_its_own_runs_there(
    async_lane: AsyncLane, thread_lane: ThreadLane, clock: VirtualClock
) -> None:
    class Elsewhere(LaneActor):
        lane = thread_lane

        def on_receive(self, _: Any) -> str:
            return threading.current_thread().name

    system = ActorSystem(async_lane, clock)

    assert str(system.spawn(Elsewhere, address=A).ask("?", timeout=20)).startswith("hot")
    system.stop_all()


def test_deliver_keeps_the_order_of_a_sender(system: ActorSystem) -> None:
    ref = system.spawn(Inbox, address=A)

    for number in range(500):
        system.deliver(A, number)

    assert ref.ask("?", timeout=20) == [*range(500)]


def test_message_to_nobody_becomes_a_dead_letter(system: ActorSystem) -> None:
    system.deliver(A, b"lost")

    assert system.dead_letters.count == 1
    assert system.dead_letters.last() == [DeadLetter(A, b"lost", "unknown")]


def test_message_to_a_full_mailbox_becomes_a_dead_letter_and_raises_nothing(
    system: ActorSystem,
) -> None:
    class Narrow(Inbox):
        mailbox_limit = 1

    system.spawn(Narrow, address=A).ask("?", timeout=20)
    system.control(A, "suspend")

    system.deliver(A, b"one")
    system.deliver(A, b"two")

    assert system.dead_letters.last() == [DeadLetter(A, b"two", "full")]


def test_listener_hears_of_dead_letters_and_may_fail(
    system: ActorSystem, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[DeadLetter] = []
    system.dead_letters.listen(heard.append)
    system.deliver(A, 1)

    def fail(letter: DeadLetter) -> None:
        raise KeyError(letter.address)

    system.dead_letters.listen(fail)
    with caplog.at_level(logging.ERROR):
        system.deliver(A, 2)

    assert [letter.message for letter in heard] == [1]
    assert "listener for dead letters" in caplog.text
    assert system.dead_letters.count == 2


def test_only_the_last_hundred_dead_letters_are_kept(system: ActorSystem) -> None:
    for number in range(150):
        system.deliver(A, number)

    assert system.dead_letters.count == 150
    assert [letter.message for letter in system.dead_letters.last()] == [*range(50, 150)]


def test_stop_of_nobody_is_done_at_once(system: ActorSystem) -> None:
    assert system.stop(A).is_done


def test_stop_all_stops_the_last_spawned_first(system: ActorSystem) -> None:
    stopped: list[str] = []

    class Dependent(LaneActor):
        def on_stop(self) -> None:
            stopped.append(self.actor_urn)

    for address in (A, B, C):
        system.spawn(Dependent, address=address)
    system.control(B, "suspend")

    system.stop_all(timeout_seconds=20)

    assert stopped == [C, B, A]
    assert system.dump_actors() == []


def test_stop_all_stops_what_an_on_stop_spawns(system: ActorSystem) -> None:
    class Parent(LaneActor):
        def on_stop(self) -> None:
            system.spawn(Inbox, address=B)

    system.spawn(Parent, address=A)

    system.stop_all(timeout_seconds=20)

    assert system.dump_actors() == []


def test_stop_all_gives_up_after_its_timeout(system: ActorSystem) -> None:
    gate = threading.Event()

    class Stubborn(LaneActor):
        def on_receive(self, _: Any) -> None:
            gate.wait(20)

    system.spawn(Stubborn, address=A).tell("hold")

    with pytest.raises(pykka.Timeout):
        system.stop_all(timeout_seconds=0.01)

    gate.set()


def test_stop_all_on_the_loop_is_refused(async_lane: AsyncLane, clock: VirtualClock) -> None:
    system = ActorSystem(async_lane, clock)

    class Confused(LaneActor):
        def on_receive(self, _: Any) -> None:
            system.stop_all()

    with pytest.raises(BlockingOnLoop):
        system.spawn(Confused, address=A).ask("stop", timeout=20)


def test_watcher_is_told_when_the_actor_terminates(system: ActorSystem) -> None:
    watcher = system.spawn(Inbox, address=A)
    system.spawn(Inbox, address=B)
    system.watch(B, A, b"b is gone")

    system.stop(B).get(timeout=20)

    assert watcher.ask("?", timeout=20) == [b"b is gone"]


def test_watcher_is_told_at_once_of_an_actor_that_is_gone(system: ActorSystem) -> None:
    watcher = system.spawn(Inbox, address=A)

    system.watch(B, A, b"b is gone")

    assert watcher.ask("?", timeout=20) == [b"b is gone"]


def test_a_watch_ends_with_its_watcher_whoever_lives_at_that_address_then(
    system: ActorSystem,
) -> None:
    system.spawn(Inbox, address=A)
    system.spawn(Inbox, address=B)
    other = system.spawn(Inbox, address=C)
    system.watch(B, A, b"to a")
    system.watch(B, C, b"to c")

    system.stop(A).get(timeout=20)
    successor = system.spawn(Inbox, address=A)
    system.stop(B).get(timeout=20)

    assert successor.ask("?", timeout=20) == []
    assert other.ask("?", timeout=20) == [b"to c"]
    assert system.dead_letters.count == 0


def test_watchers_that_are_gone_do_not_gather_at_an_actor_that_stays(system: ActorSystem) -> None:
    system.spawn(Inbox, address=B)
    for _ in range(50):
        system.spawn(Inbox, address=A)
        system.watch(B, A, b"to a")
        system.stop(A).get(timeout=20)

    mailbox = system._directory.get(B)

    assert mailbox is not None
    assert len(mailbox.watchers) == 1


def test_each_watch_is_told_and_an_actor_may_watch_itself_in_vain(system: ActorSystem) -> None:
    watcher = system.spawn(Inbox, address=A)
    system.spawn(Inbox, address=B)
    system.watch(B, A, 1)
    system.watch(B, A, 2)
    system.watch(B, B, 3)

    system.stop(B).get(timeout=20)

    assert watcher.ask("?", timeout=20) == [1, 2]


def test_directory_keeps_nothing_of_those_that_are_gone(system: ActorSystem) -> None:
    for number in range(50):
        address = f"urn:maestro:{number}"
        system.spawn(Inbox, address=address)
        system.watch(address, "urn:maestro:0", number)

    system.stop_all(timeout_seconds=20)

    assert system._directory._mailboxes == {}


def test_control_of_nobody_is_false(system: ActorSystem) -> None:
    for order in ("kill", "suspend", "resume", "restart"):
        assert not system.control(A, order)


def test_dump_shows_idle_suspended_and_running_actors(system: ActorSystem) -> None:
    busy, gate = threading.Event(), threading.Event()

    class Holding(Inbox):
        def on_receive(self, message: Any) -> Any:
            busy.set()
            gate.wait(20)

    system.spawn(Inbox, address=A).ask("?", timeout=20)
    system.stop(C).get(timeout=20)
    system.spawn(Inbox, address=B).ask("?", timeout=20)
    system.control(B, "suspend")
    system.deliver(B, "waits")
    system.spawn(Holding, address=C).tell(b"hold")
    assert busy.wait(20)
    system.deliver(C, "queued")

    idle, suspended, running = system.dump_actors()
    gate.set()

    assert (idle.address, idle.class_name, idle.queue_length) == (A, "Inbox", 0)
    assert idle.state == "idle"
    assert (suspended.state, suspended.queue_length) == ("suspended", 1)
    assert (running.state, running.message_type) == ("running", "bytes")
    assert running.queue_length == 1
    assert running.turn_age_seconds > 0
    assert (idle.message_type, idle.turn_age_seconds, idle.restarts) == (None, 0.0, 0)


def test_dump_shows_who_waits_for_whom(async_lane: AsyncLane, clock: VirtualClock) -> None:
    system = ActorSystem(async_lane, clock)
    asked, gate = threading.Event(), asyncio.Event()

    class Slow(LaneActor):
        async def on_receive(self, _: Any) -> None:
            asked.set()
            await gate.wait()

    class Asking(LaneActor):
        async def on_receive(self, message: pykka.ActorRef[Slow]) -> None:
            await message.ask("slow", block=False)

    slow = system.spawn(Slow, address=A)
    answer = system.spawn(Asking, address=B).ask(slow, block=False)
    assert asked.wait(20)

    running, waiting = system.dump_actors()
    async_lane.loop.call_soon_threadsafe(gate.set)
    answer.get(timeout=20)

    assert (running.state, running.waiting_on) == ("running", None)
    assert (waiting.state, waiting.waiting_on) == ("waiting", A)
    assert system.dump_actors()[1].waiting_on is None
    system.stop_all(timeout_seconds=20)
