"""Sessions that wait until others have ended: their order, and that none is forgotten."""

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from held_work import BOUND_SECONDS
from maestro_actors.kernel import VirtualClock
from maestro_runtime import (
    Runtime,
    RuntimeOptions,
    RuntimePolicy,
    SessionOrder,
    open_runtime,
)
from maestro_runtime.daemon._taking_up import take_up
from maestro_runtime.errors import AdmissionRefused, PriorityInvalid
from maestro_runtime.reports.session import session_report
from maestro_runtime.testing import ScriptedEngine, Work, simple_team
from maestro_runtime.testing.trial import START_MS
from maestro_storage.records import EventRecord

Start = Callable[..., SessionOrder]

ONE_AT_A_TIME = RuntimePolicy(sessions_running=1, sessions_queued=3)


@pytest.fixture
def order(tmp_path: Path) -> Start:
    """Return the order of a session with one contract, by its name."""

    def named(name: str, priority: int = 0) -> SessionOrder:
        team = simple_team({"a": ("a1",)}, workers=1)
        return SessionOrder(team, name, tmp_path / name, priority=priority)

    return named


@pytest.fixture
def options() -> RuntimeOptions:
    """A runtime that runs one session at a time."""
    return RuntimeOptions(engines=(ScriptedEngine(),), policy=ONE_AT_A_TIME)


def state(runtime: Runtime, name: str) -> str:
    return runtime.store.require_session(name).state


def places(runtime: Runtime, *names: str) -> list[int]:
    return [session_report(runtime.store, name).queue_place for name in names]


class Admissions:
    """The sessions that were let out of the queue, in that order."""

    def __init__(self, runtime: Runtime) -> None:
        self.names: list[str] = []
        self._changed = threading.Condition()
        runtime.subscribe(self._note)

    def _note(self, event: EventRecord) -> None:
        if event.kind == "session_admitted":
            with self._changed:
                self.names.append(event.session_id)
                self._changed.notify_all()

    def wait_for(self, count: int) -> list[str]:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.names) >= count, BOUND_SECONDS)
            return list(self.names)


def test_sessions_wait_for_others_and_begin_by_themselves_in_their_turn(
    runtime: Runtime, gate: ScriptedEngine, order: Start
) -> None:
    admissions = Admissions(runtime)
    names = ["first", "second", "urgent"]
    sessions = [
        runtime.run(order(name, priority)) for name, priority in zip(names, (0, 0, 5), strict=True)
    ]
    gate.wait_for_calls(1)

    assert [state(runtime, name) for name in names] == ["running", "queued", "queued"]
    assert places(runtime, *names) == [0, 2, 1]
    assert sessions[1].report().tasks[0].detail == "other sessions to end"

    gate.otherwise = Work()
    gate.release()

    assert [session.result(BOUND_SECONDS).state for session in sessions] == ["done"] * 3
    assert admissions.names == ["urgent", "second"]
    assert [order.session_id for order in gate.orders] == ["first", "urgent", "second"]


def test_a_session_that_finds_the_queue_full_is_refused_and_leaves_nothing(
    runtime: Runtime, gate: ScriptedEngine, order: Start
) -> None:
    for name in ("a", "b", "c", "d"):
        runtime.run(order(name))
    gate.wait_for_calls(1)

    with pytest.raises(AdmissionRefused) as caught:
        runtime.run(order("e"))

    assert (caught.value.limit, caught.value.retry_after_seconds) == (3, 10.0)
    assert runtime.store.sessions.get("e") is None
    assert not order("e").output_dir.exists()  # type: ignore[union-attr] # it has one
    assert runtime.run(order("b")).report().state == "queued", "one that waits is not refused"
    gate.otherwise = Work()
    gate.release()
    runtime.run(order("d")).result(BOUND_SECONDS)
    assert runtime.run(order("e")).result(BOUND_SECONDS).state == "done"


def test_the_queue_is_the_same_after_a_restart(
    tmp_path: Path, options: RuntimeOptions, gate: ScriptedEngine, order: Start
) -> None:
    with open_runtime(tmp_path / "state", options) as runtime:
        for name, priority in (("z-first", 0), ("late", 0), ("a-early", 1), ("m", 0)):
            runtime.run(order(name, priority))
        gate.wait_for_calls(1)
        before = places(runtime, "z-first", "late", "a-early", "m")

    gate.otherwise = Work()
    with open_runtime(tmp_path / "state", options) as runtime:
        assert places(runtime, "z-first", "late", "a-early", "m") == before == [0, 2, 1, 3]
        admissions = Admissions(runtime)
        taken = take_up(runtime, lambda _: True)
        assert taken.left == {}
        for name in taken.resumed:
            runtime.resume(name).result(BOUND_SECONDS)
        assert admissions.names == ["a-early", "late", "m"]


