"""What is wished of a session is done though its process is killed in the middle of it."""

import signal
from pathlib import Path

import pytest

import forked
from maestro_runtime import RuntimeOptions, open_runtime
from maestro_runtime.report import SessionReport, session_report
from maestro_runtime.testing import ScriptedEngine
from maestro_storage import Store
from wished import SESSION, main, order

BOUND_SECONDS = 20.0


def killed(tmp_path: Path, verb: str, last_event: str) -> SessionReport:
    """Kill a process at an event; return what its session comes to when the same is run again."""
    places = (str(tmp_path / "state"), str(tmp_path / "out"))
    assert forked.run(main, *places, verb, last_event) == -signal.SIGKILL
    with open_runtime(tmp_path / "state", RuntimeOptions(engines=(ScriptedEngine(),))) as runtime:
        found = session_report(runtime.store, SESSION)
        if last_event == f"{verb}_asked":
            detail = "recovery of attempt 1 of round 1; its session is to "
            assert found.tasks[0].detail == detail + verb
        return runtime.run(order(places[1])).result(BOUND_SECONDS)


def assert_sound(tmp_path: Path) -> None:
    with Store.inspect(tmp_path / "state") as store:
        events = [event.sequence for event in store.events.scan(SESSION)]
        calls = list(store.calls.scan(SESSION))
    assert events == list(range(1, len(events) + 1))
    assert all(call.state != "open" for call in calls)
    places = [(call.task_id, call.round, call.attempt) for call in calls]
    assert len(set(places)) == len(places)


@pytest.mark.parametrize("last_event", ["pause_asked", "attempt_interrupted", "session_paused"])
def test_a_killed_pause_is_a_pause(tmp_path: Path, last_event: str) -> None:
    report = killed(tmp_path, "pause", last_event)

    assert (report.state, report.pause_reason, report.wish) == ("paused", "asked for", "run")
    assert [len(task.attempts) for task in report.tasks] == [1, 0, 0, 0]
    assert_sound(tmp_path)
    with open_runtime(tmp_path / "state", RuntimeOptions(engines=(ScriptedEngine(),))) as runtime:
        runtime.resume(SESSION).result(BOUND_SECONDS)
    assert_sound(tmp_path)


@pytest.mark.parametrize("last_event", ["cancel_asked", "attempt_interrupted", "session_cancelled"])
def test_a_killed_cancel_is_a_cancel_and_asks_nobody_for_help(
    tmp_path: Path, last_event: str
) -> None:
    report = killed(tmp_path, "cancel", last_event)

    assert (report.state, report.wish) == ("cancelled", "run")
    assert [task.state for task in report.tasks] == ["cancelled"] * 4
    assert [len(task.attempts) for task in report.tasks] == [1, 0, 0, 0]
    assert_sound(tmp_path)
    with Store.inspect(tmp_path / "state") as store:
        assert not list(store.outbox.scan(SESSION))
