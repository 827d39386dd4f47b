"""The protocols at their edges: late words, and personas that fail in the middle of a step.

Actors are suspended to hold a protocol at one step; a message that cannot be decoded stands for
any bug of a handler.
"""

from collections.abc import Callable
from itertools import pairwise

import msgspec
import pytest

from maestro_actors.engine import Estimate, Outcome, Usage
from maestro_actors.identity import ACCOUNTANT_ADDRESS, breaker_address, persona_address
from maestro_actors.messages import (
    BreakerClosed,
    BudgetFreed,
    DeadlineReached,
    Message,
    TaskReady,
)
from maestro_actors.proxy import encoded
from maestro_actors.team import BreakerPolicy, Deliverable, Phase
from maestro_storage.transition import Transition
from staging import (
    BOUND_SECONDS,
    MALFORMED,
    OK,
    SESSION,
    TRANSIENT,
    ScriptedEngines,
    Stage,
    contract,
    team,
)

BREAKER = breaker_address("scripted")
FRAGILE = BreakerPolicy(failures_max=1)


def fail(stage: Stage, task_id: str = "c1") -> None:
    """Let the handler of a persona raise."""
    stage.system.deliver(persona_address(SESSION, task_id), b"\xc1 not a message")


def settle(stage: Stage) -> None:
    """Wait until everything that is under way has been handled and is durable."""
    for _ in range(5):
        stage.coordinator.status().get(timeout=BOUND_SECONDS)
        stage.breaker.status().get(timeout=BOUND_SECONDS)
        stage.accountant.usage(SESSION).get(timeout=BOUND_SECONDS)
        stage.store.journal.commit(Transition()).result(BOUND_SECONDS)


def check(stage: Stage) -> None:
    """Check that nothing escalated, that no call ran or was booked twice, and that pauses held."""
    assert stage.escalations == []
    called = [order.call_id for order in stage.engines.started]
    assert len(set(called)) == len(called)
    calls = list(stage.store.calls.scan(SESSION))
    assert {call.state for call in calls} <= {"settled", "lost"}
    budget = stage.store.budgets.get(SESSION, "dev")
    assert budget is not None
    spent = sum(call.input_tokens + call.output_tokens for call in calls)
    assert (budget.held_tokens, budget.spent_tokens) == (0, spent)
    for task in stage.store.tasks.scan(SESSION):
        rows = stage.attempts(task.task_id)
        assert task.tokens_used == sum(row.tokens for row in rows)
        assert [row.ordinal for row in rows] == list(range(1, len(rows) + 1))
        for before, after in pairwise(rows):
            assert before.finished_ms is not None
            assert before.delay_ms is not None
            assert after.started_ms >= before.finished_ms + before.delay_ms


@pytest.mark.parametrize("word", [BreakerClosed(), BudgetFreed(), DeadlineReached()])
def test_a_late_word_about_another_wait_does_not_shorten_a_deadline(
    stage: Stage, word: Message
) -> None:
    stage.engines.outcomes.append(MALFORMED)
    stage.create(team())
    stage.run(team())
    stage.wait_for("attempt_failed")
    settle(stage)

    stage.system.deliver(persona_address(SESSION, "c1"), encoded(word))
    settle(stage)
    assert len(stage.engines.started) == 1
    stage.advance_until("session_done")

    check(stage)


def test_a_probe_whose_work_fails_does_not_cut_its_own_back_off_short(stage: Stage) -> None:
    # The engine answers, so the breaker closes and wakes everybody it ever refused: among them
    # the probe itself, which now waits for something else.
    stage.engines.outcomes.extend([TRANSIENT, MALFORMED, OK])
    stage.create(team())
    stage.run(team(), FRAGILE)

    stage.advance_until("session_done")

    assert [row.state for row in stage.attempts()] == ["failed", "failed", "ok"]
    check(stage)


def test_a_persona_that_fails_while_its_attempt_is_being_closed_goes_on_from_the_close(
    stage: Stage,
) -> None:
    stage.engines.held = True
    stage.create(team())
    stage.run(team())
    (order,) = stage.engines.wait_for_calls(1)
    stage.system.control(ACCOUNTANT_ADDRESS, "suspend")
    stage.engines.finish(order.call_id, MALFORMED)
    stage.breaker.status().get(timeout=BOUND_SECONDS)
    fail(stage)
    stage.breaker.status().get(timeout=BOUND_SECONDS)

    stage.engines.held = False
    stage.system.control(ACCOUNTANT_ADDRESS, "resume")
    stage.wait_for("attempt_failed")
    settle(stage)
    assert len(stage.engines.started) == 1
    stage.advance_until("session_done")

    assert [row.state for row in stage.attempts()] == ["failed", "ok"]
    check(stage)


