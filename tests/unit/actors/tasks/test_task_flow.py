"""One task through its attempts and rounds, on real actors and a real store."""

from collections.abc import Callable
from typing import Literal

import msgspec
import pytest

from maestro_actors.checks import Check, CheckResult, Human, Parses, decode_checked
from maestro_actors.engine import Outcome, Usage
from maestro_actors.team import BreakerPolicy, Phase, Team
from staging import (
    MALFORMED,
    NO_WAIT,
    OK,
    PERMANENT,
    SESSION,
    TRANSIENT,
    Stage,
    contract,
    team,
)


def test_a_task_that_succeeds_at_once_has_one_attempt_and_its_tokens(stage: Stage) -> None:
    stage.create(team())
    stage.run(team())

    stage.wait_for("session_done")

    task = stage.task()
    assert (task.state, task.ordinal, task.tokens_used) == ("done", 1, 100)
    assert task.contract_fulfilled
    assert [attempt.state for attempt in stage.attempts()] == ["ok"]
    budget = stage.store.budgets.get(SESSION, "dev")
    assert budget is not None
    assert (budget.spent_tokens, budget.held_tokens) == (100, 0)


def test_the_engine_starts_only_after_its_attempt_and_its_reservation_are_durable(
    stage: Stage,
) -> None:
    stage.engines.held = True
    stage.create(team())
    stage.run(team())

    (order,) = stage.engines.wait_for_calls(1)

    (attempt,) = stage.attempts()
    call = stage.store.calls.get(SESSION, bytes.fromhex(order.call_id))
    assert attempt.state == "open"
    assert call is not None
    assert (call.state, call.reserved_tokens) == ("open", 100)
    assert stage.task().waits_for == "call"


def test_a_failed_attempt_is_tried_again_after_its_deadline_with_its_evidence(
    stage: Stage,
) -> None:
    stage.engines.outcomes.extend([MALFORMED, OK])
    stage.create(team())
    stage.run(team())

    (failed,) = stage.wait_for("attempt_failed")
    waiting = stage.task()
    assert waiting.state == "waiting"
    assert waiting.deadline_ms is not None
    assert 1000 <= waiting.deadline_ms - failed.at_ms <= 1250
    stage.advance_until("session_done")

    assert [attempt.state for attempt in stage.attempts()] == ["failed", "ok"]
    assert stage.engines.started[1].feedback == ("no JSON in the answer",)


def test_a_task_that_always_fails_has_two_rounds_of_three_attempts_with_growing_pauses(
    stage: Stage,
) -> None:
    stage.engines.outcomes.extend([MALFORMED] * 9)
    stage.create(team())
    stage.run(team())

    stage.advance_until("session_failed")

    attempts = stage.attempts()
    assert [(row.round, row.attempt) for row in attempts] == [
        (1, 1),
        (1, 2),
        (1, 3),
        (2, 1),
        (2, 2),
        (2, 3),
    ]
    delays = [row.delay_ms for row in attempts]
    assert delays[5] is None
    bounds = [(1000, 1250), (2000, 2500), (5000, 6250), (1000, 1250), (2000, 2500)]
    for delay, (low, high) in zip(delays, bounds, strict=False):
        assert delay is not None
        assert low <= delay <= high
    assert stage.task().state == "failed"
    assert stage.task().tokens_used == 90


def test_a_permanent_failure_is_not_tried_again(stage: Stage) -> None:
    stage.engines.outcomes.append(PERMANENT)
    stage.create(team())
    stage.run(team())

    stage.wait_for("session_failed")

    assert len(stage.attempts()) == 1
    assert stage.task().evidence == ("no such model",)


def test_a_missing_deliverable_fails_the_attempt_whatever_the_engine_says(stage: Stage) -> None:
    stage.engines.outcomes.append(
        Outcome(usage=Usage(output_tokens=1), artifacts=OK.artifacts, missing=("*.md",))
    )
    stage.create(team())
    stage.run(team())

    (failed,) = stage.wait_for("attempt_failed")

    assert failed.data["failure"] == "missing_deliverable"


