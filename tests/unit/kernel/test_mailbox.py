"""The mailbox on a lane that gives a turn only when told to: every interleaving is chosen."""

import sys
import time
from collections import deque
from contextlib import nullcontext
from typing import Any

import pykka
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from pykka._envelope import Envelope

from maestro_actors.kernel import (
    ActorSystem,
    Lane,
    LaneActor,
    LaneFuture,
    MailboxFull,
    VirtualClock,
)
from maestro_actors.kernel._lane import SLICE_SECONDS, THROUGHPUT_MESSAGES
from maestro_actors.kernel._mailbox import Mailbox
from maestro_actors.kernel._system import Order

ADDRESS = "urn:maestro:test"


class ManualLane(Lane):
    """Runs in the test's own thread, one turn for each call of `step`."""

    def __init__(self) -> None:
        super().__init__("manual")
        self.ready: deque[Mailbox] = deque()

    def submit(self, mailbox: Mailbox) -> None:
        assert mailbox not in self.ready, "a mailbox has one turn at most"
        self.ready.append(mailbox)

    @property
    def queue_length(self) -> int:
        return len(self.ready)

    def step(self) -> None:
        mailbox = self.ready.popleft()
        rest = mailbox.begin(time.monotonic())._turn()
        assert rest is None or next(rest, None) is None
        mailbox.finish()

    def run(self) -> None:
        while self.ready:
            self.step()

    def cancel(self, mailbox: Mailbox) -> None: ...

    def blocking(self) -> nullcontext[None]:
        return nullcontext()

    def awaiting(self) -> None: ...

    def close(self, timeout_seconds: float = 0) -> None: ...


class Recorder(LaneActor):
    """Appends what it is sent to a list that outlives its instances."""

    def __init__(self, log: list[Any]) -> None:
        super().__init__()
        self.log = log

    def on_start(self) -> None:
        self.log.append("start")

    def on_stop(self) -> None:
        self.log.append("stop")

    def on_receive(self, message: Any) -> Any:
        self.log.append(message)
        return message


class Bounded(Recorder):
    mailbox_limit = 3


class Dropping(Bounded):
    mailbox_overflow = "drop"


@pytest.fixture
def manual() -> ManualLane:
    return ManualLane()


@pytest.fixture
def manual_system(manual: ManualLane) -> ActorSystem:
    return ActorSystem(manual, VirtualClock())


@pytest.fixture
def log() -> list[Any]:
    return []


def test_full_mailbox_raises_to_the_sender_of_a_tell_and_of_an_ask(
    manual_system: ActorSystem, manual: ManualLane, log: list[Any]
) -> None:
    ref = manual_system.spawn(Bounded, log, address=ADDRESS)
    for number in range(3):
        ref.tell(number)

    with pytest.raises(MailboxFull, match="at most 3 messages"):
        ref.tell(3)
    with pytest.raises(MailboxFull):
        ref.ask(4, block=False)
    manual.run()

    assert log == ["start", 0, 1, 2]


def test_message_in_flight_does_not_count_against_the_limit(
    manual_system: ActorSystem, manual: ManualLane, log: list[Any]
) -> None:
    class Refilling(Bounded):
        def on_receive(self, message: Any) -> None:
            super().on_receive(message)
            if message == "refill":
                for number in range(3):
                    self.actor_ref.tell(number)
                with pytest.raises(MailboxFull):
                    self.actor_ref.tell(3)

    manual_system.spawn(Refilling, log, address=ADDRESS).tell("refill")
    manual.run()

    assert log == ["start", "refill", 0, 1, 2]


def test_messages_a_turn_has_taken_but_not_handled_count_against_the_limit(
    manual_system: ActorSystem, manual: ManualLane, log: list[Any]
) -> None:
    class Greedy(Bounded):
        def on_receive(self, message: Any) -> None:
            super().on_receive(message)
            if message == 0:
                self.actor_ref.tell("one more")
                with pytest.raises(MailboxFull):
                    self.actor_ref.tell("too many")

    ref = manual_system.spawn(Greedy, log, address=ADDRESS)
    for number in range(3):
        ref.tell(number)
    manual.run()

    assert log == ["start", 0, 1, 2, "one more"]


