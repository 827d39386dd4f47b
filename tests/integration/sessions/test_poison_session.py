"""A session that no coordinator can work with harms no other one."""

from dataclasses import replace
from pathlib import Path

import pytest

from held_work import BOUND_SECONDS, gated_team, kinds
from invariants import Observed, check_sessions
from maestro_actors.identity import coordinator_address
from maestro_actors.sessions.plan import plan_of
from maestro_actors.sessions.succession import Succession
from maestro_actors.team import RetryPolicy
from maestro_runtime import Runtime, RuntimeOptions, RuntimePolicy, SessionOrder, open_runtime
from maestro_runtime.errors import ActorFailed, SessionLeftAlone
from maestro_runtime.metrics.tally import tally_of
from maestro_runtime.reports.listing import list_sessions
from maestro_runtime.reports.overview import overview
from maestro_runtime.testing import ScriptedEngine, Work
from poisoned import REASON, cure, poison

HEALTHY = ("s-1", "s-2", "s-3")


def order(directory: Path, session_id: str) -> SessionOrder:
    retry = RetryPolicy(backoff_seconds=0.0, backoff_max_seconds=0.0, max_attempts=5)
    return SessionOrder(gated_team(workers=2, retry=retry), session_id, directory / session_id)


def fail(runtime: Runtime, session_id: str) -> None:
    """Have a coordinator fail in the middle of its work."""
    runtime.system.deliver(coordinator_address(session_id), b"\xc1 is no message")


def billed(runtime: Runtime, session_id: str) -> dict[str, int]:
    """Return how many calls of each task did their work."""
    calls = list(runtime.store.calls.scan(session_id))
    assert len({call.call_id for call in calls}) == len(calls)
    tasks = [call.task_id for call in calls if call.state == "settled" and call.input_tokens]
    return {task_id: tasks.count(task_id) for task_id in sorted(set(tasks))}


def test_one_that_fails_each_time_is_set_aside_while_the_others_come_to_their_end(
    tmp_path: Path, runtime: Runtime
) -> None:
    runtime.create(order(tmp_path, "poison"))
    poison(runtime.store, "poison")

    poisoned = runtime.run(order(tmp_path, "poison"))
    healthy = [runtime.run(order(tmp_path, name)) for name in HEALTHY]

    assert {session.result(BOUND_SECONDS).state for session in healthy} == {"done"}
    report = poisoned.result(BOUND_SECONDS)
    assert report.state == "paused"
    assert report.pause_reason == REASON.format(session_id="poison")
    told = [kind for kind in kinds(runtime, "poison") if kind != "ticket_filed"]
    assert told[-4:] == [*["coordinator_failed"] * 3, "session_paused"]
    assert not runtime.lost.is_done
    # It is left alone until it is resumed by name, and fails as before as long as it is poison.
    assert runtime.run(order(tmp_path, "poison")).result(BOUND_SECONDS).state == "paused"
    assert kinds(runtime, "poison").count("coordinator_failed") == 3
    assert runtime.resume("poison").result(BOUND_SECONDS).state == "paused"
    assert kinds(runtime, "poison").count("coordinator_failed") == 6
    cure(runtime.store, "poison")
    assert runtime.resume("poison").result(BOUND_SECONDS).state == "done"
    assert kinds(runtime, "poison").count("coordinator_failed") == 6
    check_sessions(runtime.store, Observed())


def test_one_that_is_set_aside_is_seen_in_lists_reports_and_figures_until_it_is_resumed(
    tmp_path: Path, runtime: Runtime
) -> None:
    def seen() -> tuple[list[bool], list[bool], int]:
        rows = list_sessions(runtime.store).rows
        lines = overview(runtime.store, 1).rows
        set_aside = tally_of(runtime.store).set_aside
        return [row.set_aside for row in rows], [line.set_aside for line in lines], set_aside

    runtime.create(order(tmp_path, "poison"))
    poison(runtime.store, "poison")
    for count in (1, 2):
        session = runtime.resume("poison")
        session.result(BOUND_SECONDS)
        assert runtime.settle_tickets("poison", BOUND_SECONDS)

        report = session.report()
        assert (report.state, report.set_aside) == ("paused", True)
        assert report.ticket is not None
        assert report.ticket.posting_id.endswith(f"-{count}")
        ticket = Path(report.ticket.reference).read_text()
        assert ticket.count("# poison: coordinator_failed: set aside: its coordinator") == count
        assert seen() == ([True], [True], 1)
    cure(runtime.store, "poison")

    resumed = runtime.resume("poison").result(BOUND_SECONDS)

    assert (resumed.state, resumed.set_aside, resumed.ticket) == ("done", False, None)
    assert seen() == ([False], [], 0)


def test_one_that_is_set_aside_can_be_cancelled_or_run_by_another_plan(
    tmp_path: Path, runtime: Runtime
) -> None:
    for session_id in ("s-1", "s-2"):
        runtime.create(order(tmp_path, session_id))
        poison(runtime.store, session_id)
        assert runtime.resume(session_id).result(BOUND_SECONDS).set_aside
        cure(runtime.store, session_id)

    cancelled = runtime.cancel("s-1").result(BOUND_SECONDS)
    planned = runtime.resume("s-2", plan_of(("a",))).result(BOUND_SECONDS)

    assert (cancelled.state, cancelled.set_aside) == ("cancelled", False)
    assert (planned.state, planned.set_aside) == ("paused", False)
    check_sessions(runtime.store, Observed())


