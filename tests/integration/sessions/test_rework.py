"""Work that is done again, or put away: retry, rerun, remove, and forks of what was stopped."""

import threading
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path

import msgspec
import pykka
import pytest

from held_work import BOUND_SECONDS, called, gated_team, states
from maestro_actors.checks import ChangedSinceStart
from maestro_actors.errors import VerbRefused
from maestro_actors.help.posting import Posting
from maestro_actors.kernel import LaneFuture
from maestro_actors.messages import OrderTaken
from maestro_actors.sessions.coordinator_proxy import CoordinatorProxy
from maestro_runtime import Runtime, RuntimeOptions, SessionOrder, connect, open_runtime
from maestro_runtime.at_rest.sessions import rerun_plan
from maestro_runtime.checkpoints import ForkOrder
from maestro_runtime.daemon import reachable
from maestro_runtime.reports.session import SessionReport
from maestro_runtime.testing import Hold, ScriptedEngine, Work
from maestro_runtime.tickets import TicketNotDelivered
from maestro_storage.errors import NotFound
from maestro_storage.plan import Stretch
from maestro_storage.records import EventRecord


class Down:
    """A sink that delivers nothing."""

    name = "down"
    secrets: tuple[str, ...] = ()

    def post(self, posting: Posting) -> str:
        raise TicketNotDelivered(self.name, posting.posting_id, doubtful=False)


@pytest.fixture
def failed(runtime: Runtime, gated: SessionOrder) -> SessionReport:
    """Session `s-1` has ended, because `a1` could not be written."""
    out = Path(str(gated.output_dir))
    (out / "a1.md").mkdir(parents=True)
    return runtime.run(gated).result(BOUND_SECONDS)


def test_a_failed_task_is_tried_again_with_calls_of_its_own_and_frees_what_it_blocked(
    runtime: Runtime, gated: SessionOrder, failed: SessionReport
) -> None:
    assert states(failed) == ["failed", "done", "blocked", "blocked"]
    Path(str(gated.output_dir), "a1.md").rmdir()

    runtime.retry("s-1", "a1")
    queued = runtime.store.require_session("s-1")
    report = runtime.resume("s-1").result(BOUND_SECONDS)

    assert (queued.state, queued.finished_ms, queued.error) == ("running", None, "")
    assert states(report) == ["done"] * 4
    attempts = report.tasks[0].attempts
    assert [(attempt.round, attempt.attempt) for attempt in attempts] == [(1, 1), (2, 1)]
    assert len({attempt.call_id for attempt in attempts}) == 2
    assert [len(task.attempts) for task in report.tasks[1:]] == [1, 1, 1]


def test_a_session_that_runs_takes_a_retry_up_at_once(
    runtime: Runtime, gated: SessionOrder, gate: ScriptedEngine
) -> None:
    note = Path(str(gated.output_dir), "a1.md")
    session = runtime.run(gated)
    gate.wait_for_calls(1)
    note.mkdir()
    gate.release()
    gate.wait_for_calls(2)
    note.rmdir()

    runtime.retry("s-1", "a1")
    gate.release()
    gate.wait_for_calls(3)
    gate.otherwise = Work()
    gate.release()

    assert session.result(BOUND_SECONDS).state == "done"
    assert called(gate)[:3] == ["a1", "a2", "a1"]


@pytest.mark.parametrize(
    ("task_id", "text"),
    [
        ("a2", "cannot retry task 'a2' of session 's-1': it must have failed, it is 'done'"),
        ("b1", "cannot retry task 'b1' of session 's-1': it must have failed, it is 'blocked'"),
    ],
)
def test_only_a_failed_task_is_retried(
    runtime: Runtime, failed: SessionReport, task_id: str, text: str
) -> None:
    assert failed.state == "failed"

    with pytest.raises(VerbRefused) as caught:
        runtime.retry("s-1", task_id)

    assert str(caught.value) == text


def test_a_task_that_needs_help_is_to_be_answered_instead(runtime: Runtime, tmp_path: Path) -> None:
    (tmp_path / "out" / "a1.md").mkdir(parents=True)
    team = gated_team(give_up_on_failure=False)
    runtime.run(SessionOrder(team, "s-1", tmp_path / "out")).result(BOUND_SECONDS)

    with pytest.raises(VerbRefused, match="one that needs help is to be answered"):
        runtime.retry("s-1", "a1")
    with pytest.raises(NotFound):
        runtime.retry("s-1", "nobody")


