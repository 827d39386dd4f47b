"""A runtime that has run many sessions: it forgets them, and still knows what to do with them."""

import pytest

from maestro_runtime.running import sessions
from maestro_runtime.testing import Hold, TrialRuntime, Work, simple_team

pytest_plugins = ["maestro_runtime.testing.fixtures"]


def remembered(trial: TrialRuntime) -> set[str]:
    return set(vars(trial.runtime)["_running"]._ended)


def test_only_the_last_sessions_that_have_ended_are_remembered_and_those_that_run(
    trial: TrialRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "ENDED_MAX", 3)
    trial.engine.script("note", Hold())
    trial.start(simple_team(), "live")
    trial.rest()

    for number in range(8):
        trial.run(simple_team(), f"s-{number}")

    assert remembered(trial) == {"live", "s-5", "s-6", "s-7"}
    trial.engine.release()
    assert trial.finish("live").state == "done"


def test_a_session_that_is_forgotten_is_found_rerun_and_removed(
    trial: TrialRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "ENDED_MAX", 1)
    handle = trial.start(simple_team(), "old")
    trial.finish("old")
    trial.run(simple_team(), "new")
    assert "old" not in remembered(trial)

    assert handle.result(0).state == "done"
    assert trial.start(simple_team(), "old").result(0).state == "done"
    trial.runtime.rerun("old", "build")
    trial.runtime.resume("old")
    again = trial.finish("old")
    assert [attempt.state for attempt in again.tasks[0].attempts] == ["ok", "ok"]
    trial.runtime.remove("old")

    assert trial.runtime.store.sessions.get("old") is None


def test_a_session_that_has_begun_again_is_not_forgotten_for_its_first_end(
    trial: TrialRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "ENDED_MAX", 2)
    trial.run(simple_team(), "again")
    trial.runtime.rerun("again", "build")
    trial.engine.otherwise = Hold()
    trial.runtime.resume("again")
    trial.rest()
    held = trial.engine.held

    trial.engine.otherwise = Work()
    for number in range(5):
        trial.run(simple_team(), f"s-{number}")

    assert "again" in remembered(trial)
    trial.engine.release(held[0].call_id)
    assert trial.finish("again").state == "done"