def test_a_persona_that_does_not_give_up_waits_for_a_person(stage: Stage) -> None:
    wanted = team(retry=NO_WAIT, give_up_on_failure=False)
    stage.engines.outcomes.append(PERMANENT)
    stage.create(wanted)
    stage.run(wanted)

    stage.wait_for("session_help_needed")

    assert (stage.task().state, stage.task().waits_for) == ("help_needed", "person")
    record = stage.store.sessions.get(SESSION)
    assert record is not None
    assert record.finished_ms is None


def test_contracts_run_in_the_order_of_their_dags_and_each_phase_ends_with_a_checkpoint(
    stage: Stage,
) -> None:
    phases = (Phase(name="one"), Phase(name="two", after=("one",)))
    wanted = team(
        contract("late", phase="two"),
        contract("second", phase="one", after=("first",)),
        contract("first", phase="one"),
        phases=phases,
    )
    stage.create(wanted)
    stage.run(wanted)

    stage.wait_for("session_done")

    assert [order.task_id for order in stage.engines.started] == ["first", "second", "late"]
    checkpoints = list(stage.store.checkpoints.scan(SESSION))
    assert [(row.number, row.phase, row.tasks_done) for row in checkpoints] == [
        (1, "init", 0),
        (2, "one", 2),
        (3, "two", 3),
    ]


def test_no_more_tasks_are_in_flight_than_there_are_workers(stage: Stage) -> None:
    wanted = team(*(contract(f"c{number}") for number in range(5)))
    stage.engines.held = True
    stage.create(wanted)
    stage.run(wanted)

    first = stage.engines.wait_for_calls(2)
    status = stage.coordinator.status().get(timeout=20)
    assert status.in_flight == 2
    assert [task.detail for task in status.tasks if task.waits_for == "slot"] == [
        "place 1",
        "place 2",
        "place 3",
    ]
    stage.engines.finish(first[0].call_id)
    stage.engines.wait_for_calls(3)

    assert stage.coordinator.status().get(timeout=20).in_flight == 2


def test_a_waiting_task_gives_its_slot_to_another(stage: Stage) -> None:
    wanted = team(contract("a"), contract("b"), contract("c"))
    stage.engines.outcomes.extend([MALFORMED, MALFORMED, OK])
    stage.create(wanted)
    stage.run(wanted)

    # No time passes: only the slots of the two that wait can have made room.
    (done,) = stage.wait_for("task_done")

    assert done.task_id == "c"


def test_a_failed_task_blocks_what_comes_after_it_and_nothing_else(stage: Stage) -> None:
    wanted = team(contract("bad"), contract("next", after=("bad",)), contract("other"))
    stage.engines.outcomes.extend([PERMANENT, OK])
    stage.create(wanted)
    stage.run(wanted)

    stage.wait_for("session_failed")

    states = {record.task_id: record.state for record in stage.store.tasks.scan(SESSION)}
    assert states == {"bad": "failed", "next": "blocked", "other": "done"}


def test_tokens_are_reserved_so_that_parallel_calls_cannot_overdraw_a_budget(
    stage: Stage,
) -> None:
    wanted = team(contract("a"), contract("b"), token_budget=150)
    stage.engines.held = True
    stage.create(wanted)
    stage.run(wanted)

    stage.wait_for("task_waiting")
    (order,) = stage.engines.wait_for_calls(1)
    usage = stage.accountant.usage(SESSION).get(timeout=20)
    assert usage.personas[0].held_tokens == 100
    stage.engines.finish(
        order.call_id, Outcome(usage=Usage(output_tokens=20), artifacts=OK.artifacts)
    )
    stage.engines.wait_for_calls(2)

    usage = stage.accountant.usage(SESSION).get(timeout=20)
    assert (usage.personas[0].spent_tokens, usage.personas[0].held_tokens) == (20, 100)


def test_an_attempt_that_the_budget_cannot_pay_is_not_begun(stage: Stage) -> None:
    wanted = team(contract("a"), contract("b", after=("a",)), token_budget=150)
    stage.create(wanted)
    stage.run(wanted)

    stage.wait_for("session_failed")

    assert stage.task("b").failure == "limit"
    (evidence,) = stage.task("b").evidence
    assert evidence == (
        "token budget of persona 'dev' cannot pay for another call: "
        "limit 150, spent 100, reserved 0, needed 100"
    )
    assert stage.attempts("b") == []
    assert len(stage.engines.started) == 1


