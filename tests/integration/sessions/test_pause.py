"""Pausing and resuming a session: while its tasks run, while they wait, while nobody runs it."""

from dataclasses import replace
from pathlib import Path

import pytest

from held_work import BOUND_SECONDS, called, gated_team, kinds, states
from maestro_actors.errors import VerbRefused
from maestro_actors.team import RetryPolicy
from maestro_actors.verbs.wish import Asked, wished
from maestro_runtime import Runtime, RuntimeOptions, SessionOrder, open_runtime
from maestro_runtime.reports.session import session_report
from maestro_runtime.testing import ScriptedEngine, Work
from maestro_storage import Store


def test_what_is_in_flight_ends_and_nothing_begins_until_the_session_is_resumed(
    runtime: Runtime, gated: SessionOrder, gate: ScriptedEngine
) -> None:
    runtime.run(gated)
    gate.wait_for_calls(1)

    session = runtime.pause("s-1", reason="lunch")
    assert runtime.store.require_session("s-1").wish == "pause"
    status = runtime.coordinator("s-1").status().get(timeout=BOUND_SECONDS)
    gate.release()
    report = session.result(BOUND_SECONDS)

    assert [task.detail for task in status.tasks][:2] == [
        "the session is to pause",
        "place 1; the session is to pause",
    ]
    assert (report.state, report.pause_reason, report.wish) == ("paused", "lunch", "run")
    assert states(report) == ["done", "queued", "queued", "queued"]
    assert [task.detail for task in report.tasks][:3] == [
        "",
        "a free worker, and for its session to be resumed",
        "contracts or phases before it, and for its session to be resumed",
    ]
    assert called(gate) == ["a1"]

    gate.otherwise = Work()
    report = runtime.resume("s-1").result(BOUND_SECONDS)
    assert (report.state, report.pause_reason) == ("done", "")
    assert [len(task.attempts) for task in report.tasks] == [1, 1, 1, 1]
    assert "session_resumed" in kinds(runtime)


def test_an_attempt_that_is_cut_short_is_interrupted_and_never_the_last_one(
    runtime: Runtime, gated: SessionOrder, gate: ScriptedEngine
) -> None:
    runtime.run(gated)
    gate.wait_for_calls(1)

    report = runtime.pause("s-1", interrupt=True).result(BOUND_SECONDS)

    assert states(report) == ["waiting", "queued", "queued", "queued"]
    assert [attempt.state for attempt in report.tasks[0].attempts] == ["interrupted"]
    assert report.tasks[0].ticket is None
    assert all(call.state != "open" for call in runtime.store.calls.scan("s-1"))
    gate.otherwise = Work()
    report = runtime.resume("s-1").result(BOUND_SECONDS)
    assert report.state == "done"
    assert len({attempt.call_id for attempt in report.tasks[0].attempts}) == 2


def test_a_task_that_waits_keeps_its_deadline_through_a_pause(
    runtime: Runtime, tmp_path: Path, gate: ScriptedEngine
) -> None:
    retry = RetryPolicy(max_attempts=3, backoff_seconds=600.0, backoff_max_seconds=600.0)
    runtime.run(SessionOrder(gated_team(retry=retry), "s-1", tmp_path / "out"))
    gate.wait_for_calls(1)
    # The call fails by it, and its task waits for ten minutes.
    (tmp_path / "out" / "a1.md").mkdir()
    gate.release()
    gate.wait_for_calls(2)
    gate.release()

    paused = runtime.pause("s-1").result(BOUND_SECONDS)
    runtime.resume("s-1")
    again = runtime.pause("s-1").result(BOUND_SECONDS)

    assert states(paused)[:2] == states(again)[:2] == ["waiting", "done"]
    assert paused.tasks[0].deadline_ms == again.tasks[0].deadline_ms is not None
    assert called(gate) == ["a1", "a2"]