def test_a_persona_that_fails_twice_in_a_row_settles_its_call_once(stage: Stage) -> None:
    stage.engines.held = True
    stage.create(team())
    stage.run(team())
    stage.engines.wait_for_calls(1)
    stage.engines.held = False
    stage.system.control(ACCOUNTANT_ADDRESS, "suspend")
    fail(stage)
    fail(stage)

    stage.breaker.status().get(timeout=BOUND_SECONDS)
    stage.system.control(ACCOUNTANT_ADDRESS, "resume")
    stage.advance_until("session_done")

    assert len(stage.engines.recovered) == 1
    assert [row.state for row in stage.attempts()] == ["interrupted", "ok"]
    check(stage)


def test_a_persona_that_fails_before_it_has_asked_for_a_call_gets_its_slot_again(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    estimates = iter([ZeroDivisionError()])

    def estimate(engines: ScriptedEngines, _order: object) -> Estimate:
        for error in estimates:
            raise error
        return Estimate(engines.estimate_tokens)

    monkeypatch.setattr(ScriptedEngines, "estimate", estimate)
    wanted = team(contract("c1"), contract("c2", after=("c1",)))
    stage.create(wanted)
    stage.run(wanted)

    stage.wait_for("session_done")

    check(stage)


def test_a_persona_that_fails_while_its_call_is_refused_asks_again(stage: Stage) -> None:
    stage.engines.outcomes.append(TRANSIENT)
    stage.create(team())
    stage.run(team(), FRAGILE)
    stage.wait_for("breaker_opened")
    settle(stage)
    stage.system.control(BREAKER, "suspend")
    stage.clock.advance(2.0)
    stage.coordinator.status().get(timeout=BOUND_SECONDS)
    fail(stage)
    stage.coordinator.status().get(timeout=BOUND_SECONDS)

    stage.system.control(BREAKER, "resume")
    stage.wait_for("task_waiting")
    stage.advance_until("session_done")

    check(stage)


def test_a_probe_whose_persona_fails_before_it_is_opened_is_asked_for_again(stage: Stage) -> None:
    wanted = team(contract("c1"), contract("c2"), token_budget=200)
    stage.engines.held = True
    stage.create(wanted)
    stage.run(wanted, FRAGILE)
    first, other = stage.engines.wait_for_calls(2)
    stage.engines.finish(first.call_id, TRANSIENT)
    stage.advance_until("task_waiting")
    settle(stage)
    stage.system.control(ACCOUNTANT_ADDRESS, "suspend")
    stage.clock.advance(30.0)
    while stage.breaker.status().get(timeout=BOUND_SECONDS).state == "open":
        stage.coordinator.status().get(timeout=BOUND_SECONDS)
    fail(stage, first.task_id)
    stage.breaker.status().get(timeout=BOUND_SECONDS)

    stage.system.control(ACCOUNTANT_ADDRESS, "resume")
    waits = stage.wait_for("task_waiting", 2)
    assert waits[1].data["waits_for"] == "budget"
    stage.engines.held = False
    stage.engines.finish(other.call_id, msgspec.structs.replace(OK, usage=Usage(input_tokens=5)))
    stage.wait_for("session_done")

    check(stage)


def test_a_task_that_waited_for_the_breaker_asks_again_after_a_restart(
    restart: Callable[[], Stage],
) -> None:
    # The breaker closed, and the process died before the task that waited for it had heard.
    wanted = team(contract("c1"), contract("c2"))
    stage = restart()
    stage.engines.outcomes.extend([TRANSIENT, TRANSIENT])
    stage.create(wanted)
    stage.run(wanted, FRAGILE)
    stage.wait_for("attempt_failed", 2)
    settle(stage)
    stage.clock.advance(2.0)
    stage.wait_for("task_waiting", 2)
    settle(stage)
    stage.engines.held = True
    stage.clock.advance(30.0)
    stage.wait_for("task_waiting", 3)
    probe = stage.engines.wait_for_calls(3)[2]
    refused = "c2" if probe.task_id == "c1" else "c1"
    stage.system.control(persona_address(SESSION, refused), "suspend")
    stage.engines.finish(probe.call_id)
    stage.wait_for("breaker_closed")
    stage = restart()

    stage.run(wanted, FRAGILE)
    stage.wait_for("session_done")

    check(stage)


def test_each_refusal_is_on_record_with_the_wait_it_leads_to(restart: Callable[[], Stage]) -> None:
    wanted = team(*(contract(f"c{number}") for number in range(1, 6)))
    stage = restart()
    stage.engines.outcomes.extend([TRANSIENT, TRANSIENT])
    stage.create(wanted)
    stage.run(wanted, FRAGILE)
    stage.wait_for("task_waiting", 3)
    settle(stage)
    # The two that have failed, when their pause is over.
    stage.clock.advance(2.0)
    stage.wait_for("task_waiting", 5)
    record = stage.store.breakers.get("scripted")
    assert record is not None
    assert (record.state, record.refused_total) == ("open", 5)
    stage = restart()

    stage.run(wanted, FRAGILE)
    stage.wait_for("task_waiting", 5)

    record = stage.store.breakers.get("scripted")
    assert record is not None
    assert record.refused_total == 10
    stage.advance_until("session_done")
    check(stage)


def test_a_waiting_task_says_whether_it_waits_for_breaker_budget_or_deadline(
    restart: Callable[[], Stage],
) -> None:
    stage = restart()
    stage.engines.outcomes.append(TRANSIENT)
    stage.create(team())
    stage.run(team(), FRAGILE)

    def waits_for() -> str:
        settle(stage)
        (task,) = stage.coordinator.status().get(timeout=BOUND_SECONDS).tasks
        return task.waits_for

    stage.wait_for("attempt_failed")
    assert waits_for() == "deadline"
    stage.advance_until("task_waiting")
    assert waits_for() == "breaker"
    stage = restart()
    stage.run(team(), FRAGILE)
    assert waits_for() == "breaker"


def test_a_task_names_the_phase_it_waits_for_not_one_that_has_ended(stage: Stage) -> None:
    phases = (Phase(name="one"), Phase(name="two"), Phase(name="last", after=("one", "two")))
    wanted = team(
        contract("c1", phase="one"),
        contract("c2", phase="two"),
        contract("c3", phase="last"),
        phases=phases,
    )
    stage.engines.held = True
    stage.create(wanted)
    stage.run(wanted)
    calls = {order.task_id: order.call_id for order in stage.engines.wait_for_calls(2)}

    stage.engines.finish(calls["c1"])
    stage.wait_for("phase_finished")
    settle(stage)

    status = stage.coordinator.status().get(timeout=BOUND_SECONDS)
    assert [task.detail for task in status.tasks if task.task_id == "c3"] == ["phase two"]


def test_a_contract_whose_deliverables_name_no_file_is_fulfilled_by_an_end(stage: Stage) -> None:
    empty = msgspec.structs.replace(
        contract("c1"), deliverables=(Deliverable(name="nothing", artifacts=()),)
    )
    stage.engines.outcomes.append(Outcome(usage=Usage(output_tokens=1)))
    stage.create(team(empty))
    stage.run(team(empty))

    stage.wait_for("session_done")

    assert stage.task().quality_score == 1.0


def test_a_task_that_asks_twice_for_a_slot_gets_one(stage: Stage) -> None:
    wanted = team(contract("c1"), contract("c2"), contract("c3"))
    wanted = msgspec.structs.replace(wanted, max_parallel_workers=1)
    stage.engines.held = True
    stage.create(wanted)
    stage.run(wanted)
    stage.engines.wait_for_calls(1)

    stage.system.deliver(stage.coordinator.address, encoded(TaskReady(task_id="c1")))
    stage.system.deliver(stage.coordinator.address, encoded(TaskReady(task_id="c1")))
    settle(stage)

    assert len(stage.engines.started) == 1
    assert stage.coordinator.status().get(timeout=BOUND_SECONDS).in_flight == 1


def test_a_deadline_that_rings_early_is_set_again(stage: Stage) -> None:
    # As when the wall clock is set back between the ring of the timer and its message.
    stage.engines.outcomes.append(MALFORMED)
    stage.create(team())
    stage.run(team())
    stage.wait_for("attempt_failed")
    settle(stage)
    stage.system.timers.cancel(persona_address(SESSION, "c1"))

    stage.system.deliver(persona_address(SESSION, "c1"), encoded(DeadlineReached()))
    settle(stage)
    stage.advance_until("session_done")

    check(stage)
