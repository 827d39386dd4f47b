"""A session comes to rest only when nobody is left who could write of its tasks."""

from maestro_actors.identity import ACCOUNTANT_ADDRESS, persona_address
from maestro_actors.tasks.persona_proxy import PersonaProxy
from maestro_actors.verbs.wish import Asked
from maestro_storage.transition import Transition
from staging import BOUND_SECONDS, SESSION, TRANSIENT, Stage, team


def settle(stage: Stage) -> None:
    """Wait until all that the actors have been told is done, and durable."""
    stage.coordinator.status().get(timeout=BOUND_SECONDS)
    stage.accountant.usage(SESSION).get(timeout=BOUND_SECONDS)
    stage.store.journal.commit(Transition()).result(BOUND_SECONDS)


def test_a_session_is_not_paused_before_its_personas_are_gone(stage: Stage) -> None:
    stage.engines.outcomes.append(TRANSIENT)
    stage.create(team())
    stage.run(team())
    stage.wait_for("attempt_failed")
    # It stays in the middle of something.
    stage.system.control(persona_address(SESSION, "c1"), "suspend")

    taken = stage.coordinator.wish(Asked(wish="pause", reason="lunch")).get(timeout=BOUND_SECONDS)
    stage.wait_for("pause_asked")
    settle(stage)

    assert taken.taken
    assert stage.store.require_session(SESSION).state == "running"
    stage.system.control(persona_address(SESSION, "c1"), "resume")
    stage.wait_for("session_paused")
    assert stage.system.ref(persona_address(SESSION, "c1")) is None


def test_an_order_that_comes_too_late_is_not_taken(stage: Stage) -> None:
    stage.engines.outcomes.append(TRANSIENT)
    stage.create(team())
    stage.run(team())
    stage.wait_for("attempt_failed")
    stage.system.control(persona_address(SESSION, "c1"), "suspend")
    stage.coordinator.wish(Asked(wish="pause", reason="lunch")).get(timeout=BOUND_SECONDS)
    stage.wait_for("pause_asked")
    settle(stage)

    late = stage.coordinator.wish(Asked(wish="cancel")).get(timeout=BOUND_SECONDS)
    retry = stage.coordinator.retry("c1").get(timeout=BOUND_SECONDS)

    assert not late.taken
    assert not retry.taken
    stage.system.control(persona_address(SESSION, "c1"), "resume")
    stage.wait_for("session_paused")


def test_a_call_that_is_being_opened_is_stopped_when_it_begins_by_the_same_deadline(
    stage: Stage,
) -> None:
    stage.create(team())
    stage.engines.held = True
    stage.run(team())
    # As long as it does not answer, no call is opened.
    stage.system.control(ACCOUNTANT_ADDRESS, "suspend")
    asked = Asked(wish="cancel", deadline_ms=5_000_000)
    stage.coordinator.wish(asked).get(timeout=BOUND_SECONDS)
    stage.store.journal.commit(Transition()).result(BOUND_SECONDS)
    stage.coordinator.status().get(timeout=BOUND_SECONDS)
    persona = PersonaProxy(stage.ports.channel, SESSION, "c1")
    persona.status().get(timeout=BOUND_SECONDS)

    stage.system.control(ACCOUNTANT_ADDRESS, "resume")
    stage.wait_for("session_cancelled")

    (order,) = stage.engines.started
    assert stage.engines.cancelled == [(order.call_id, 5_000_000)]