def test_what_it_had_in_flight_is_stopped_and_nothing_is_billed_twice(
    tmp_path: Path, runtime: Runtime, gate: ScriptedEngine
) -> None:
    poisoned = runtime.run(order(tmp_path, "poison"))
    gate.wait_for_calls(2)
    healthy = runtime.run(order(tmp_path, "s-1"))
    for begun in (4, 6, 8):
        # Two of each session, and two for each coordinator after the first.
        gate.wait_for_calls(begun)
        fail(runtime, "poison")

    assert poisoned.result(BOUND_SECONDS).state == "paused"

    gate.otherwise = Work()
    gate.release()
    gate.release()
    assert healthy.result(BOUND_SECONDS).state == "done"
    assert runtime.resume("poison").result(BOUND_SECONDS).state == "done"
    for session_id in ("poison", "s-1"):
        assert billed(runtime, session_id) == dict.fromkeys(("a1", "a2", "b1", "b2"), 1)
    check_sessions(runtime.store, Observed(attempts_max=5))


def test_orders_that_come_meanwhile_are_given_to_the_next_coordinator(
    tmp_path: Path, runtime: Runtime, gate: ScriptedEngine
) -> None:
    runtime.run(order(tmp_path, "s-1"))
    gate.wait_for_calls(2)
    fail(runtime, "s-1")

    paused = runtime.pause("s-1", interrupt=True).result(BOUND_SECONDS)

    assert (paused.state, paused.pause_reason) == ("paused", "asked for")
    gate.otherwise = Work()
    assert runtime.resume("s-1").result(BOUND_SECONDS).state == "done"
    assert kinds(runtime).count("coordinator_failed") == 1


def test_a_session_that_runs_is_gone_on_with_by_who_starts_it_meanwhile(
    tmp_path: Path, runtime: Runtime, gate: ScriptedEngine
) -> None:
    first = runtime.run(order(tmp_path, "s-1"))
    gate.wait_for_calls(2)
    fail(runtime, "s-1")

    again = runtime.run(order(tmp_path, "s-1"))
    gate.wait_for_calls(4)
    gate.otherwise = Work()
    gate.release()
    gate.release()

    assert again.result(BOUND_SECONDS).state == first.result(BOUND_SECONDS).state == "done"


def test_a_drain_waits_for_no_coordinator_that_would_begin_anew(
    tmp_path: Path, runtime: Runtime, gate: ScriptedEngine
) -> None:
    runtime.run(order(tmp_path, "s-1"))
    gate.wait_for_calls(2)

    drained = runtime.hosting.drain()
    fail(runtime, "s-1")

    drained.get(timeout=BOUND_SECONDS)
    assert len(gate.orders) == 2
    assert kinds(runtime)[-1] == "coordinator_failed"


def test_the_room_of_one_that_is_set_aside_goes_to_the_next(
    tmp_path: Path, options: RuntimeOptions
) -> None:
    options = replace(options, policy=RuntimePolicy(sessions_running=1))
    with open_runtime(tmp_path / "state", options) as runtime:
        runtime.create(order(tmp_path, "poison"))
        poison(runtime.store, "poison")

        poisoned = runtime.run(order(tmp_path, "poison"))
        healthy = runtime.run(order(tmp_path, "s-1"))

        assert poisoned.result(BOUND_SECONDS).state == "paused"
        assert healthy.result(BOUND_SECONDS).state == "done"


def test_one_whose_succession_fails_as_well_is_left_alone_until_it_is_resumed(
    tmp_path: Path, options: RuntimeOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = replace(options, policy=RuntimePolicy(sessions_running=1))

    def fails(_succession: Succession) -> None:
        raise RuntimeError("a bug")

    with open_runtime(tmp_path / "state", options) as runtime:
        runtime.create(order(tmp_path, "poison"))
        poison(runtime.store, "poison")
        with monkeypatch.context() as broken:
            broken.setattr(Succession, "begin", fails)
            poisoned = runtime.run(order(tmp_path, "poison"))
            healthy = runtime.run(order(tmp_path, "s-1"))

            with pytest.raises(ActorFailed, match="session/poison failed: RuntimeError: a bug"):
                poisoned.result(BOUND_SECONDS)
            assert healthy.result(BOUND_SECONDS).state == "done"

        assert "RuntimeError: a bug" in str(runtime.hosting.why_left("poison"))
        with pytest.raises(SessionLeftAlone):
            list(poisoned.events())
        cure(runtime.store, "poison")
        assert runtime.resume("poison").result(BOUND_SECONDS).state == "done"


def test_one_that_was_given_up_with_work_in_flight_is_mended_by_the_first_who_resumes_it(
    tmp_path: Path, runtime: Runtime, gate: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_succession: Succession) -> None:
        raise RuntimeError("a bug")

    given_up = runtime.run(order(tmp_path, "s-1"))
    gate.wait_for_calls(2)
    for begun in (4, 6):
        # One more that is told, and it would be set aside.
        fail(runtime, "s-1")
        gate.wait_for_calls(begun)
    with monkeypatch.context() as broken:
        broken.setattr(Succession, "begin", fails)
        fail(runtime, "s-1")
        with pytest.raises(ActorFailed, match="session/s-1 failed: RuntimeError: a bug"):
            given_up.result(BOUND_SECONDS)

    resumed = runtime.resume("s-1")
    gate.wait_for_calls(8)
    gate.otherwise = Work()
    gate.release()
    gate.release()

    assert resumed.result(BOUND_SECONDS).state == "done"
    failures = [
        event.data
        for event in runtime.store.events.scan("s-1")
        if event.kind == "coordinator_failed"
    ]
    assert [data["failures"] for data in failures] == [1, 2, 1]
    assert failures[-1]["error"] == "RuntimeError: a bug"
    assert billed(runtime, "s-1") == dict.fromkeys(("a1", "a2", "b1", "b2"), 1)
    check_sessions(runtime.store, Observed(attempts_max=5))