def test_a_rerun_does_a_phase_and_all_after_it_again_and_bills_nothing_twice(
    runtime: Runtime, gated: SessionOrder
) -> None:
    runtime.run(gated).result(BOUND_SECONDS)
    plan = rerun_plan(runtime.store, "s-1", "b")
    assert runtime.store.require_session("s-1").state == "done"

    assert runtime.rerun("s-1", "b") == plan
    queued = runtime.store.require_session("s-1")
    report = runtime.resume("s-1").result(BOUND_SECONDS)

    assert (plan.phases, plan.tasks, plan.tasks_kept) == (("b",), ("b1", "b2"), ("a1", "a2"))
    assert (plan.tokens_again, plan.tokens_kept, plan.checkpoints_dropped) == (200, 200, (3,))
    assert (queued.state, queued.finished_ms) == ("running", None)
    assert states(report) == ["done"] * 4
    assert [len(task.attempts) for task in report.tasks] == [1, 1, 2, 2]
    calls = list(runtime.store.calls.scan("s-1"))
    assert len({call.call_id for call in calls}) == len(calls) == 6
    assert [budget.spent_tokens for budget in runtime.store.budgets.scan("s-1")] == [600]
    # The number of a checkpoint that is gone is not used again.
    checkpoints = list(runtime.store.checkpoints.scan("s-1"))
    assert [(item.number, item.phase) for item in checkpoints] == [(1, "init"), (2, "a"), (4, "b")]


@pytest.mark.parametrize(("checks", "state"), [((), "done"), ((ChangedSinceStart(),), "failed")])
def test_an_engine_that_does_nothing_in_a_rerun_passes_on_old_files_unless_they_must_be_new(
    runtime: Runtime,
    options: RuntimeOptions,
    tmp_path: Path,
    checks: tuple[ChangedSinceStart, ...],
    state: str,
) -> None:
    team = gated_team()
    contracts = tuple(msgspec.structs.replace(item, checks=checks) for item in team.contracts)
    team = msgspec.structs.replace(team, contracts=contracts)
    assert runtime.run(SessionOrder(team, "s-1", tmp_path / "out")).result(BOUND_SECONDS).state
    (engine,) = options.engines
    assert isinstance(engine, ScriptedEngine)
    engine.otherwise = Work(files={})

    runtime.rerun("s-1", "b")
    report = runtime.resume("s-1").result(BOUND_SECONDS)

    assert states(report) == ["done", "done", state, state]


def test_a_rerun_from_the_first_phase_runs_everything_in_order(
    runtime: Runtime, gated: SessionOrder, gate: ScriptedEngine
) -> None:
    gate.otherwise = Work()
    runtime.run(gated).result(BOUND_SECONDS)
    before = len(gate.orders)
    runtime.rerun("s-1", "a")
    gate.otherwise = Hold()

    session = runtime.resume("s-1")
    for count in range(1, 5):
        gate.wait_for_calls(before + count)
        gate.release()

    assert session.result(BOUND_SECONDS).state == "done"
    assert called(gate)[before:] == ["a1", "a2", "b1", "b2"]


def test_a_rerun_of_a_paused_session_leaves_it_paused(
    runtime: Runtime, gated: SessionOrder, gate: ScriptedEngine
) -> None:
    runtime.run(gated)
    gate.wait_for_calls(1)
    runtime.pause("s-1", interrupt=True).result(BOUND_SECONDS)

    runtime.rerun("s-1", "a")

    assert runtime.store.require_session("s-1").state == "paused"
    gate.otherwise = Work()
    assert runtime.resume("s-1").result(BOUND_SECONDS).state == "done"