def test_a_paused_session_stays_so_until_it_is_resumed_by_name(
    tmp_path: Path, options: RuntimeOptions, gated: SessionOrder, gate: ScriptedEngine
) -> None:
    with open_runtime(tmp_path / "state", options) as runtime:
        runtime.run(gated)
        gate.wait_for_calls(1)
        runtime.pause("s-1", interrupt=True).result(BOUND_SECONDS)
        before = kinds(runtime)
        assert runtime.pause("s-1", reason="again").result(BOUND_SECONDS).state == "paused"
        assert kinds(runtime) == before

    with open_runtime(tmp_path / "state", options) as runtime:
        assert runtime.run(gated).result(BOUND_SECONDS).state == "paused"
        assert kinds(runtime) == before
        gate.otherwise = Work()
        assert runtime.resume("s-1").result(BOUND_SECONDS).state == "done"


def test_a_pause_is_taken_back_while_an_attempt_is_in_flight(
    runtime: Runtime, gated: SessionOrder, gate: ScriptedEngine
) -> None:
    runtime.run(gated)
    gate.wait_for_calls(1)
    runtime.pause("s-1")

    session = runtime.resume("s-1")
    gate.release()
    gate.wait_for_calls(2)
    gate.otherwise = Work()
    gate.release()

    assert session.result(BOUND_SECONDS).state == "done"
    assert "session_paused" not in kinds(runtime)


def test_a_wish_that_was_durable_before_a_crash_is_granted_after_it(
    tmp_path: Path, options: RuntimeOptions, gated: SessionOrder, gate: ScriptedEngine
) -> None:
    with open_runtime(tmp_path / "state", options) as runtime:
        runtime.run(gated)
        gate.wait_for_calls(1)
    with Store.open(tmp_path / "state") as store:
        asked = Asked(wish="pause", reason="storm")
        _, draft = wished(store.require_session("s-1"), asked, 1, store.epoch)
        store.journal.commit(draft).result()

    with open_runtime(tmp_path / "state", options) as runtime:
        before = session_report(runtime.store, "s-1")
        report = runtime.run(gated).result(BOUND_SECONDS)

        assert before.wish == "pause"
        assert before.tasks[1].detail == "a free worker; its session is to pause"
        assert (report.state, report.pause_reason) == ("paused", "storm")
        assert len(called(gate)) == 1


def test_a_session_that_nobody_runs_is_paused_at_once(
    tmp_path: Path, options: RuntimeOptions, gated: SessionOrder, gate: ScriptedEngine
) -> None:
    with open_runtime(tmp_path / "state", options) as runtime:
        runtime.run(gated)
        gate.wait_for_calls(1)

    with open_runtime(tmp_path / "state", options) as runtime:
        report = runtime.pause("s-1").result(BOUND_SECONDS)

    assert report.state == "paused"
    assert len(called(gate)) == 1


def test_no_phase_is_begun_in_a_session_that_is_about_to_pause_and_nobody_waits_for_that(
    runtime: Runtime, gated: SessionOrder, gate: ScriptedEngine
) -> None:
    runtime.run(gated)
    gate.wait_for_calls(1)
    session = runtime.pause("s-1")

    with pytest.raises(VerbRefused, match="cannot run phases of session 's-1': it must not be"):
        runtime.run_phases("s-1", ["b"])

    gate.release()
    assert session.result(BOUND_SECONDS).state == "paused"


def test_a_session_that_has_ended_is_not_paused(runtime: Runtime, gated: SessionOrder) -> None:
    runtime.run(gated).result(BOUND_SECONDS)

    with pytest.raises(VerbRefused, match="cannot pause session 's-1': it must not have ended"):
        runtime.pause("s-1")


def test_another_team_can_be_given_to_a_session_that_stays_paused(
    runtime: Runtime, gated: SessionOrder, gate: ScriptedEngine
) -> None:
    runtime.run(gated)
    gate.wait_for_calls(1)
    runtime.pause("s-1", interrupt=True).result(BOUND_SECONDS)
    team = gated_team(workers=2)

    changed = runtime.run(replace(gated, team=team, accept_changes=True)).result(BOUND_SECONDS)

    assert changed.state == "paused"
    assert len(called(gate)) == 1
    runtime.resume("s-1")
    gate.wait_for_calls(3)
    gate.otherwise = Work()
    for _ in range(2):
        gate.release()
