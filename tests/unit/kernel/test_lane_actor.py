import asyncio
import contextvars
import gc
import logging
import sys
import threading
import traceback
import weakref
from typing import Any

import pykka
import pytest

from maestro_actors.kernel import (
    AsyncLane,
    DeadlockError,
    HandlerCancelled,
    Lane,
    LaneActor,
    LaneClosed,
    LaneFuture,
    Later,
    NeedsAsyncLane,
    ThreadLane,
)
from maestro_actors.kernel._mailbox import Mailbox

trace: contextvars.ContextVar[str] = contextvars.ContextVar("trace", default="nobody")
whose: contextvars.ContextVar[object] = contextvars.ContextVar("whose", default=None)


class Diary(LaneActor):
    """Writes down what happens to it."""

    def __init__(self, entries: list[Any]) -> None:
        super().__init__()
        self.entries = entries

    async def on_start(self) -> None:  # type: ignore[override] # awaited on an asyncio lane
        await asyncio.sleep(0)
        self.entries.append("start")

    async def on_receive(self, message: Any) -> Any:
        await asyncio.sleep(0)
        if isinstance(message, BaseException):
            raise message
        self.entries.append(message)
        return message

    async def on_stop(self) -> None:  # type: ignore[override] # as on_start
        await asyncio.sleep(0)
        self.entries.append("stop")

    async def on_failure(self, *_: Any) -> None:  # type: ignore[override] # as on_start
        await asyncio.sleep(0)
        self.entries.append("failure")


@pytest.fixture
def diary_class(async_lane: AsyncLane) -> type[Diary]:
    return type("Diary", (Diary,), {"lane": async_lane})


def test_all_four_hooks_may_be_async(diary_class: type[Diary]) -> None:
    entries: list[Any] = []
    ref = diary_class.start(entries)
    ref.tell(1)

    assert ref.ask(2, timeout=20) == 2
    assert ref.stop(timeout=20)

    assert entries == ["start", 1, 2, "stop"]


def test_async_failure_of_a_tell_stops_the_actor_and_answers_the_rest(
    diary_class: type[Diary], async_lane: AsyncLane
) -> None:
    entries: list[Any] = []
    ref = diary_class.start(entries)
    both_sent = threading.Event()
    async_lane.call_soon(both_sent.wait, 5)
    ref.tell(ValueError("bad"))
    late = ref.ask(1, block=False)
    both_sent.set()

    with pytest.raises(pykka.ActorDeadError, match="stopped before handling the message"):
        late.get(timeout=20)

    assert entries == ["start", "failure"]
    assert not ref.is_alive()


def test_async_failure_of_an_ask_goes_to_the_asker_only(diary_class: type[Diary]) -> None:
    ref = diary_class.start([])

    with pytest.raises(ValueError, match="bad"):
        ref.ask(ValueError("bad"), timeout=20)

    assert ref.ask(1, timeout=20) == 1


def test_on_failure_finds_the_exception_being_handled_with_its_traceback(lane: Lane) -> None:
    seen: list[Any] = []
    told = threading.Event()

    class Faulty(LaneActor):
        def on_receive(self, message: Any) -> None:
            raise ValueError(message)

        def on_failure(self, *exc_info: Any) -> None:
            seen.append((sys.exc_info()[1], exc_info))
            told.set()

    Faulty.lane = lane
    Faulty.start().tell("bad")
    assert told.wait(20)

    [(handled, (kind, error, trace_back))] = seen
    assert handled is error
    assert kind is ValueError
    assert traceback.extract_tb(trace_back)[-1].name == "on_receive"


def test_messages_that_are_tuples_are_messages_like_others(lane: Lane) -> None:
    class Echo(LaneActor):
        def on_receive(self, message: Any) -> Any:
            return message

    Echo.lane = lane
    ref = Echo.start()

    messages: list[Any] = [(), (1, None), None, ref.ask("sent", block=False), b"bytes"]
    assert [ref.ask(message, timeout=20) for message in messages] == messages


def test_async_handlers_of_one_actor_never_overlap(async_lane: AsyncLane) -> None:
    class Exclusive(LaneActor):
        lane = async_lane
        inside = 0

        async def on_receive(self, message: int) -> int:
            self.inside += 1
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            inside, self.inside = self.inside, 0
            assert inside == 1
            return message

    ref = Exclusive.start()

    assert [future.get(timeout=20) for future in [ref.ask(i, block=False) for i in range(50)]] == [
        *range(50)
    ]


def test_async_handlers_of_different_actors_do_overlap(async_lane: AsyncLane) -> None:
    barrier = asyncio.Barrier(20)

    class Meeting(LaneActor):
        lane = async_lane

        async def on_receive(self, _: Any) -> None:
            await barrier.wait()

    answers = [Meeting.start().ask("meet", block=False) for _ in range(20)]

    assert pykka.get_all(answers, timeout=20) == [None] * 20