def test_a_session_that_runs_goes_on_from_the_phase_once_its_calls_in_flight_have_ended(
    runtime: Runtime, gated: SessionOrder, gate: ScriptedEngine
) -> None:
    session = runtime.run(gated)
    for count in (1, 2):
        gate.wait_for_calls(count)
        gate.release()
    gate.wait_for_calls(3)

    plan = runtime.rerun("s-1", "a")
    status = runtime.coordinator("s-1").status().get(timeout=BOUND_SECONDS)
    asked = session.report()
    gate.otherwise = Work()
    gate.release()
    report = session.result(BOUND_SECONDS)

    assert (plan.phases, plan.checkpoints_dropped) == (("a", "b"), (2,))
    assert status.tasks[2].detail == "the session is to run again from phase a"
    assert (asked.rerun_from, report.rerun_from) == ("a", "")
    assert asked.tasks[2].detail.endswith("; its session is to run again from phase a")
    assert (report.state, states(report)) == ("done", ["done"] * 4)
    assert [len(task.attempts) for task in report.tasks] == [2, 2, 2, 1]
    calls = list(runtime.store.calls.scan("s-1"))
    assert len({call.call_id for call in calls}) == len(calls) == 7
    assert sum(budget.spent_tokens for budget in runtime.store.budgets.scan("s-1")) == 700


def test_calls_in_flight_are_cut_short_for_a_rerun_that_says_so(
    runtime: Runtime, gated: SessionOrder, gate: ScriptedEngine
) -> None:
    session = runtime.run(gated)
    gate.wait_for_calls(1)

    runtime.rerun("s-1", "b", interrupt=True)
    gate.wait_for_calls(2)
    gate.otherwise = Work()
    gate.release()
    report = session.result(BOUND_SECONDS)

    assert report.state == "done"
    assert [attempt.state for attempt in report.tasks[0].attempts] == ["interrupted", "ok"]


def test_a_session_that_is_to_pause_does_so_after_it_was_queued_again(
    runtime: Runtime, gated: SessionOrder, gate: ScriptedEngine
) -> None:
    runtime.run(gated)
    gate.wait_for_calls(1)
    runtime.rerun("s-1", "a")
    with pytest.raises(VerbRefused) as caught:
        runtime.run_phases("s-1", ["b"])

    session = runtime.pause("s-1")
    gate.release()
    report = session.result(BOUND_SECONDS)

    assert str(caught.value) == (
        "cannot run phases of session 's-1': it must not be about to run again from phase a, "
        "it is 'running'"
    )
    assert (report.state, report.rerun_from, states(report)) == ("paused", "", ["queued"] * 4)
    gate.otherwise = Work()
    assert runtime.resume("s-1").result(BOUND_SECONDS).state == "done"


def test_an_order_that_comes_while_a_session_begins_anew_is_taken_after_that(
    runtime: Runtime, gated: SessionOrder, gate: ScriptedEngine
) -> None:
    """The order is given as soon as the rerun is durable: the coordinator may not know that yet."""
    session = runtime.run(gated)
    gate.wait_for_calls(1)
    runtime.rerun("s-1", "a", interrupt=True)

    number = runtime.checkpoint("s-1", "now")
    gate.wait_for_calls(2)
    gate.otherwise = Work()
    gate.release()

    assert session.result(BOUND_SECONDS).state == "done"
    assert number == 2


@pytest.mark.parametrize("ends", [False, True])
def test_an_order_that_is_not_taken_is_given_again_unless_the_session_ends(
    runtime: Runtime, gated: SessionOrder, gate: ScriptedEngine, ends: bool
) -> None:
    session = runtime.run(gated)
    gate.wait_for_calls(1)
    given: list[str] = []

    def order(proxy: CoordinatorProxy) -> pykka.Future[OrderTaken]:
        given.append(proxy.address)
        answer: LaneFuture[OrderTaken] = LaneFuture()
        answer.set(OrderTaken(taken=len(given) > 1))
        if ends:
            gate.otherwise = Work()
            gate.release()
            session.result(BOUND_SECONDS)
        elif len(given) == 1:
            runtime._running.turned("s-1")
        return answer

    taken = runtime._running.ask("s-1", order)

    assert (taken is None, len(given)) == ((True, 1) if ends else (False, 2))


def test_a_stop_that_is_planned_stays_when_phases_before_it_run_again(
    runtime: Runtime, gated: SessionOrder, gate: ScriptedEngine
) -> None:
    session = runtime.run(replace(gated, plan=(Stretch(("a",)),)))
    gate.wait_for_calls(1)

    runtime.rerun("s-1", "a", interrupt=True)
    gate.wait_for_calls(2)
    gate.otherwise = Work()
    gate.release()
    report = session.result(BOUND_SECONDS)

    assert (report.state, states(report)) == ("paused", ["done", "done", "queued", "queued"])


