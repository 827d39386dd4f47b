"""The task of a persona that fails again and again ends durably, with a ticket."""

from collections.abc import Callable

import pytest

from maestro_actors.help.answer import Answer
from maestro_actors.identity import persona_address
from maestro_actors.messages import CallDenied, PersonaMessage
from maestro_actors.tasks.persona import Persona
from maestro_actors.tasks.steps import PERSONA_FAILS
from maestro_actors.tasks.undertaker import Undertaker
from maestro_actors.team import BreakerPolicy
from maestro_storage.records import TASK_FINAL
from maestro_storage.transition import Transition
from staging import BOUND_SECONDS, MALFORMED, SESSION, TRANSIENT, Stage, contract, team


def fail_for_good(stage: Stage, task_id: str = "c1") -> None:
    """Let the handler of a persona raise as often as it takes."""
    for _ in range(4):
        stage.system.deliver(persona_address(SESSION, task_id), b"\xc1 not a message")


def crash(*_: object) -> None:
    raise RuntimeError("a bug")


@pytest.mark.parametrize("gives_up", [True, False])
def test_a_persona_that_always_fails_leaves_its_task_to_a_person_durably(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, *, gives_up: bool
) -> None:
    wanted = team(contract("c1"), contract("c2", after=("c1",)), give_up_on_failure=gives_up)
    monkeypatch.setattr(Persona, "handle", crash)
    stage.create(wanted)
    stage.open_help_desk()
    stage.run(wanted)

    stage.wait_for("session_help_needed")

    task = stage.task()
    assert (task.state, task.waits_for, task.failure) == ("help_needed", "person", "permanent")
    assert task.evidence == (PERSONA_FAILS,)
    (posting,) = stage.tickets.wait_for_postings(1)
    assert (posting.ticket.task_id, posting.ticket.state) == ("c1", "help_needed")
    assert stage.attempts() == []
    assert stage.escalations == []


def test_an_answer_gives_the_task_a_persona_again(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = team(contract("c1"), contract("c2"))
    stage.engines.held = True
    stage.create(wanted)
    stage.open_help_desk()
    stage.run(wanted)
    calls = {call.task_id: call.call_id for call in stage.engines.wait_for_calls(2)}
    fail_for_good(stage)
    stage.wait_for("task_help_needed")

    stage.help_desk.answer(SESSION, "c1", Answer(decision="retry")).get(timeout=BOUND_SECONDS)
    again = stage.engines.wait_for_calls(3)[2]
    stage.engines.finish(again.call_id)
    stage.engines.finish(calls["c2"])
    stage.wait_for("session_done")

    assert [row.state for row in stage.attempts()] == ["interrupted", "ok"]


def test_the_call_in_flight_is_settled_before_the_task_ends(stage: Stage) -> None:
    stage.engines.held = True
    stage.create(team())
    stage.run(team())
    stage.engines.wait_for_calls(1)

    fail_for_good(stage)
    stage.wait_for("session_help_needed")

    (call,) = stage.store.calls.scan(SESSION)
    budget = stage.store.budgets.get(SESSION, "dev")
    assert budget is not None
    assert (call.state, budget.held_tokens, budget.spent_tokens) == ("lost", 0, 100)
    assert [row.state for row in stage.attempts()] == ["interrupted"]
    assert stage.task().tokens_used == 100
    assert stage.task().state == "help_needed"
    assert len(list(stage.store.outbox.scan(SESSION))) == 1


def test_a_persona_that_fails_in_its_back_off_leaves_no_slot_and_no_deadline(
    stage: Stage,
) -> None:
    stage.engines.outcomes.append(MALFORMED)
    stage.create(team())
    stage.run(team())
    stage.wait_for("attempt_failed")
    stage.store.journal.commit(Transition()).result(BOUND_SECONDS)

    fail_for_good(stage)
    stage.wait_for("session_help_needed")

    assert (stage.task().state, stage.task().deadline_ms) == ("help_needed", None)
    assert len(stage.engines.started) == 1


def test_a_start_after_the_end_finds_the_task_with_the_person(
    stage: Stage, restart: Callable[[], Stage]
) -> None:
    stage.engines.held = True
    stage.create(team())
    stage.run(team())
    stage.engines.wait_for_calls(1)
    fail_for_good(stage)
    stage.wait_for("task_help_needed")

    stage = restart()
    stage.run(team())
    stage.wait_for("session_help_needed")

    assert stage.engines.started == []
    assert stage.task().state == "help_needed"


def test_an_undertaker_that_fails_too_ends_the_session_and_the_next_start_tries_again(
    stage: Stage, restart: Callable[[], Stage], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(Persona, "handle", crash)
        broken.setattr(Undertaker, "handle", crash)
        stage.create(team())
        stage.run(team())
        stage.wait_for("session_help_needed")
    assert stage.task().state not in TASK_FINAL

    stage = restart()
    stage.run(team())

    stage.wait_for("session_done")


def test_a_persona_that_fails_with_the_probe_of_a_breaker_does_not_take_it_along(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = Persona.handle

    def fails_at_the_answer(persona: Persona, message: PersonaMessage) -> None:
        if isinstance(message, CallDenied):
            crash()
        handle(persona, message)

    monkeypatch.setattr(Persona, "handle", fails_at_the_answer)
    stage.engines.outcomes.append(TRANSIENT)
    # The first call uses 10 tokens of these: the breaker admits the second, the budget does not.
    wanted = team(token_budget=105)
    stage.create(wanted)
    stage.run(wanted, BreakerPolicy(failures_max=1))

    stage.advance_until("session_help_needed")

    assert stage.task().evidence == (PERSONA_FAILS,)
    # A probe that nobody returns would keep it half open, and refuse every call, for ever.
    assert stage.breaker.status().get(timeout=BOUND_SECONDS).state == "open"


def test_nobody_is_sent_for_a_persona_that_has_ended_its_task(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.engines.held = True
    wanted = team(contract("c1"), contract("c2"))
    stage.create(wanted)
    stage.run(wanted)
    calls = {call.task_id: call.call_id for call in stage.engines.wait_for_calls(2)}
    monkeypatch.setattr(Undertaker, "__init__", crash)

    stage.engines.finish(calls["c1"])
    stage.wait_for("task_done")
    assert stage.coordinator.status().get(timeout=BOUND_SECONDS).in_flight == 1
    stage.engines.finish(calls["c2"])

    stage.wait_for("session_done")
    assert stage.escalations == []
