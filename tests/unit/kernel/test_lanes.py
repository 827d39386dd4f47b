import asyncio
import logging
import os
import threading
from collections import deque
from pathlib import Path
from typing import Any

import pykka
import pytest

from maestro_actors.kernel import (
    AsyncLane,
    Lane,
    LaneActor,
    LaneClosed,
    LaneSaturated,
    ThreadLane,
    _async_lane,
    _thread_lane,
)
from maestro_actors.kernel._mailbox import Mailbox


class Echo(LaneActor):
    def on_receive(self, message: Any) -> Any:
        return message() if callable(message) else message


@pytest.fixture
def echo_class(lane: Lane) -> type[Echo]:
    return type("Echo", (Echo,), {"lane": lane})


def _threads_of(name: str) -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith(name)]


@pytest.mark.parametrize("kind", [ThreadLane, AsyncLane])
def test_lane_has_no_thread_before_its_first_actor(kind: type[ThreadLane | AsyncLane]) -> None:
    lane = kind("lazy")

    assert _threads_of("lazy") == []
    lane.close()


def test_closed_lane_leaves_no_thread(echo_class: type[Echo], lane: Lane) -> None:
    echo_class.start().ask(1, timeout=20)

    lane.close()
    lane.close()

    assert _threads_of(lane.name) == []


def test_message_after_the_close_of_the_lane_is_answered(
    echo_class: type[Echo], lane: Lane
) -> None:
    ref = echo_class.start()
    ref.ask(1, timeout=20)
    lane.close()

    with pytest.raises(pykka.ActorDeadError):
        ref.ask(2, timeout=20)

    assert not ref.is_alive()
    assert pykka.ActorRegistry.get_by_urn(ref.actor_urn) is None


def test_closed_lane_leaves_no_descriptor(echo_class: type[Echo], lane: Lane) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    echo_class.start().ask(1, timeout=20)

    lane.close()

    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_closing_an_async_lane_answers_the_ask_in_flight(async_lane: AsyncLane) -> None:
    awaits = threading.Event()

    class Patient(LaneActor):
        lane = async_lane

        async def on_receive(self, _: Any) -> None:
            awaits.set()
            await asyncio.Event().wait()

    ref = Patient.start()
    in_flight, queued = ref.ask(1, block=False), ref.ask(2, block=False)
    assert awaits.wait(20)

    async_lane.close()

    for answer in (in_flight, queued):
        with pytest.raises(pykka.ActorDeadError):
            answer.get(timeout=20)


def test_closing_a_lane_from_its_own_thread_does_not_hang(
    echo_class: type[Echo], lane: Lane
) -> None:
    assert echo_class.start().ask(lane.close, timeout=20) is None

    with pytest.raises(LaneClosed):
        echo_class.start()


def test_close_leaves_a_busy_thread_behind_with_a_warning(
    echo_class: type[Echo], lane: Lane, caplog: pytest.LogCaptureFixture
) -> None:
    busy, gate = threading.Event(), threading.Event()

    def hold() -> None:
        busy.set()
        gate.wait(20)

    echo_class.start().tell(hold)
    assert busy.wait(20)

    with caplog.at_level(logging.WARNING):
        lane.close(timeout_seconds=0.0)
    gate.set()
    lane.close()

    assert "still busy" in caplog.text
    assert _threads_of(lane.name) == []


def test_long_queue_of_one_actor_does_not_hold_up_another(
    echo_class: type[Echo], lane: Lane
) -> None:
    order: list[str] = []
    busy, gate = threading.Event(), threading.Event()

    def hold() -> None:
        busy.set()
        gate.wait(20)

    flooded, other = echo_class.start(), echo_class.start()
    flooded.tell(hold)
    assert busy.wait(20)
    for _ in range(200):
        flooded.tell(lambda: order.append("flooded"))
    last = flooded.ask(lambda: order.append("flooded"), block=False)
    other.tell(lambda: order.append("other"))

    gate.set()
    last.get(timeout=20)

    assert order.index("other") < 130
    assert len(order) == 202


def test_lane_of_two_threads_runs_two_handlers_at_once() -> None:
    lane = ThreadLane("pair", threads=2)
    pair: type[Echo] = type("Echo", (Echo,), {"lane": lane})
    barrier = threading.Barrier(2)

    answers = [pair.start().ask(lambda: barrier.wait(20), block=False) for _ in range(2)]

    assert sorted(pykka.get_all(answers, timeout=20)) == [0, 1]
    lane.close()


def test_lane_without_threads_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1 thread, got 0"):
        ThreadLane("none", threads=0)


def test_too_many_blocked_handlers_saturate_the_lane(
    thread_lane: ThreadLane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_thread_lane, "BLOCKED_MAX", 3)

    class Link(LaneActor):
        lane = thread_lane

        def on_receive(self, refs: list[pykka.ActorRef[Any]]) -> Any:
            return refs[0].ask(refs[1:]) if refs else "end"

    refs = [Link.start() for _ in range(5)]

    assert refs[0].ask(refs[1:4], timeout=20) == "end"
    with pytest.raises(LaneSaturated, match="3 handlers are blocked already"):
        refs[0].ask(refs[1:], timeout=20)