@pytest.mark.parametrize("second", ["b", "a"])
def test_of_two_reruns_the_earlier_phase_counts_and_another_one_is_refused(
    runtime: Runtime, gated: SessionOrder, gate: ScriptedEngine, second: str
) -> None:
    session = runtime.run(gated)
    gate.wait_for_calls(1)
    runtime.rerun("s-1", "a" if second == "b" else "b")

    if second == "b":
        assert runtime.rerun("s-1", "b").from_phase == "a"
    else:
        with pytest.raises(VerbRefused, match="it must not be about to run again from phase 'b'"):
            runtime.rerun("s-1", "a")
    gate.otherwise = Work()
    gate.release()

    assert session.result(BOUND_SECONDS).state == "done"


def test_a_rerun_of_no_phase_or_of_what_was_cancelled_changes_nothing(
    runtime: Runtime, gated: SessionOrder, gate: ScriptedEngine
) -> None:
    runtime.run(gated)
    gate.wait_for_calls(1)
    runtime.cancel("s-1").result(BOUND_SECONDS)

    with pytest.raises(NotFound):
        rerun_plan(runtime.store, "s-1", "nowhere")
    with pytest.raises(VerbRefused, match="cannot rerun session 's-1': it must not be cancelled"):
        runtime.rerun("s-1", "a")
    with pytest.raises(VerbRefused, match="its session must not be cancelled"):
        runtime.retry("s-1", "a1")


def test_a_removed_session_is_gone_but_for_its_files_and_its_usage(
    runtime: Runtime, gated: SessionOrder
) -> None:
    runtime.run(gated).result(BOUND_SECONDS)
    usage = list(runtime.store.usage.scan(""))

    runtime.remove("s-1")

    with pytest.raises(NotFound):
        runtime.store.require_session("s-1")
    assert not list(runtime.store.events.scan("s-1"))
    assert list(runtime.store.usage.scan("")) == usage
    assert Path(str(gated.output_dir), "b2.md").is_file()
    with pytest.raises(NotFound):
        runtime.remove("s-1")
    # The name is free, and nothing of the old one is left to be taken up.
    assert runtime.run(gated).result(BOUND_SECONDS).tokens_used == 400


def test_a_session_is_removed_by_whoever_has_just_heard_of_its_end(
    runtime: Runtime, gated: SessionOrder
) -> None:
    removals: list[Future[object]] = []
    told = threading.Event()

    def remove_at_once(event: EventRecord) -> None:
        if event.kind == "session_done":
            removals.append(pool.submit(runtime.remove, "s-1"))
            # Nobody else has heard of it yet, and the runtime has not either.
            wait(removals, timeout=0.3)
            told.set()

    with ThreadPoolExecutor(1) as pool:
        runtime.subscribe(remove_at_once)
        runtime.run(gated)
        assert told.wait(BOUND_SECONDS)

    removals[0].result(BOUND_SECONDS)
    assert runtime.store.sessions.get("s-1") is None


def test_only_a_session_that_has_ended_is_removed(
    runtime: Runtime, gated: SessionOrder, gate: ScriptedEngine
) -> None:
    runtime.run(gated)
    gate.wait_for_calls(1)
    with pytest.raises(VerbRefused, match="cannot remove session 's-1': it must have ended"):
        runtime.remove("s-1")
    runtime.pause("s-1", interrupt=True).result(BOUND_SECONDS)

    with pytest.raises(VerbRefused) as caught:
        runtime.remove("s-1")

    assert str(caught.value) == ("cannot remove session 's-1': it must have ended, it is 'paused'")


@pytest.mark.parametrize("at_rest", [False, True])
def test_a_session_is_cancelled_before_it_is_removed_if_that_is_said(
    runtime: Runtime, gated: SessionOrder, gate: ScriptedEngine, at_rest: bool
) -> None:
    session = runtime.run(gated)
    gate.wait_for_calls(1)
    if at_rest:
        runtime.pause("s-1", interrupt=True).result(BOUND_SECONDS)

    removed = runtime.remove("s-1", cancel=True)

    with pytest.raises(NotFound):
        removed.result(BOUND_SECONDS)
    with pytest.raises(NotFound):
        runtime.store.require_session("s-1")
    with pytest.raises(NotFound):
        session.report()
    assert not list(runtime.store.calls.scan("s-1"))


