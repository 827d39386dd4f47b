"""Tickets out, answers in: the help desk on real actors and a real store."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest

from held_commits import HeldCommits
from maestro_actors.checks import CheckResult, Human, decode_checked
from maestro_actors.errors import AnswerInvalid, HelpNotAwaited
from maestro_actors.help.answer import Answer
from maestro_actors.help.help_desk import BACKOFF_MAX_SECONDS
from maestro_actors.help.posting import Posting
from maestro_actors.identity import HELP_DESK_ADDRESS, coordinator_address, persona_address
from maestro_actors.kernel import ActorSystem, LaneActor, VirtualClock
from maestro_actors.sessions.coordinator import Coordinator
from maestro_actors.team import Phase, Team
from maestro_storage.errors import NotFound
from maestro_storage.records import OutboxRecord
from maestro_storage.transition import Event, Transition
from staging import (
    BOUND_SECONDS,
    MALFORMED,
    OK,
    PERMANENT,
    SESSION,
    Stage,
    contract,
    open_stage,
    team,
)

WAITING = team(give_up_on_failure=False)
PAIR = team(
    contract("c1"),
    contract("c2", after=("c1",)),
    give_up_on_failure=False,
)
RETRY = Answer(decision="retry")


def rows(stage: Stage) -> list[OutboxRecord]:
    return list(stage.store.outbox.scan(SESSION))


def stop_coordinator(system: ActorSystem) -> None:
    """Wait until the coordinator, whose end is durable, is gone."""
    system.stop(coordinator_address(SESSION)).get(timeout=BOUND_SECONDS)


def resume(stage: Stage) -> None:
    """Start the coordinator of the session again, in the same start."""
    stage.system.spawn(
        Coordinator, stage.ports, SESSION, WAITING, address=coordinator_address(SESSION)
    )


def posted_later(stage: Stage, count: int) -> Posting:
    """Let virtual time jump until the sink has been given `count` postings; return the last."""
    while len(stage.tickets.posted) < count:
        with stage.tickets.arrived:
            stage.tickets.arrived.wait(0.005)
        if len(stage.tickets.posted) < count:
            stage.clock.advance_to_next()
    return stage.tickets.posted[count - 1]


def fail_for_good(stage: Stage, wanted: Team = WAITING, end: str = "help_needed") -> None:
    stage.engines.outcomes.append(PERMANENT)
    stage.create(wanted)
    stage.open_help_desk()
    stage.run(wanted)
    stage.wait_for(f"session_{end}")


@pytest.mark.parametrize(("gives_up", "end"), [(True, "failed"), (False, "help_needed")])
def test_a_final_failure_files_one_ticket_whose_reference_is_durable(
    stage: Stage, *, gives_up: bool, end: str
) -> None:
    fail_for_good(stage, team(give_up_on_failure=gives_up), end)

    (filed,) = stage.wait_for("ticket_filed")

    (row,) = rows(stage)
    assert (row.state, row.reference, row.attempts) == ("done", "T-1", 1)
    assert (filed.task_id, filed.data["reference"]) == ("c1", "T-1")
    (posting,) = stage.tickets.posted
    assert posting.ticket.evidence == ("no such model",)
    assert not posting.doubtful


def test_a_task_that_succeeds_or_is_tried_again_has_no_ticket(stage: Stage) -> None:
    stage.engines.outcomes.extend([MALFORMED, OK])
    stage.create(team())
    stage.open_help_desk()
    stage.run(team())

    stage.advance_until("session_done")

    assert rows(stage) == []


def test_a_task_that_cannot_pay_has_a_ticket_without_attempts(stage: Stage) -> None:
    poor = team(token_budget=10)
    stage.create(poor)
    stage.open_help_desk()
    stage.run(poor)

    (posting,) = stage.tickets.wait_for_postings(1)

    assert posting.ticket.failure == "limit"
    assert posting.ticket.attempts == ()


def test_the_row_is_in_the_transition_that_ends_the_task(stage: Stage) -> None:
    """No help desk runs here: whoever sees the end of the task sees its ticket, too."""
    stage.engines.outcomes.append(PERMANENT)
    stage.create(WAITING)
    stage.run(WAITING)

    stage.wait_for("task_help_needed")

    assert [row.state for row in rows(stage)] == ["pending"]
    assert stage.task().tickets == 1


def test_sending_is_durable_before_the_sink_sees_the_posting(stage: Stage) -> None:
    stage.tickets.held = True
    fail_for_good(stage)

    stage.tickets.wait_for_postings(1)

    assert [row.state for row in rows(stage)] == ["sending"]


def test_a_sink_that_is_down_is_tried_again_later_and_changes_no_verdict(stage: Stage) -> None:
    stage.tickets.held = True
    fail_for_good(stage, team(), "failed")
    (posting,) = stage.tickets.wait_for_postings(1)

    stage.tickets.failed(posting, doubtful=False)
    (first,) = stage.wait_for("ticket_delayed")
    (row,) = rows(stage)
    assert (row.state, row.deadline_ms) == ("pending", first.at_ms + 5_000)
    stage.tickets.failed(posted_later(stage, 2), doubtful=False)
    _, second = stage.wait_for("ticket_delayed", 2)

    assert second.data["deadline_ms"] == second.at_ms + 10_000
    assert stage.store.require_session(SESSION).state == "failed"
    stage.tickets.sent(posted_later(stage, 3))
    stage.wait_for("ticket_filed")
    assert [row.state for row in rows(stage)] == ["done"]


def test_pauses_between_tries_stop_growing(stage: Stage) -> None:
    stage.tickets.held = True
    fail_for_good(stage)
    for number in range(1, 15):
        stage.tickets.failed(posted_later(stage, number), doubtful=False)
        delayed = stage.wait_for("ticket_delayed", number)[-1]

    assert delayed.data["deadline_ms"] == delayed.at_ms + BACKOFF_MAX_SECONDS * 1000


def test_a_posting_in_doubt_says_so_until_it_is_delivered(stage: Stage) -> None:
    stage.tickets.held = True
    fail_for_good(stage)
    (posting,) = stage.tickets.wait_for_postings(1)

    stage.tickets.failed(posting, doubtful=True)
    stage.wait_for("ticket_delayed")
    assert [row.state for row in rows(stage)] == ["sending"]
    again = posted_later(stage, 2)

    assert again.doubtful
    assert again.posting_id == posting.posting_id


def test_a_crash_while_sending_puts_the_posting_in_doubt(restart: Callable[[], Stage]) -> None:
    first = restart()
    first.tickets.held = True
    fail_for_good(first)
    (posting,) = first.tickets.wait_for_postings(1)

    second = restart()
    second.open_help_desk()
    (again,) = second.tickets.wait_for_postings(1)
    second.wait_for("ticket_filed")

    assert again.doubtful
    assert again.posting_id == posting.posting_id
    assert [row.state for row in rows(second)] == ["done"]


def test_what_was_never_sent_is_sent_at_the_next_start_without_doubt(
    restart: Callable[[], Stage],
) -> None:
    first = restart()
    first.engines.outcomes.append(PERMANENT)
    first.create(WAITING)
    first.run(WAITING)
    first.wait_for("session_help_needed")

    second = restart()
    second.open_help_desk()
    (posting,) = second.tickets.wait_for_postings(1)

    assert not posting.doubtful


def test_a_delivered_ticket_is_never_sent_again(restart: Callable[[], Stage]) -> None:
    first = restart()
    fail_for_good(first)
    first.wait_for("ticket_filed")

    second = restart()
    second.open_help_desk()
    second.help_desk.answer(SESSION, "c1", RETRY).get(timeout=BOUND_SECONDS)

    assert second.tickets.posted == []


def test_a_help_desk_that_fails_starts_again_from_the_outbox(stage: Stage) -> None:
    stage.tickets.held = True
    fail_for_good(stage)
    stage.tickets.wait_for_postings(1)

    stage.system.deliver("urn:maestro:help-desk", b"no message")
    again = stage.tickets.wait_for_postings(2)[1]

    assert again.doubtful


def test_a_help_desk_that_fails_twice_sends_a_posting_once(tmp_path: Path) -> None:
    commits = HeldCommits()
    stage = open_stage(tmp_path / "state", VirtualClock(1_000_000), observer=commits)
    with ExitStack() as at_the_end:
        at_the_end.callback(stage.close)
        at_the_end.callback(commits.let_go)
        stage.engines.outcomes.append(PERMANENT)
        stage.create(WAITING)
        # Nobody is there to send its ticket yet.
        stage.run(WAITING)
        stage.wait_for("session_help_needed")
        commits.hold()
        stage.store.journal.commit(told("held"))
        commits.wait_for_one()
        stage.open_help_desk()
        for _ in range(2):
            stage.system.deliver(HELP_DESK_ADDRESS, b"no message")
        # Both have come to where their barriers are on their way.
        with pytest.raises(NotFound):
            stage.help_desk.answer(SESSION, "c9", RETRY).get(timeout=BOUND_SECONDS)

        commits.let_go()
        stage.wait_for("ticket_filed")
        stage.store.journal.commit(told("settled")).result(BOUND_SECONDS)
        with pytest.raises(NotFound):
            stage.help_desk.answer(SESSION, "c9", RETRY).get(timeout=BOUND_SECONDS)

        assert len(stage.tickets.posted) == 1


def told(kind: str) -> Transition:
    draft = Transition()
    draft.event(Event(SESSION, kind, 0))
    return draft


def test_the_same_failure_again_is_a_posting_of_the_same_ticket(stage: Stage) -> None:
    stage.engines.outcomes.extend([PERMANENT, PERMANENT])
    fail_for_good(stage)
    stage.wait_for("ticket_filed")
    stop_coordinator(stage.system)

    stage.help_desk.answer(SESSION, "c1", RETRY).get(timeout=BOUND_SECONDS)
    stage.wait_for("task_answered")
    resume(stage)
    first, second = stage.tickets.wait_for_postings(2)

    assert second.fingerprint == first.fingerprint
    assert second.posting_id != first.posting_id
    assert (first.reference, second.reference) == ("", "T-1")


def test_an_answer_while_the_session_runs_is_taken_up_at_once(stage: Stage) -> None:
    wanted = team(contract("c1"), contract("c2"), give_up_on_failure=False)
    stage.engines.held = True
    stage.create(wanted)
    stage.open_help_desk()
    stage.run(wanted)
    calls = stage.engines.wait_for_calls(2)
    (failing,) = (call for call in calls if call.task_id == "c1")
    (other,) = (call for call in calls if call.task_id == "c2")
    stage.engines.finish(failing.call_id, PERMANENT)
    stage.wait_for("task_help_needed")

    answer = Answer(decision="retry", note="use the other model", by="me")
    stage.help_desk.answer(SESSION, "c1", answer).get(timeout=BOUND_SECONDS)
    retried = stage.engines.wait_for_calls(3)[2]
    stage.engines.finish(retried.call_id, OK)
    stage.engines.finish(other.call_id, OK)
    stage.wait_for("session_done")

    assert retried.feedback == ("no such model", "use the other model")
    assert (retried.round, retried.attempt, retried.ordinal) == (2, 1, 2)
    (event,) = stage.wait_for("task_answered")
    assert (event.data["by"], event.data["answer"]) == ("me", "retry")


@pytest.mark.parametrize(
    ("decision", "state", "end"), [("skip", "skipped", "done"), ("give_up", "failed", "failed")]
)
def test_an_answer_that_ends_the_task_lets_the_running_session_go_on(
    stage: Stage, decision: str, state: str, end: str
) -> None:
    wanted = team(
        contract("c1"),
        contract("c2", after=("c1",)),
        contract("c3"),
        give_up_on_failure=False,
    )
    stage.engines.held = True
    stage.create(wanted)
    stage.open_help_desk()
    stage.run(wanted)
    calls = {call.task_id: call for call in stage.engines.wait_for_calls(2)}
    stage.engines.finish(calls["c1"].call_id, PERMANENT)
    stage.wait_for("task_help_needed")

    answer = Answer(decision=decision)  # type: ignore[arg-type] # parametrized
    stage.help_desk.answer(SESSION, "c1", answer).get(timeout=BOUND_SECONDS)
    stage.wait_for(f"task_{state}")
    stage.engines.held = False
    stage.engines.finish(calls["c3"].call_id, OK)
    stage.wait_for(f"session_{end}")

    assert stage.task("c1").state == state
    assert stage.task("c2").state == ("done" if decision == "skip" else "blocked")


@pytest.mark.parametrize("decision", ["retry", "skip", "give_up"])
def test_an_answer_survives_a_crash_and_the_next_start_goes_on_with_it(
    restart: Callable[[], Stage], decision: str
) -> None:
    first = restart()
    fail_for_good(first, PAIR)
    stop_coordinator(first.system)
    answer = Answer(decision=decision, note="advice")  # type: ignore[arg-type] # parametrized
    first.help_desk.answer(SESSION, "c1", answer).get(timeout=BOUND_SECONDS)
    first.wait_for("task_answered")
    assert first.store.require_session(SESSION).state == "running"

    second = restart()
    second.open_help_desk()
    second.run(PAIR)
    second.wait_for("session_failed" if decision == "give_up" else "session_done")

    expected = {
        "retry": ("done", "done"),
        "skip": ("skipped", "done"),
        "give_up": ("failed", "blocked"),
    }
    assert (second.task("c1").state, second.task("c2").state) == expected[decision]
    if decision == "retry":
        assert second.engines.started[0].feedback == ("no such model", "advice")


@pytest.mark.parametrize("called_before", [True, False])
def test_more_tokens_make_an_attempt_possible_that_was_not(
    restart: Callable[[], Stage], *, called_before: bool
) -> None:
    wanted = team(give_up_on_failure=False, token_budget=150 if called_before else 50)
    first = restart()
    first.engines.outcomes.append(MALFORMED)
    first.engines.estimate_tokens = 145 if called_before else 100
    first.create(wanted)
    first.open_help_desk()
    first.run(wanted)
    first.advance_until("session_help_needed")
    stop_coordinator(first.system)
    answer = Answer(decision="retry", add_tokens=1000)
    first.help_desk.answer(SESSION, "c1", answer).get(timeout=BOUND_SECONDS)
    first.wait_for("task_answered")

    second = restart()
    second.open_help_desk()
    second.run(wanted)
    second.wait_for("session_done")

    budget = second.store.budgets.get(SESSION, "dev")
    assert budget is not None
    assert budget.limit_tokens == (1150 if called_before else 1050)
    assert budget.spent_tokens == (115 if called_before else 100)


def test_a_raised_budget_counts_at_once_in_a_running_session(stage: Stage) -> None:
    wanted = team(contract("c1"), contract("c2"), give_up_on_failure=False, token_budget=250)
    stage.engines.held = True
    stage.create(wanted)
    stage.open_help_desk()
    stage.run(wanted)
    calls = {call.task_id: call for call in stage.engines.wait_for_calls(2)}
    stage.engines.estimate_tokens = 200
    stage.engines.finish(calls["c1"].call_id, MALFORMED)
    stage.wait_for("attempt_failed")
    stage.advance_until("task_waiting")
    stage.engines.finish(calls["c2"].call_id, OK)
    stage.wait_for("task_help_needed")
    stage.wait_for("session_help_needed")
    stop_coordinator(stage.system)

    answer = Answer(decision="retry", add_tokens=100)
    stage.help_desk.answer(SESSION, "c1", answer).get(timeout=BOUND_SECONDS)
    stage.wait_for("task_answered")

    usage = stage.accountant.usage(SESSION).get(timeout=BOUND_SECONDS)
    assert [row.limit_tokens for row in usage.personas] == [350]


def test_a_second_answer_is_refused_whether_the_first_is_durable_or_not(stage: Stage) -> None:
    fail_for_good(stage)
    stop_coordinator(stage.system)

    first = stage.help_desk.answer(SESSION, "c1", RETRY)
    second = stage.help_desk.answer(SESSION, "c1", RETRY)
    first.get(timeout=BOUND_SECONDS)

    with pytest.raises(HelpNotAwaited):
        second.get(timeout=BOUND_SECONDS)
    stage.wait_for("task_answered")
    with pytest.raises(HelpNotAwaited, match="it is 'queued'"):
        stage.help_desk.answer(SESSION, "c1", RETRY).get(timeout=BOUND_SECONDS)


def test_an_answer_leaves_the_record_of_a_session_to_its_coordinator(stage: Stage) -> None:
    fail_for_good(stage)
    stop_coordinator(stage.system)
    before = stage.store.require_session(SESSION)
    stage.system.spawn(LaneActor, address=coordinator_address(SESSION))

    stage.help_desk.answer(SESSION, "c1", RETRY).get(timeout=BOUND_SECONDS)
    stage.wait_for("task_answered")

    assert stage.task().state == "queued"
    assert stage.store.require_session(SESSION) == before


def test_an_answer_that_is_none_changes_nothing_and_the_desk_goes_on(stage: Stage) -> None:
    fail_for_good(stage)
    before = stage.task()

    with pytest.raises(NotFound):
        stage.help_desk.answer(SESSION, "c9", RETRY).get(timeout=BOUND_SECONDS)
    with pytest.raises(AnswerInvalid):
        stage.help_desk.answer(SESSION, "c1", Answer(decision="retry", add_tokens=-1)).get(
            timeout=BOUND_SECONDS
        )

    assert stage.task() == before
    stage.wait_for("ticket_filed")


def test_a_retry_gives_one_more_round_and_no_call_has_the_id_of_an_old_one(stage: Stage) -> None:
    stage.engines.outcomes.extend([MALFORMED] * 9)
    stage.create(WAITING)
    stage.open_help_desk()
    stage.run(WAITING)
    stage.advance_until("session_help_needed")
    stop_coordinator(stage.system)
    stage.help_desk.answer(SESSION, "c1", RETRY).get(timeout=BOUND_SECONDS)
    stage.wait_for("task_answered")

    resume(stage)
    stage.advance_until("session_help_needed", 2)

    attempts = stage.attempts()
    assert [(row.round, row.attempt) for row in attempts[6:]] == [(3, 1), (3, 2), (3, 3)]
    assert len({row.call_id for row in attempts}) == 9


def test_a_skipped_task_lets_the_next_phase_start(restart: Callable[[], Stage]) -> None:
    wanted = team(
        contract("c1"),
        contract("c2", phase="later"),
        phases=(Phase(name="build"), Phase(name="later", after=("build",))),
        give_up_on_failure=False,
    )
    first = restart()
    fail_for_good(first, wanted)
    stop_coordinator(first.system)
    first.help_desk.answer(SESSION, "c1", Answer(decision="skip")).get(timeout=BOUND_SECONDS)
    first.wait_for("task_skipped")

    second = restart()
    second.open_help_desk()
    second.run(wanted)
    second.wait_for("session_done")

    assert not second.task("c1").contract_fulfilled
    assert [event.data["phase"] for event in second.wait_for("phase_finished", 2)] == [
        "build",
        "later",
    ]


def test_an_answered_task_begins_at_once_as_its_persona_has_gone_with_its_end(
    stage: Stage,
) -> None:
    wanted = team(contract("c1"), contract("c2"), give_up_on_failure=False)
    stage.engines.held = True
    stage.create(wanted)
    stage.open_help_desk()
    stage.run(wanted)
    calls = {call.task_id: call for call in stage.engines.wait_for_calls(2)}
    stage.engines.finish(calls["c1"].call_id, PERMANENT)
    stage.wait_for("task_help_needed")
    assert stage.system.ref(persona_address(SESSION, "c1")) is None

    stage.help_desk.answer(SESSION, "c1", RETRY).get(timeout=BOUND_SECONDS)

    assert stage.engines.wait_for_calls(3)[2].task_id == "c1"
    assert stage.coordinator.status().get(timeout=BOUND_SECONDS).in_flight == 2


def test_a_yes_while_the_session_runs_is_the_result_of_the_check(stage: Stage) -> None:
    human = Human(question="Nice?")
    wanted = team(msgspec.structs.replace(contract("c1"), checks=(human,)), contract("c2"))
    open_question = CheckResult(
        index=0,
        name="human",
        kind="human",
        required=True,
        verdict="pending",
        score=0.0,
        expected=human.expected,
        got="no answer yet",
    )
    stage.engines.held = True
    stage.create(wanted)
    stage.open_help_desk()
    stage.run(wanted)
    calls = {call.task_id: call.call_id for call in stage.engines.wait_for_calls(2)}
    stage.engines.finish(calls["c1"], msgspec.structs.replace(OK, checks=(open_question,)))
    stage.wait_for("task_help_needed")

    yes = Answer(decision="accept", by="ann", note="fine")
    stage.help_desk.answer(SESSION, "c1", yes).get(timeout=BOUND_SECONDS)
    stage.wait_for("task_done")
    stage.engines.finish(calls["c2"])
    stage.wait_for("session_done")

    digest = stage.task().checks
    assert digest is not None
    (result,) = decode_checked(stage.store.payloads.require(digest)).results
    assert (result.verdict, result.got) == ("pass", "yes, said ann: fine")
    assert stage.task().quality_score == 1.0