def test_those_that_wait_keep_their_order_after_the_wall_clock_was_set_back(
    tmp_path: Path, options: RuntimeOptions, gate: ScriptedEngine, order: Start
) -> None:
    clock = VirtualClock(START_MS)
    with open_runtime(tmp_path / "state", replace(options, clock=clock)) as runtime:
        for name in ("first", "b", "a"):
            runtime.run(order(name))
            clock.advance(1.0)
        gate.wait_for_calls(1)

    sooner = replace(options, clock=VirtualClock(START_MS - 3_600_000))
    with open_runtime(tmp_path / "state", sooner) as runtime:
        take_up(runtime, lambda _: True)
        found = places(runtime, "b", "a")

    assert found == [1, 2]


def test_who_has_waited_goes_first_after_the_wall_clock_was_set_back(
    tmp_path: Path, options: RuntimeOptions, gate: ScriptedEngine, order: Start
) -> None:
    later = replace(options, clock=VirtualClock(START_MS))
    with open_runtime(tmp_path / "state", later) as runtime:
        for name in ("first", "waiting"):
            runtime.run(order(name))
        gate.wait_for_calls(1)

    now_ms = START_MS - 3_600_000
    sooner = replace(options, clock=VirtualClock(now_ms))
    with open_runtime(tmp_path / "state", sooner) as runtime:
        admissions = Admissions(runtime)
        for name in ("first", "waiting"):
            runtime.resume(name)
        newcomer = runtime.run(order("a-newcomer", priority=-1))
        assert places(runtime, "waiting", "a-newcomer") == [1, 2]
        assert runtime.store.require_session("waiting").queued_ms == now_ms
        gate.wait_for_calls(2)
        gate.otherwise = Work()
        gate.release()

        assert newcomer.result(BOUND_SECONDS).state == "done"
        assert admissions.names == ["waiting", "a-newcomer"]


def test_a_session_in_the_queue_can_be_paused_resumed_and_cancelled(
    runtime: Runtime, gate: ScriptedEngine, order: Start
) -> None:
    runtime.run(order("first"))
    gate.wait_for_calls(1)
    runtime.run(order("second"))
    runtime.run(order("third"))

    assert runtime.pause("second").result(BOUND_SECONDS).state == "paused"
    assert runtime.cancel("third").result(BOUND_SECONDS).state == "cancelled"
    assert places(runtime, "second", "third") == [0, 0]
    again = runtime.resume("second")
    assert state(runtime, "second") == "queued"
    gate.otherwise = Work()
    gate.release()

    assert again.result(BOUND_SECONDS).state == "done"
    assert [order.session_id for order in gate.orders] == ["first", "second"]


def test_a_limit_that_is_raised_live_lets_sessions_begin(
    runtime: Runtime, gate: ScriptedEngine, order: Start
) -> None:
    admissions = Admissions(runtime)
    for name in ("a", "b", "c", "d"):
        runtime.run(order(name))
    gate.wait_for_calls(1)

    runtime.govern(RuntimePolicy(sessions_running=3, sessions_queued=3))

    assert admissions.wait_for(2) == ["b", "c"]
    gate.wait_for_calls(3)
    assert state(runtime, "d") == "queued"
    gate.otherwise = Work()
    gate.release()
    runtime.run(order("d")).result(BOUND_SECONDS)


def test_a_session_whose_engine_is_gone_does_not_keep_the_others_waiting(
    tmp_path: Path, gate: ScriptedEngine, options: RuntimeOptions, order: Start
) -> None:
    with open_runtime(tmp_path / "state", options) as runtime:
        runtime.run(order("first"))
        gate.wait_for_calls(1)
        lost = runtime.run(order("lost"))
        last = runtime.run(order("last"))
        directory = tmp_path / "lost"
        directory.rename(tmp_path / "elsewhere")
        directory.write_text("a file where the workspace was")
        gate.otherwise = Work()
        gate.release()

        assert last.result(BOUND_SECONDS).state == "done"
        with pytest.raises(ValueError, match="output directory"):
            lost.result(BOUND_SECONDS)
        assert state(runtime, "lost") == "queued"


@pytest.mark.parametrize("priority", [-101, 101])
def test_a_priority_has_bounds(runtime: Runtime, order: Start, priority: int) -> None:
    with pytest.raises(PriorityInvalid):
        runtime.run(order("a", priority))


def test_a_priority_is_kept_with_its_session(
    runtime: Runtime, gate: ScriptedEngine, order: Start
) -> None:
    gate.otherwise = Work()

    runtime.run(replace(order("a"), priority=-7)).result(BOUND_SECONDS)

    assert runtime.store.require_session("a").priority == -7