def test_async_handler_on_a_thread_lane_is_refused_aloud(thread_lane: ThreadLane) -> None:
    class Misplaced(LaneActor):
        lane = thread_lane

        async def on_receive(self, message: Any) -> Any:
            return message

    ref = Misplaced.start()

    with pytest.raises(NeedsAsyncLane, match="thread lane 'hot' cannot run"):
        ref.ask(1, timeout=20)


def test_handler_that_awaits_something_cancelled_fails_without_cancelling_its_asker(
    async_lane: AsyncLane,
) -> None:
    class Unlucky(LaneActor):
        lane = async_lane

        async def on_receive(self, _: Any) -> None:
            raise asyncio.CancelledError

    ref = Unlucky.start()

    with pytest.raises(HandlerCancelled):
        ref.ask(1, timeout=20)


def test_stop_is_answered_when_the_actor_is_gone(lane: Lane) -> None:
    class Resident(LaneActor): ...

    Resident.lane = lane
    ref = Resident.start()
    mailbox = ref.actor_inbox
    assert isinstance(mailbox, Mailbox)
    seen: list[tuple[str, LaneActor | None]] = []

    answer = ref.ask(pykka.messages._ActorStop(), block=False)
    assert isinstance(answer, LaneFuture)
    answer.add_done_callback(lambda _: seen.append((mailbox.state, mailbox.actor)))
    answer.get(timeout=20)
    # The callback may still run when get() returns; the lane has ended it when it is closed.
    lane.close()

    assert seen == [("closed", None)]


def test_actor_is_freed_after_its_stop_without_the_garbage_collector(lane: Lane) -> None:
    freed = threading.Event()

    class Resident(LaneActor):
        def __init__(self) -> None:
            super().__init__()
            weakref.finalize(self, freed.set)

        def on_start(self) -> None:
            whose.set(self)

    Resident.lane = lane
    gc.disable()
    try:
        ref = Resident.start()
        ref.ask("hello", timeout=20)
        ref.stop(timeout=20)

        assert freed.wait(20)
    finally:
        gc.enable()


def test_context_variables_belong_to_the_actor(lane: Lane) -> None:
    class Marked(LaneActor):
        def on_receive(self, message: str | None) -> str:
            if message is not None:
                trace.set(message)
            return trace.get()

    Marked.lane = lane
    first, second = Marked.start(), Marked.start()
    trace.set("outside")

    first.ask("first", timeout=20)
    second.ask("second", timeout=20)

    assert (first.ask(None, timeout=20), second.ask(None, timeout=20)) == ("first", "second")
    assert trace.get() == "outside"


def test_context_variables_reach_an_async_handler(async_lane: AsyncLane) -> None:
    class Marked(LaneActor):
        lane = async_lane

        def on_start(self) -> None:
            trace.set("start")

        async def on_receive(self, _: Any) -> str:
            await asyncio.sleep(0)
            return trace.get()

    assert Marked.start().ask(1, timeout=20) == "start"


def test_base_exception_stops_all_actors_but_not_the_lane(lane: Lane) -> None:
    class Bomb(LaneActor):
        def on_receive(self, message: Any) -> Any:
            if message == "boom":
                raise SystemExit(3)
            return message

    Bomb.lane = lane
    bystander, bomb = Bomb.start(), Bomb.start()

    with pytest.raises(SystemExit):
        bomb.ask("boom", timeout=20)

    assert bystander.actor_stopped.wait(20)
    assert Bomb.start().ask("alive", timeout=20) == "alive"


def test_base_exception_in_on_start_stops_the_actor_but_not_the_lane(lane: Lane) -> None:
    class Stillborn(LaneActor):
        def on_start(self) -> None:
            raise SystemExit(3)

    class Healthy(LaneActor):
        def on_receive(self, message: Any) -> Any:
            return message

    Stillborn.lane = Healthy.lane = lane
    ref = Stillborn.start()

    assert ref.actor_stopped.wait(20)
    assert Healthy.start().ask("alive", timeout=20) == "alive"
    assert pykka.ActorRegistry.get_by_urn(ref.actor_urn) is None


def test_base_exception_in_a_hook_closes_the_mailbox_but_not_the_lane(
    lane: Lane, caplog: pytest.LogCaptureFixture
) -> None:
    class Sore(LaneActor):
        def on_receive(self, message: Any) -> Any:
            return message

        def on_stop(self) -> None:
            raise SystemExit(3)

    Sore.lane = lane
    ref = Sore.start()

    with caplog.at_level(logging.ERROR):
        assert ref.stop(timeout=20)

    assert not ref.is_alive()
    assert Sore.start().ask("alive", timeout=20) == "alive"