def test_spare_threads_leave_when_nobody_blocks() -> None:
    left = threading.Semaphore(0)

    class Counting(ThreadLane):
        def _is_surplus(self) -> bool:
            surplus = super()._is_surplus()
            if surplus:
                left.release()
            return surplus

    lane_ = Counting("spare")

    class Link(LaneActor):
        lane = lane_

        def on_receive(self, refs: list[pykka.ActorRef[Any]]) -> Any:
            return refs[0].ask(refs[1:]) if refs else "end"

    refs = [Link.start() for _ in range(10)]

    assert refs[0].ask(refs[1:], timeout=20) == "end"

    assert all(left.acquire(timeout=20) for _ in range(lane_._number - 1))
    assert len(lane_._workers) == 1
    lane_.close()


def test_burst_from_outside_wakes_the_loop_once(
    async_lane: AsyncLane, monkeypatch: pytest.MonkeyPatch
) -> None:
    echo: type[Echo] = type("Echo", (Echo,), {"lane": async_lane})
    refs = [echo.start() for _ in range(100)]
    busy, gate = threading.Event(), threading.Event()

    def hold() -> None:
        busy.set()
        gate.wait(20)

    refs[0].tell(hold)
    assert busy.wait(20)
    wakes: list[int] = []
    wake = os.eventfd_write

    def counted(bell: int, value: int) -> None:
        wakes.append(value)
        wake(bell, value)

    monkeypatch.setattr(os, "eventfd_write", counted)

    answers = [ref.ask(1, block=False) for ref in refs for _ in range(20)]
    in_burst = len(wakes)
    gate.set()
    pykka.get_all(answers, timeout=20)
    refs[0].ask(1, timeout=20)

    assert in_burst == 0
    assert len(wakes) <= 1


def test_turn_asked_for_while_the_pump_goes_to_rest_is_given(async_lane: AsyncLane) -> None:
    echo: type[Echo] = type("Echo", (Echo,), {"lane": async_lane})
    ref = echo.start()
    ref.ask(1, timeout=20)
    answered = threading.Event()

    class Ready(deque[Mailbox]):
        """A sender gets in when the pump has just found that nobody waits."""

        armed = False

        def __bool__(self) -> bool:
            found = len(self) > 0
            if not found and self.armed:
                self.armed = False
                ref.tell(answered.set)
            return found

    def arm() -> None:
        ready.armed = True

    ready = async_lane._ready = Ready()
    echo.start().tell(arm)

    assert answered.wait(20)


def test_plain_handlers_run_without_a_task(async_lane: AsyncLane) -> None:
    class Curious(LaneActor):
        lane = async_lane

        def on_receive(self, _: Any) -> tuple[bool, int]:
            return asyncio.current_task() is None, len(asyncio.all_tasks(async_lane.loop))

    assert Curious.start().ask("task", timeout=20) == (True, 0)


def test_actors_that_are_always_busy_leave_the_loop_its_share(async_lane: AsyncLane) -> None:
    class Restless(LaneActor):
        lane = async_lane
        busy = True

        def on_start(self) -> None:
            self.actor_ref.tell("again")

        def on_receive(self, message: str) -> None:
            if message == "rest":
                self.busy = False
            elif self.busy:
                self.actor_ref.tell("again")

    ref = Restless.start()

    async def breathe() -> str:
        for _ in range(10):
            await asyncio.sleep(0)
        return "breathed"

    answer = asyncio.run_coroutine_threadsafe(breathe(), async_lane.loop)

    assert answer.result(timeout=20) == "breathed"
    ref.ask("rest", timeout=20)


def _doer(its_lane: AsyncLane) -> pykka.ActorRef[Any]:
    """Start an actor that does what it is told to."""

    class Doer(Echo):
        lane = its_lane

    return Doer.start()


def test_what_is_to_be_done_before_the_rest_comes_once_and_after_all_turns(
    async_lane: AsyncLane,
) -> None:
    done: list[str] = []
    over = threading.Event()
    refs = [_doer(async_lane) for _ in range(3)]

    def act() -> None:
        done.append("act")
        over.set()

    def turn() -> None:
        assert async_lane.before_rest(act)
        done.append("turn")
        if len(done) < 3:
            refs[len(done)].tell(turn)

    refs[0].tell(turn)

    assert over.wait(20)
    refs[0].ask(lambda: None, timeout=20)
    assert done == ["turn", "turn", "turn", "act"]