@pytest.mark.parametrize("state_of_life", ["killed", "killed twice"])
def test_an_attempt_cut_short_by_a_crash_counts_and_its_reservation_is_booked(
    restart: Callable[[], Stage], state_of_life: str
) -> None:
    stage = restart()
    stage.engines.held = True
    stage.create(team())
    stage.run(team())
    stage.engines.wait_for_calls(1)
    stage = restart()
    if state_of_life == "killed twice":
        stage = restart()

    stage.run(team())
    stage.advance_until("session_done")

    assert [row.state for row in stage.attempts()] == ["interrupted", "ok"]
    assert [row.tokens for row in stage.attempts()] == [100, 100]
    calls = list(stage.store.calls.scan(SESSION))
    assert sorted((call.state, call.basis) for call in calls) == [
        ("lost", "reserved"),
        ("settled", "estimated"),
    ]
    budget = stage.store.budgets.get(SESSION, "dev")
    assert budget is not None
    assert (budget.spent_tokens, budget.held_tokens) == (200, 0)


def test_a_recovered_call_is_booked_with_what_the_engine_knows(
    restart: Callable[[], Stage],
) -> None:
    stage = restart()
    stage.engines.held = True
    stage.create(team())
    stage.run(team())
    stage.engines.wait_for_calls(1)
    stage = restart()
    stage.engines.recovered_usage = Usage(input_tokens=7, output_tokens=3, basis="provider")

    stage.run(team())
    stage.advance_until("session_done")

    assert [row.tokens for row in stage.attempts()] == [10, 100]


def test_a_finished_task_is_never_run_again(restart: Callable[[], Stage]) -> None:
    wanted = team(contract("a"), contract("b", after=("a",)))
    stage = restart()
    stage.create(wanted)
    stage.run(wanted)
    stage.wait_for("task_done")
    stage = restart()

    stage.run(wanted)
    stage.advance_until("session_done")

    assert "a" not in {order.task_id for order in stage.engines.started}


def test_a_deadline_is_neither_shortened_nor_restarted_by_a_crash(
    restart: Callable[[], Stage],
) -> None:
    stage = restart()
    stage.engines.outcomes.append(MALFORMED)
    stage.create(team())
    stage.run(team())
    stage.wait_for("attempt_failed")
    deadline_ms = stage.task().deadline_ms
    assert deadline_ms is not None
    stage.clock.advance(0.5)
    stage = restart()

    stage.run(team())
    stage.advance_until("session_done")

    assert stage.attempts()[1].started_ms == deadline_ms


def test_crashes_cannot_make_more_attempts_than_the_limits_allow(
    restart: Callable[[], Stage],
) -> None:
    wanted = team(retry=NO_WAIT)
    stage = restart()
    stage.create(wanted)
    for _ in range(6):
        stage.engines.held = True
        stage.run(wanted)
        while not stage.engines.started:
            stage.clock.advance(1.0)
        stage = restart()

    stage.run(wanted)
    stage.advance_until("session_failed")

    assert [row.state for row in stage.attempts()] == ["interrupted"] * 6
    assert stage.engines.started == []


def test_the_breaker_opens_after_five_failures_lets_one_probe_through_and_closes(
    stage: Stage,
) -> None:
    wanted = team(*(contract(f"c{number}") for number in range(6)), retry=NO_WAIT)
    stage.engines.outcomes.extend([TRANSIENT] * 5)
    stage.create(wanted)
    stage.run(wanted)

    (opened,) = stage.wait_for("breaker_opened")
    assert opened.data["failures"] == 5
    stage.advance_until("session_done")

    kinds = [event.kind for event in stage.events]
    between = kinds[kinds.index("breaker_opened") : kinds.index("breaker_closed")]
    assert between.count("attempt_started") == 1
    assert between.count("breaker_probed") == 1