def test_twenty_nested_blocking_asks_finish_on_a_lane_with_one_thread(
    thread_lane: ThreadLane,
) -> None:
    class Link(LaneActor):
        lane = thread_lane

        def __init__(self, following: pykka.ActorRef[Any] | None) -> None:
            super().__init__()
            self.following = following

        def on_receive(self, depth: int) -> Any:
            return depth if self.following is None else self.following.ask(depth + 1)

    ref: pykka.ActorRef[Link] | None = None
    for _ in range(21):
        ref = Link.start(ref)
    assert ref is not None

    assert ref.ask(0, timeout=20) == 20


class Neighbour(LaneActor):
    """Asks the first of the refs it is sent to ask the rest."""

    def on_receive(self, refs: list[pykka.ActorRef[Any]]) -> Any:
        return refs[0].ask(refs[1:]) if refs else "end"


def test_blocking_asks_in_a_circle_raise_deadlock_naming_the_actors(
    thread_lane: ThreadLane,
) -> None:
    neighbour: type[Neighbour] = type("Neighbour", (Neighbour,), {"lane": thread_lane})
    first, second = neighbour.start(), neighbour.start()

    with pytest.raises(DeadlockError) as caught:
        first.ask([second, first], timeout=20)

    assert set(caught.value.addresses) == {first.actor_urn, second.actor_urn}


def test_blocking_ask_of_oneself_raises_deadlock(thread_lane: ThreadLane) -> None:
    neighbour: type[Neighbour] = type("Neighbour", (Neighbour,), {"lane": thread_lane})
    ref = neighbour.start()

    with pytest.raises(DeadlockError):
        ref.ask([ref], timeout=20)

    assert ref.ask([], timeout=20) == "end"


def test_waiting_for_ones_own_stop_raises_deadlock(thread_lane: ThreadLane) -> None:
    class Suicidal(LaneActor):
        lane = thread_lane

        def on_receive(self, _: Any) -> Any:
            return self.actor_ref.stop(block=True)

    ref = Suicidal.start()

    with pytest.raises(DeadlockError):
        ref.ask("stop", timeout=20)


def test_two_actors_may_wait_for_a_third_without_deadlock(thread_lane: ThreadLane) -> None:
    neighbour: type[Neighbour] = type("Neighbour", (Neighbour,), {"lane": thread_lane})
    first, second, third = neighbour.start(), neighbour.start(), neighbour.start()

    answers = [first.ask([third], block=False), second.ask([third], block=False)]

    assert pykka.get_all(answers, timeout=20) == ["end", "end"]


def test_start_on_a_closed_lane_raises_and_registers_nobody(lane: Lane) -> None:
    class Homeless(LaneActor): ...

    Homeless.lane = lane
    lane.close()

    with pytest.raises(LaneClosed):
        Homeless.start()

    assert pykka.ActorRegistry.get_by_class(Homeless) == []


def test_actor_without_a_lane_runs_on_the_common_one() -> None:
    class Plain(LaneActor):
        def on_receive(self, _: Any) -> str:
            return threading.current_thread().name

    ref = Plain.start()

    assert str(ref.ask("who", timeout=20)).startswith("actors-")
    ref.stop(timeout=20)


class Promising(LaneActor):
    """Answers once a future has its value; anything but a future at once."""

    def on_receive(self, message: Any) -> Any:
        if isinstance(message, LaneFuture):
            return Later(message, lambda value: 100 // value)
        return message


@pytest.fixture
def promising_class(lane: Lane) -> type[Promising]:
    return type("Promising", (Promising,), {"lane": lane})


def test_who_is_answered_later_keeps_nobody_waiting(promising_class: type[Promising]) -> None:
    ref = promising_class.start()
    future: LaneFuture[int] = LaneFuture()
    try:
        later = ref.ask(future, block=False)

        assert ref.ask("now", timeout=20) == "now"
        with pytest.raises(pykka.Timeout):
            later.get(timeout=0)
    finally:
        ref.stop()
    future.set(4)
    assert later.get(timeout=20) == 25


def test_who_is_answered_later_hears_what_went_wrong(promising_class: type[Promising]) -> None:
    ref = promising_class.start()
    failed: LaneFuture[int] = LaneFuture()
    odd: LaneFuture[int] = LaneFuture()
    try:
        answers = [ref.ask(each, block=False) for each in (failed, odd)]
        failed.set_exception((ValueError, ValueError("no"), None))
        odd.set(0)

        with pytest.raises(ValueError, match="no"):
            answers[0].get(timeout=20)
        with pytest.raises(ZeroDivisionError):
            answers[1].get(timeout=20)
    finally:
        ref.stop()