def test_what_was_to_be_removed_is_so_at_the_start_after_its_ticket_was_sent(
    tmp_path: Path, gated: SessionOrder, gate: ScriptedEngine
) -> None:
    down = RuntimeOptions(engines=(gate,), tickets=Down())
    with open_runtime(tmp_path / "state", down) as runtime:
        runtime.run(gated)
        gate.wait_for_calls(1)
        Path(str(gated.output_dir), "a1.md").mkdir()
        gate.release()
        gate.wait_for_calls(2)
        runtime.remove("s-1", cancel=True).result(BOUND_SECONDS)
        left = runtime.store.require_session("s-1")
    with open_runtime(tmp_path / "state") as runtime:
        assert runtime.settle_tickets("s-1", BOUND_SECONDS)

    with open_runtime(tmp_path / "state") as runtime:
        found = runtime.store.sessions.get("s-1")

    assert (left.state, left.removal) == ("cancelled", True)
    assert found is None


def test_a_program_beside_does_not_wait_for_a_removal_that_a_ticket_keeps_from_being_done(
    tmp_path: Path, gated: SessionOrder, gate: ScriptedEngine
) -> None:
    state, down = tmp_path / "state", RuntimeOptions(engines=(gate,), tickets=Down())
    with (
        open_runtime(state, down) as runtime,
        reachable(runtime, hosts=True),
        connect(state_dir=state) as client,
    ):
        runtime.run(gated)
        gate.wait_for_calls(1)
        Path(str(gated.output_dir), "a1.md").mkdir()
        gate.release()
        gate.wait_for_calls(2)
        runtime.remove("s-1", cancel=True).result(BOUND_SECONDS)

        report = client.session("s-1").result(BOUND_SECONDS)

    assert report.state == "cancelled"


def test_a_session_with_a_ticket_on_its_way_is_not_removed(
    tmp_path: Path, options: RuntimeOptions, gated: SessionOrder
) -> None:
    (tmp_path / "out" / "a1.md").mkdir(parents=True)
    with open_runtime(tmp_path / "state", replace(options, tickets=Down())) as runtime:
        runtime.run(gated).result(BOUND_SECONDS)

        with pytest.raises(VerbRefused, match="its tickets and alerts must have been sent"):
            runtime.remove("s-1")


@pytest.mark.parametrize("verb", ["pause", "cancel"])
def test_what_was_stopped_can_be_forked_from_its_checkpoints(
    runtime: Runtime, gated: SessionOrder, gate: ScriptedEngine, tmp_path: Path, verb: str
) -> None:
    runtime.run(gated)
    for count in (1, 2):
        gate.wait_for_calls(count)
        gate.release()
    gate.wait_for_calls(3)
    if verb == "pause":
        runtime.pause("s-1", interrupt=True).result(BOUND_SECONDS)
    else:
        runtime.cancel("s-1").result(BOUND_SECONDS)

    gate.otherwise = Work()
    fork = runtime.fork(ForkOrder("s-1", "a", "s-2", tmp_path / "fork"))
    report = fork.result(BOUND_SECONDS)

    assert report.state == "done"
    assert [len(task.attempts) for task in report.tasks] == [0, 0, 1, 1]


def test_retention_leaves_alone_what_has_not_ended(
    tmp_path: Path, options: RuntimeOptions, gated: SessionOrder, gate: ScriptedEngine
) -> None:
    with open_runtime(tmp_path / "state", options) as runtime:
        (tmp_path / "asks" / "a1.md").mkdir(parents=True)
        gate.otherwise = Work()
        asks = SessionOrder(gated_team(give_up_on_failure=False), "asks", tmp_path / "asks")
        runtime.run(asks).result(BOUND_SECONDS)
        runtime.run(SessionOrder(gated_team(), "ends", tmp_path / "ends")).result(BOUND_SECONDS)
        gate.otherwise = Hold()
        before = len(gate.orders)
        runtime.run(gated)
        gate.wait_for_calls(before + 1)
        runtime.pause("s-1", interrupt=True).result(BOUND_SECONDS)
        assert runtime.settle_tickets("asks", BOUND_SECONDS)

        removed = runtime.store.retain(10**15)

    assert removed == ["ends"]