def test_no_sender_counts_a_bounded_mailbox_between_its_lists(
    manual_system: ActorSystem,
    manual: ManualLane,
    log: list[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Messages on their way from one list to the other are in neither."""
    locked: list[bool] = []
    refill = Mailbox._refill

    def watched(mailbox: Mailbox) -> None:
        locked.append(mailbox._lock.locked())
        refill(mailbox)

    monkeypatch.setattr(Mailbox, "_refill", watched)
    manual_system.spawn(Bounded, log, address=ADDRESS).tell(1)
    manual.run()

    assert locked == [True]


def test_dropping_mailbox_makes_a_dead_letter_and_answers_the_ask(
    manual_system: ActorSystem, log: list[Any]
) -> None:
    ref = manual_system.spawn(Dropping, log, address=ADDRESS)
    for number in range(3):
        ref.tell(number)

    ref.tell("lost")
    answer = ref.ask("asked", block=False)

    letters = manual_system.dead_letters.last()
    assert [(letter.message, letter.reason) for letter in letters] == [("lost", "full")]
    with pytest.raises(MailboxFull):
        answer.get(timeout=0)


def test_stop_and_system_messages_enter_a_full_mailbox(
    manual_system: ActorSystem, manual: ManualLane, log: list[Any]
) -> None:
    ref = manual_system.spawn(Bounded, log, address=ADDRESS)
    for number in range(3):
        ref.tell(number)

    gone = manual_system.stop(ADDRESS)
    assert manual_system.control(ADDRESS, "restart")
    manual.run()

    assert gone.is_done
    assert log == ["start", "stop", "start", 0, 1, 2, "stop"]


def test_put_after_close_is_answered(
    manual_system: ActorSystem, manual: ManualLane, log: list[Any]
) -> None:
    ref = manual_system.spawn(Recorder, log, address=ADDRESS)
    mailbox = ref.actor_inbox
    manual_system.stop(ADDRESS)
    manual.run()
    asked: LaneFuture[Any] = LaneFuture()
    stopped: LaneFuture[Any] = LaneFuture()

    mailbox.put(Envelope("asked", reply_to=asked))
    mailbox.put(Envelope(pykka.messages._ActorStop(), reply_to=stopped))

    with pytest.raises(pykka.ActorDeadError, match="stopped before handling the message"):
        asked.get(timeout=0)
    assert stopped.get(timeout=0) is None
    with pytest.raises(pykka.ActorDeadError, match="not found"):
        mailbox.put(Envelope("told"))


def test_messages_behind_a_stop_are_answered_or_become_dead_letters(
    manual_system: ActorSystem, manual: ManualLane, log: list[Any]
) -> None:
    ref = manual_system.spawn(Recorder, log, address=ADDRESS)
    ref.tell("before")
    manual_system.stop(ADDRESS)
    ref.tell("told")
    asked = ref.ask("asked", block=False)
    again = manual_system.stop(ADDRESS)
    manual.run()

    assert log == ["start", "before", "stop"]
    assert [letter.message for letter in manual_system.dead_letters.last()] == ["told"]
    assert again.is_done
    with pytest.raises(pykka.ActorDeadError):
        asked.get(timeout=0)


def test_kill_overtakes_the_queue(
    manual_system: ActorSystem, manual: ManualLane, log: list[Any]
) -> None:
    ref = manual_system.spawn(Recorder, log, address=ADDRESS)
    manual.run()
    ref.tell("queued")

    assert manual_system.control(ADDRESS, "kill")
    manual.run()

    assert log == ["start", "stop"]
    assert manual_system.dead_letters.last()[0].reason == "stopped"
    assert not manual_system.control(ADDRESS, "kill")


def test_suspended_actor_handles_nothing_until_resumed(
    manual_system: ActorSystem, manual: ManualLane, log: list[Any]
) -> None:
    ref = manual_system.spawn(Recorder, log, address=ADDRESS)
    manual.run()
    manual_system.control(ADDRESS, "suspend")
    ref.tell(1)
    manual_system.stop(ADDRESS)

    manual.run()
    before = list(log)
    manual_system.control(ADDRESS, "resume")
    manual.run()

    assert before == ["start"]
    assert log == ["start", 1, "stop"]


def test_turn_ends_after_its_share_of_messages(
    manual_system: ActorSystem, manual: ManualLane, log: list[Any]
) -> None:
    ref = manual_system.spawn(Recorder, log, address=ADDRESS)
    for number in range(THROUGHPUT_MESSAGES + 1):
        ref.tell(number)

    manual.step()

    # At most: a machine that stood still for 5 ms ends the turn by time.
    assert len(log) <= 1 + THROUGHPUT_MESSAGES
    assert [mailbox.address for mailbox in manual.ready] == [ADDRESS]
    manual.run()
    assert log == ["start", *range(THROUGHPUT_MESSAGES + 1)]


def test_turn_is_over_with_what_had_come_when_it_began(
    manual_system: ActorSystem, manual: ManualLane, log: list[Any]
) -> None:
    class Chatty(Recorder):
        def on_receive(self, message: Any) -> None:
            super().on_receive(message)
            if message < 3:
                self.actor_ref.tell(message + 1)

    manual_system.spawn(Chatty, log, address=ADDRESS).tell(0)
    turns = []
    while manual.ready:
        manual.step()
        turns.append(log[-1])

    assert turns == [0, 1, 2, 3]


def test_time_is_looked_at_before_every_eighth_message(
    manual_system: ActorSystem,
    manual: ManualLane,
    log: list[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ref = manual_system.spawn(Recorder, log, address=ADDRESS)
    manual.run()
    for number in range(20):
        ref.tell(number)
    begun = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: begun + 2 * SLICE_SECONDS * (len(log) > 10))
    turns = []
    while manual.ready:
        manual.step()
        turns.append(log[-1])

    # 20 at first; with 16 left there was time, with 8 left no more.
    assert turns == [11, 19]


@pytest.mark.parametrize("order", ["kill", "suspend", "restart"])
def test_order_takes_effect_before_the_next_message_of_a_batch(
    order: Order, manual_system: ActorSystem, manual: ManualLane, log: list[Any]
) -> None:
    class Ordering(Recorder):
        def on_receive(self, message: Any) -> None:
            super().on_receive(message)
            if message == 1:
                manual_system.control(ADDRESS, order)

    ref = manual_system.spawn(Ordering, log, address=ADDRESS)
    for number in range(6):
        ref.tell(number)
    manual.run()

    assert log[:3] == ["start", 0, 1]
    assert (
        log[3:]
        == {"kill": ["stop"], "suspend": [], "restart": ["stop", "start", 2, 3, 4, 5]}[order]
    )


@pytest.mark.parametrize("before", [True, False])
def test_message_that_meets_a_turn_about_to_rest_is_seen_once(
    before: bool,
    manual_system: ActorSystem,
    manual: ManualLane,
    log: list[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A sender gets in just before, or just after, the last look of a turn."""
    ref = manual_system.spawn(Recorder, log, address=ADDRESS)
    manual.run()
    late = ["late"]
    look = Mailbox._has_work

    def meddled(mailbox: Mailbox) -> bool:
        if not manual.ready and not before:
            found = look(mailbox)
            if late and not found:
                ref.tell(late.pop())
            return found
        if late and log[-1] == "early":
            ref.tell(late.pop())
        return look(mailbox)

    ref.tell("early")
    monkeypatch.setattr(Mailbox, "_has_work", meddled)
    manual.run()

    assert log == ["start", "early", "late"]


def test_message_that_meets_the_end_of_its_actor_has_one_end(
    manual_system: ActorSystem, manual: ManualLane, log: list[Any]
) -> None:
    """Two senders have queued, and not yet looked, when the mailbox is already closed."""
    mailbox = manual_system.spawn(Recorder, log, address=ADDRESS).actor_inbox
    assert isinstance(mailbox, Mailbox)
    manual_system.stop(ADDRESS)
    manual.run()
    mailbox._incoming.append(("other", None))

    with pytest.raises(pykka.ActorDeadError, match="not found"):
        mailbox.post("mine")

    assert [letter.message for letter in manual_system.dead_letters.last()] == ["other"]
    assert mailbox.empty()


def test_idle_mailbox_keeps_no_room_for_messages(
    manual_system: ActorSystem, manual: ManualLane, log: list[Any]
) -> None:
    ref = manual_system.spawn(Recorder, log, address=ADDRESS)
    ref.tell(1)
    manual.run()

    mailbox = ref.actor_inbox
    assert isinstance(mailbox, Mailbox)
    assert (mailbox.batch, mailbox._urgent) == (None, None)
    assert sys.getsizeof(mailbox._incoming) == sys.getsizeof([])
    assert mailbox.empty()


class MailboxMachine(RuleBasedStateMachine):
    """Any order of messages, orders and turns against a model of two lists."""

    def __init__(self) -> None:
        super().__init__()
        self.lane = ManualLane()
        self.system = ActorSystem(self.lane, VirtualClock())
        self.log: list[Any] = []
        self.ref = self.system.spawn(Recorder, self.log, address=ADDRESS)
        self.number = 0
        self.queue: list[Any] = []
        self.expected: list[Any] = []
        self.answers: list[tuple[Any, pykka.Future[Any]]] = []
        self.orders: list[str] = []
        self.started = self.suspended = self.gone = False

    def _next(self) -> int:
        self.number += 1
        return self.number

    @precondition(lambda self: not self.gone)
    @rule()
    def tell(self) -> None:
        number = self._next()
        self.ref.tell(number)
        self.queue.append(number)

    @rule()
    def ask(self) -> None:
        number = self._next()
        self.answers.append((number, self.ref.ask(number, block=False)))
        if not self.gone:
            self.queue.append(number)

    @precondition(lambda self: not self.gone)
    @rule()
    def stop(self) -> None:
        self.answers.append(("stop", self.system.stop(ADDRESS)))
        self.queue.append("stop")

    @rule()
    def suspend(self) -> None:
        assert self.system.control(ADDRESS, "suspend") is not self.gone
        self.suspended = True

    @rule()
    def resume(self) -> None:
        assert self.system.control(ADDRESS, "resume") is not self.gone
        self.suspended = False

    @rule()
    def restart(self) -> None:
        assert self.system.control(ADDRESS, "restart") is not self.gone
        self.orders.append("restart")

    @rule()
    def kill(self) -> None:
        assert self.system.control(ADDRESS, "kill") is not self.gone
        self.orders.append("kill")

    @rule()
    def run(self) -> None:
        self.lane.run()
        self._model_run()
        assert self.log == self.expected
        assert self.lane.ready == deque()

    def _model_run(self) -> None:
        self._model_start()
        while not self.gone and (self.orders or (self.queue and not self.suspended)):
            message = self.orders.pop(0) if self.orders else self.queue.pop(0)
            if message in {"stop", "kill"}:
                self.expected.append("stop")
                self.gone = True
            elif message == "restart":
                self.expected.append("stop")
                self.started = False
                self._model_start()
            else:
                self.expected.append(message)
        self.orders = []

    def _model_start(self) -> None:
        if not (self.gone or self.started or self.suspended):
            self.started = True
            self.expected.append("start")

    @invariant()
    def an_actor_that_is_gone_has_answered_everything(self) -> None:
        if self.gone:
            assert all(answer.is_done for _, answer in self.answers)  # type: ignore[attr-defined] # LaneFuture
            assert self.system.dump_actors() == []
            assert not self.ref.is_alive()

    @invariant()
    def answers_are_the_messages(self) -> None:
        for number, answer in self.answers:
            assert isinstance(answer, LaneFuture)
            if answer.is_done and number in self.log and number != "stop":
                assert answer.get(timeout=0) == number


TestMailboxMachine = MailboxMachine.TestCase
TestMailboxMachine.settings = settings(max_examples=150, stateful_step_count=30)