def test_an_act_before_the_rest_may_have_more_turns_taken(async_lane: AsyncLane) -> None:
    done: list[str] = []
    over = threading.Event()
    ref = _doer(async_lane)

    def turn() -> None:
        done.append("turn")
        if len(done) < 4:
            async_lane.before_rest(act)
        else:
            over.set()

    def act() -> None:
        done.append("act")
        ref.tell(turn)

    ref.tell(turn)

    assert over.wait(20)
    assert done == ["turn", "act", "turn", "act", "turn"]


def test_an_act_is_done_before_a_lane_rests_that_rests_already(async_lane: AsyncLane) -> None:
    acted = threading.Event()
    async_lane.loop.call_soon_threadsafe(async_lane.before_rest, acted.set)

    assert acted.wait(20)


def test_an_act_is_done_by_a_lane_that_never_rests(
    async_lane: AsyncLane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_async_lane, "SLICE_SECONDS", 0.0)
    acted = threading.Event()
    ref, other = _doer(async_lane), _doer(async_lane)

    def begin() -> None:
        async_lane.before_rest(acted.set)
        other.tell(turn)

    def turn() -> None:
        if not acted.is_set():
            other.tell(turn)

    ref.tell(begin)

    assert acted.wait(20)


def test_what_is_slow_is_done_after_all_else_before_the_rest(async_lane: AsyncLane) -> None:
    done: list[str] = []
    over = threading.Event()
    ref = _doer(async_lane)

    def slow() -> None:
        done.append("slow")
        over.set()

    def turn() -> None:
        async_lane.before_rest(slow, slow=True)
        async_lane.before_rest(lambda: done.append("quick"))

    ref.tell(turn)

    assert over.wait(20)
    assert done == ["quick", "slow"]


def test_an_act_before_the_rest_may_ask_for_another_one(async_lane: AsyncLane) -> None:
    over = threading.Event()
    ref = _doer(async_lane)

    def act() -> None:
        async_lane.before_rest(over.set)

    ref.tell(lambda: async_lane.before_rest(act))

    assert over.wait(20)


def test_nothing_is_promised_before_the_rest_of_another_lane(async_lane: AsyncLane) -> None:
    assert not async_lane.before_rest(lambda: None)


def test_an_act_that_fails_is_logged_and_the_lane_goes_on(
    async_lane: AsyncLane, caplog: pytest.LogCaptureFixture
) -> None:
    ref = _doer(async_lane)

    def fail() -> None:
        raise RuntimeError("broken")

    ref.ask(lambda: async_lane.before_rest(fail), timeout=20)

    assert ref.ask(lambda: 7, timeout=20) == 7
    assert "What lane io was to do before it rests failed" in caplog.text


def test_acts_of_several_are_done_each_once_though_one_fails(async_lane: AsyncLane) -> None:
    done: list[str] = []
    ref = _doer(async_lane)

    def fail() -> None:
        done.append("failed")
        raise RuntimeError("broken")

    def act() -> None:
        done.append("act")

    def turn() -> None:
        for each in (fail, act, act):
            async_lane.before_rest(each)

    ref.ask(turn, timeout=20)
    _passed(async_lane)

    assert done == ["failed", "act"]


def _passed(lane: AsyncLane) -> None:
    """Wait until the loop has done what was asked of it so far."""
    passed = threading.Event()
    lane.call_soon(passed.set)
    assert passed.wait(20)


def test_what_is_gathered_is_handled_once_all_of_it_is_there(async_lane: AsyncLane) -> None:
    handled: list[int] = []
    ref = _doer(async_lane)
    ref.ask(lambda: None, timeout=20)
    _passed(async_lane)

    with async_lane.gathering():
        for number in range(3):
            ref.tell(lambda number=number: handled.append(number))
            _passed(async_lane)
        seen_before = list(handled)

    ref.ask(lambda: None, timeout=20)
    assert seen_before == []
    assert handled == [0, 1, 2]


def test_gathering_for_a_lane_that_is_closed_meanwhile_leaves_nobody_waiting(
    async_lane: AsyncLane,
) -> None:
    ref = _doer(async_lane)
    ref.ask(lambda: None, timeout=20)

    with async_lane.gathering():
        asked = ref.ask(lambda: None, block=False)
        async_lane.close()

    with pytest.raises(pykka.ActorDeadError):
        asked.get(timeout=20)


def test_what_is_asked_for_on_the_lane_is_called_without_waking_it(
    async_lane: AsyncLane, monkeypatch: pytest.MonkeyPatch
) -> None:
    woken: list[object] = []
    called = threading.Event()

    def on_the_lane() -> None:
        monkeypatch.setattr(async_lane.loop, "call_soon_threadsafe", woken.append)
        async_lane.call_soon(called.set)

    async_lane.call_soon(on_the_lane)

    assert called.wait(20)
    monkeypatch.undo()
    assert woken == []


def test_gathering_before_the_first_actor_starts_no_thread(async_lane: AsyncLane) -> None:
    with async_lane.gathering():
        pass

    assert _threads_of(async_lane.name) == []
