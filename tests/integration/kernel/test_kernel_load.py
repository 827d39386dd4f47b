"""Many messages, many threads, many actors: nothing is lost, nothing is left behind."""

import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pykka
import pytest

from maestro_actors.kernel import (
    ActorSystem,
    AsyncLane,
    LaneActor,
    LaneFuture,
    ThreadLane,
    VirtualClock,
)

BYTES_PER_IDLE_ACTOR_MAX = 3000
IDLE_ACTORS = """
import gc, resource
from maestro_actors.kernel import ActorSystem, AsyncLane, LaneActor, VirtualClock

class Idle(LaneActor):
    def on_receive(self, message):
        return message

def resident_bytes():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize()

lane = AsyncLane("io")
system = ActorSystem(lane, VirtualClock())
system.spawn(Idle, address="first").ask("warm up")
gc.collect()
before = resident_bytes()
for number in range(100_000):
    system.spawn(Idle, address=f"urn:maestro:session/{number}")
system.ref("urn:maestro:session/99999").ask("all started")
gc.collect()
print(round((resident_bytes() - before) / 100_000))
lane.close()
"""


@pytest.fixture(autouse=True)
def restless() -> Iterator[None]:
    """Threads take turns at almost every instruction: a race is lost soon, if it can be."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.parametrize("kind", [ThreadLane, AsyncLane])
def test_no_wakeup_is_lost_when_messages_meet_an_actor_going_idle(
    kind: type[ThreadLane | AsyncLane],
) -> None:
    """Each ask is put at about the instant the actor runs out of work: a lost one times out."""
    lane_ = kind("stress")

    class Counter(LaneActor):
        lane = lane_
        count = 0

        def on_receive(self, _: Any) -> int:
            self.count += 1
            return self.count

    refs = [Counter.start() for _ in range(2)]
    answered: list[int] = []

    def ask_often() -> None:
        for number in range(1500):
            refs[number % 2].ask(number, timeout=120)
        answered.append(1500)

    askers = [threading.Thread(target=ask_often) for _ in range(4)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join(50)

    assert answered == [1500] * 4
    counts: list[Any] = [ref.ask(0, timeout=120) for ref in refs]
    assert sum(counts) == 4 * 1500 + 2
    lane_.close()


@pytest.mark.parametrize("kind", [ThreadLane, AsyncLane])
def test_suspend_and_resume_from_other_threads_lose_and_reorder_nothing(
    kind: type[ThreadLane | AsyncLane],
) -> None:
    lane_ = kind("stress")
    system = ActorSystem(lane_, VirtualClock())

    class Recorder(LaneActor):
        def __init__(self) -> None:
            super().__init__()
            self.got: list[int] = []

        def on_receive(self, message: Any) -> Any:
            if message == "?":
                return self.got
            self.got.append(message)
            return None

    ref = system.spawn(Recorder, address="urn:maestro:recorder")
    sent = threading.Event()

    def flicker() -> None:
        while not sent.is_set():
            system.control("urn:maestro:recorder", "suspend")
            system.control("urn:maestro:recorder", "resume")

    thread = threading.Thread(target=flicker)
    thread.start()
    for number in range(10_000):
        system.deliver("urn:maestro:recorder", number)
    sent.set()
    thread.join(20)

    assert ref.ask("?", timeout=120) == [*range(10_000)]
    assert system.dead_letters.count == 0
    system.stop_all(timeout_seconds=20)
    lane_.close()


def test_senders_racing_with_a_stop_are_all_answered() -> None:
    """Whoever asks gets the answer or hears that the actor is dead; no ask is left hanging."""
    lane_ = ThreadLane("race")

    class Echo(LaneActor):
        lane = lane_

        def on_receive(self, message: Any) -> Any:
            return message

    for _ in range(50):
        ref = Echo.start()
        barrier = threading.Barrier(3)
        answers: list[Any] = []

        def ask(ref: Any = ref, barrier: Any = barrier, answers: Any = answers) -> None:
            barrier.wait(20)
            answers.extend(ref.ask(number, block=False) for number in range(20))

        askers = [threading.Thread(target=ask) for _ in range(2)]
        for asker in askers:
            asker.start()
        barrier.wait(20)
        ref.stop(timeout=120)
        for asker in askers:
            asker.join(50)

        assert len(answers) == 40
        for answer in answers:
            # The stop is answered before those behind it: the lane may still be at them.
            with suppress(pykka.ActorDeadError):
                answer.get(timeout=120)
    lane_.close()


@pytest.mark.parametrize("kind", [ThreadLane, AsyncLane])
def test_tells_racing_with_a_stop_are_handled_refused_or_dead_letters(
    kind: type[ThreadLane | AsyncLane],
) -> None:
    """Each tell has one of the three ends, and only one."""
    lane_ = kind("race")
    system = ActorSystem(lane_, VirtualClock())
    handled: list[int] = []
    refused: list[int] = []
    lost: list[int] = []
    system.dead_letters.listen(lambda letter: lost.append(letter.message))

    class Recorder(LaneActor):
        def on_receive(self, message: int) -> None:
            handled.append(message)

    def tell(mailbox: Any, numbers: range, barrier: threading.Barrier) -> None:
        barrier.wait(20)
        for number in numbers:
            try:
                mailbox.post(number)
            except pykka.ActorDeadError:
                refused.append(number)

    for round_ in range(100):
        mailbox = system.spawn(Recorder, address=f"urn:maestro:{round_}").actor_inbox
        barrier = threading.Barrier(3)
        tellers = [
            threading.Thread(
                target=tell, args=(mailbox, range(first, first + 20), barrier), daemon=True
            )
            for first in (40 * round_, 40 * round_ + 20)
        ]
        for teller in tellers:
            teller.start()
        barrier.wait(20)
        system.stop(f"urn:maestro:{round_}").get(timeout=120)
        for teller in tellers:
            teller.join(20)

    # A stop is answered before the letters behind it; the lane has buried them when it is closed.
    lane_.close()
    assert sorted(handled + refused + lost) == [*range(4000)]


def test_many_senders_never_overfill_a_mailbox() -> None:
    lane_ = ThreadLane("full")
    system = ActorSystem(lane_, VirtualClock())
    longest: list[int] = []

    class Bounded(LaneActor):
        mailbox_limit = 5
        mailbox_overflow = "drop"
        count = 0

        def on_receive(self, message: Any) -> int:
            del message
            self.count += 1
            longest.append(self.actor_inbox.queue_length)
            return self.count

    ref = system.spawn(Bounded, address="urn:maestro:bounded")

    def flood() -> None:
        for number in range(5000):
            ref.tell(number)

    senders = [threading.Thread(target=flood) for _ in range(3)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join(50)
    system.stop_all(timeout_seconds=20)

    assert max(longest) <= 5
    assert len(longest) + system.dead_letters.count == 15_000
    lane_.close()


@pytest.mark.parametrize("kind", [ThreadLane, AsyncLane])
def test_order_of_each_sender_is_kept_under_load(kind: type[ThreadLane | AsyncLane]) -> None:
    lane_ = kind("order")
    got: list[list[int]] = [[], [], []]

    class Sorter(LaneActor):
        lane = lane_

        def on_receive(self, message: Any) -> None:
            if message is not None:
                sender, number = message
                got[sender].append(number)

    ref = Sorter.start()

    def send(sender: int) -> None:
        for number in range(3000):
            ref.tell((sender, number))

    senders = [threading.Thread(target=send, args=(sender,)) for sender in range(3)]
    for thread in senders:
        thread.start()
    for thread in senders:
        thread.join(20)
    ref.ask(None, timeout=120)

    assert got == [[*range(3000)]] * 3
    lane_.close()


def test_value_raced_for_is_set_once_and_each_callback_called_once() -> None:
    for _ in range(300):
        future: LaneFuture[int] = LaneFuture()
        barrier = threading.Barrier(3)
        won: list[int] = []
        called: list[int] = []

        def settle(
            number: int, future: Any = future, barrier: Any = barrier, won: Any = won
        ) -> None:
            barrier.wait(20)
            with suppress(queue.Full):
                future.set(number)
                won.append(number)

        setters = [threading.Thread(target=settle, args=(number,)) for number in range(2)]
        for setter in setters:
            setter.start()
        barrier.wait(20)
        for number in range(20):
            future.add_done_callback(lambda _, number=number, called=called: called.append(number))  # type: ignore[misc] # bound default
        for setter in setters:
            setter.join(20)

        assert won == [future.get(timeout=0)]
        assert sorted(called) == [*range(20)]


def test_hundred_thousand_idle_actors_fit_into_memory() -> None:
    run = subprocess.run(
        [sys.executable, "-P", "-c", IDLE_ACTORS],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )

    assert 0 < int(run.stdout) < BYTES_PER_IDLE_ACTOR_MAX, run.stdout


def test_import_starts_no_thread() -> None:
    code = "import threading, maestro_actors.kernel; print(threading.active_count())"

    run = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, timeout=120, check=True
    )

    assert run.stdout == "1\n"
