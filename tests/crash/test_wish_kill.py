"""What is wished of a session is done though its process is killed in the middle of it."""

import signal
from contextlib import suppress
from pathlib import Path

import pytest

import forked
from maestro_actors.errors import VerbRefused
from maestro_actors.sessions.plan import plan_of
from maestro_runtime import Runtime, RuntimeOptions, open_runtime
from maestro_runtime.at_rest.sessions import rerun_at_rest
from maestro_runtime.reports.session import SessionReport, session_report
from maestro_runtime.testing import ScriptedEngine
from maestro_storage import Store
from maestro_storage.errors import NotFound
from wished import SESSION, main, order

BOUND_SECONDS = 20.0


def places(tmp_path: Path) -> tuple[str, str]:
    return str(tmp_path / "state"), str(tmp_path / "out")


def opened(tmp_path: Path) -> Runtime:
    return open_runtime(tmp_path / "state", RuntimeOptions(engines=(ScriptedEngine(),)))


def killed(tmp_path: Path, verb: str, last_event: str) -> SessionReport:
    """Kill a process at an event; return what its session comes to when the same is run again."""
    assert forked.run(main, *places(tmp_path), verb, last_event) == -signal.SIGKILL
    with opened(tmp_path) as runtime:
        found = session_report(runtime.store, SESSION)
        if last_event == f"{verb}_asked":
            detail = "recovery of attempt 1 of round 1; its session is to "
            assert found.tasks[0].detail == detail + verb
        return runtime.run(order(str(tmp_path / "out"))).result(BOUND_SECONDS)


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
    with opened(tmp_path) as runtime:
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


@pytest.mark.parametrize("last_event", ["rerun_asked", "attempt_interrupted", "session_rerun"])
def test_a_killed_rerun_is_a_rerun_and_goes_on(tmp_path: Path, last_event: str) -> None:
    assert forked.run(main, *places(tmp_path), "rerun", last_event) == -signal.SIGKILL
    with opened(tmp_path) as runtime:
        found = session_report(runtime.store, SESSION)
        report = runtime.run(order(str(tmp_path / "out"))).result(BOUND_SECONDS)
        kinds = [event.kind for event in runtime.store.events.scan(SESSION)]

    assert found.rerun_from == ("" if last_event == "session_rerun" else "a")
    assert (report.state, report.rerun_from) == ("done", "")
    assert kinds.count("session_rerun") == 1
    # What was interrupted, and what followed it before the rerun or because of it.
    assert [len(task.attempts) for task in report.tasks] == [2, 1, 1, 1]
    assert_sound(tmp_path)


def test_a_rerun_of_what_a_kill_has_left_begins_once_its_call_is_settled(tmp_path: Path) -> None:
    assert forked.run(main, *places(tmp_path), "rerun", "attempt_started") == -signal.SIGKILL
    with Store.open(tmp_path / "state") as store:
        assert rerun_at_rest(store, SESSION, "a", 1).phases == ("a", "b")
        asked = store.require_session(SESSION).rerun_from
    with opened(tmp_path) as runtime:
        with pytest.raises(VerbRefused, match="about to run again from phase a"):
            runtime.resume(SESSION, plan_of(["a", "b"]))
        report = runtime.resume(SESSION).result(BOUND_SECONDS)

    assert asked == "a"
    assert (report.state, report.rerun_from) == ("done", "")
    assert_sound(tmp_path)


@pytest.mark.parametrize("last_event", ["cancel_asked", "attempt_interrupted", "session_cancelled"])
def test_a_killed_removal_is_a_removal(tmp_path: Path, last_event: str) -> None:
    assert forked.run(main, *places(tmp_path), "remove", last_event) == -signal.SIGKILL
    with opened(tmp_path) as runtime:
        if runtime.store.sessions.get(SESSION) is not None:
            with suppress(NotFound):
                runtime.resume(SESSION).result(BOUND_SECONDS)
            runtime.store.journal.settle(BOUND_SECONDS)

        assert runtime.store.sessions.get(SESSION) is None
        assert not list(runtime.store.events.scan(SESSION))