def test_an_open_breaker_stays_open_across_a_crash(restart: Callable[[], Stage]) -> None:
    wanted = team(retry=NO_WAIT)
    stage = restart()
    stage.engines.outcomes.extend([TRANSIENT] * 5)
    stage.create(wanted)
    stage.run(wanted)
    stage.advance_until("breaker_opened")
    at_ms = stage.clock.now_ms()
    stage = restart()

    stage.run(wanted)
    status = stage.breaker.status().get(timeout=20)
    assert (status.state, status.failures) == ("open", 5)
    stage.advance_until("session_done")

    assert stage.attempts()[5].started_ms >= at_ms + 30_000


def test_a_handler_bug_restarts_the_persona_from_its_record(stage: Stage) -> None:
    stage.engines.held = True
    stage.create(team())
    stage.run(team())
    (order,) = stage.engines.wait_for_calls(1)

    stage.system.deliver(f"urn:maestro:session/{SESSION}/c1", b"\xc1 not a message")
    stage.engines.held = False
    stage.advance_until("session_done")

    assert stage.engines.recovered[0].call_id == order.call_id
    assert [row.state for row in stage.attempts()] == ["interrupted", "ok"]


def _checked(
    verdict: Literal["pass", "fail", "pending"], *, claimed: tuple[str, ...] = ()
) -> Outcome:
    result = CheckResult(
        index=0,
        name="taste",
        kind="human" if verdict == "pending" else "parses",
        required=True,
        verdict=verdict,
        score=float(verdict == "pass"),
        expected="good taste",
        got="none",
        evidence={"a.md": "00"},
    )
    return msgspec.structs.replace(OK, checks=(result,), claimed_missing=claimed)


def _team_with(check: Check) -> Team:
    return team(msgspec.structs.replace(contract("c1"), checks=(check,)))


def test_a_failed_check_is_the_feedback_and_its_result_the_knowledge_of_the_next_attempt(
    stage: Stage,
) -> None:
    wanted = _team_with(Parses(format="json", name="taste"))
    failed, passed = _checked("fail", claimed=("b.md",)), _checked("pass")
    stage.engines.outcomes.extend([failed, MALFORMED, passed])
    stage.create(wanted)
    stage.run(wanted)

    (event,) = stage.wait_for("attempt_failed")
    stage.advance_until("session_done")

    sentence = "check 'taste' failed: expected good taste, got none"
    assert (event.data["failure"], event.data["evidence"]) == ("failed_check", sentence)
    first, second, third = stage.engines.started
    assert first.known_checks == ()
    assert second.feedback == (sentence,)
    # An attempt that was not checked leaves what is known as it is.
    assert second.known_checks == third.known_checks == failed.checks
    assert stage.task().contract_fulfilled
    digest = stage.task().checks
    assert digest is not None
    found = decode_checked(stage.store.payloads.require(digest))
    assert (found.results, found.claimed_missing) == (passed.checks, ())


def test_a_question_makes_the_task_wait_for_a_person_after_an_attempt_that_went_well(
    stage: Stage,
) -> None:
    wanted = _team_with(Human(question="Nice?"))
    stage.engines.outcomes.append(_checked("pending"))
    stage.create(wanted)
    stage.run(wanted)

    stage.wait_for("session_help_needed")

    task = stage.task()
    assert (task.state, task.waits_for, task.failure) == ("help_needed", "person", "unanswered")
    assert task.evidence == ("a person must answer: Nice?",)
    assert not task.contract_fulfilled
    assert task.artifacts is not None
    assert [(row.state, row.failure) for row in stage.attempts()] == [("ok", "")]


def test_a_breaker_opened_by_hand_holds_calls_until_it_is_reset_by_hand(stage: Stage) -> None:
    stage.create(team())
    stage.run(team(), BreakerPolicy(reset_seconds=3600.0, reset_max_seconds=3600.0))
    stage.engines.held = True
    stage.engines.outcomes.append(MALFORMED)
    (order,) = stage.engines.wait_for_calls(1)
    stage.breaker.trip()
    stage.engines.finish(order.call_id)
    stage.advance_until("task_waiting")
    record = stage.store.breakers.get("scripted")
    assert record is not None
    assert record.state == "open"
    assert stage.task().waits_for == "breaker"

    stage.engines.held = False
    stage.breaker.reset()
    # No time passes: only the reset can have woken the task.
    stage.wait_for("session_done")

    record = stage.store.breakers.get("scripted")
    assert record is not None
    assert (record.state, record.failures) == ("closed", 0)
