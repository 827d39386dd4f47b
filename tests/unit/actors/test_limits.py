"""Limits on calls, on real actors and a real store, across restarts."""

from collections.abc import Callable

import msgspec
import pytest

from maestro_actors.accounting.minute import MINUTE_MS
from maestro_actors.limits import CallLimits, EngineLimits
from maestro_actors.team import Persona, Team
from maestro_actors.verbs.wish import Asked, wished
from staging import BOUND_SECONDS, NO_WAIT, SESSION, TRANSIENT, Stage, contract, team


def engine(**limits: int) -> CallLimits:
    return CallLimits(engines={"scripted": EngineLimits(**limits)})


def tasks(count: int, workers: int = 8, **changes: object) -> Team:
    names = [f"c{number}" for number in range(1, count + 1)]
    wanted = team(*map(contract, names), **changes)  # type: ignore[arg-type] # as in team
    return msgspec.structs.replace(wanted, max_parallel_workers=workers)


def run(stage: Stage, wanted: Team, limits: CallLimits) -> None:
    stage.create(wanted)
    stage.run(wanted, limits=limits)


def waiting(stage: Stage) -> dict[str, str]:
    """Return what the tasks say that wait at a limit."""
    status = stage.coordinator.status().get(timeout=BOUND_SECONDS)
    return {task.task_id: task.detail for task in status.tasks if task.waits_for == "limit"}


def finish(stage: Stage, number: int) -> None:
    """End the call that was started as the `number`-th, counted from 0."""
    stage.engines.finish(stage.engines.wait_for_calls(number + 1)[number].call_id)


@pytest.mark.parametrize(
    ("limits", "what"),
    [
        (engine(concurrency=2), "engine scripted: concurrency 2"),
        (CallLimits(personas={"dev": 2}), "persona dev: concurrency 2"),
        (CallLimits(attempts=2), "attempts in flight: 2"),
    ],
)
def test_no_more_calls_are_in_flight_than_a_limit_lets_through(
    stage: Stage, limits: CallLimits, what: str
) -> None:
    stage.engines.held = True
    run(stage, tasks(5), limits)

    waits = stage.wait_for("task_waiting", 3)

    assert waiting(stage) == {event.task_id: what for event in waits}
    assert {event.data["limit"] for event in waits} == {what}
    assert [stage.task(event.task_id).waits_on for event in waits] == [what] * 3
    status = stage.coordinator.status().get(timeout=BOUND_SECONDS)
    assert status.in_flight == 2, "one that waits has no slot"
    for number in range(5):
        assert len(stage.engines.wait_for_calls(min(5, number + 2))) <= number + 2
        finish(stage, number)
    stage.wait_for("session_done")
    order = [call.task_id for call in stage.engines.started]
    assert order[2:] == [event.task_id for event in waits], "the oldest first"


def test_a_task_that_waits_at_a_limit_lets_others_have_its_slot(stage: Stage) -> None:
    wanted = tasks(3, workers=1)
    free = Persona(persona_id="qa", engine="scripted")
    other = msgspec.structs.replace(contract("c3"), provider_persona_id="qa")
    wanted = msgspec.structs.replace(
        wanted,
        personas={**wanted.personas, "qa": free},
        contracts=(*wanted.contracts[:2], other),
        max_parallel_workers=2,
    )
    stage.engines.held = True

    run(stage, wanted, CallLimits(personas={"dev": 1}))

    started = stage.engines.wait_for_calls(2)
    assert [call.task_id for call in started] == ["c1", "c3"]
    finish(stage, 0)
    finish(stage, 1)
    finish(stage, 2)
    stage.wait_for("session_done")


def test_a_minute_of_requests_is_kept_to_the_millisecond(stage: Stage) -> None:
    run(stage, tasks(5), engine(requests_per_minute=2))
    begun_ms = stage.clock.now_ms()
    stage.wait_for("task_waiting", 3)

    assert {event.data["deadline_ms"] for event in stage.wait_for("task_waiting", 3)} == {
        begun_ms + MINUTE_MS
    }
    stage.advance_until("session_done")

    opened = sorted(call.opened_ms - begun_ms for call in stage.store.calls.scan(SESSION))
    assert opened == [0, 0, MINUTE_MS, MINUTE_MS, 2 * MINUTE_MS]


def test_a_minute_of_tokens_counts_what_was_used_and_not_what_was_reserved(stage: Stage) -> None:
    # 100 are reserved for each; a failure has used 10 of them.
    stage.engines.outcomes.extend([TRANSIENT] * 3)
    run(stage, tasks(1, retry=NO_WAIT), engine(tokens_per_minute=130))

    stage.wait_for("session_done")

    assert {call.opened_ms for call in stage.store.calls.scan(SESSION)} == {stage.clock.now_ms()}


def test_a_minute_goes_on_after_a_restart(restart: Callable[[], Stage]) -> None:
    limits = engine(requests_per_minute=2)
    wanted = tasks(4)
    stage = restart()
    begun_ms = stage.clock.now_ms()
    run(stage, wanted, limits)
    stage.wait_for("task_done", 2)
    stage.wait_for("task_waiting", 2)
    stage.clock.advance(10.0)

    stage = restart()
    stage.run(wanted, limits=limits)
    stage.wait_for("task_waiting", 2)
    stage.advance_until("session_done")

    opened = sorted(call.opened_ms - begun_ms for call in stage.store.calls.scan(SESSION))
    assert opened == [0, 0, MINUTE_MS, MINUTE_MS]


def test_a_limit_that_is_raised_live_wakes_those_that_it_lets_through(stage: Stage) -> None:
    stage.engines.held = True
    run(stage, tasks(4), engine(concurrency=1))
    stage.wait_for("task_waiting", 3)

    stage.govern(engine(concurrency=3))

    stage.engines.wait_for_calls(3)
    stage.govern(CallLimits())
    for number in range(4):
        finish(stage, number)
    stage.wait_for("session_done")


def test_a_limit_that_is_set_live_counts_what_is_in_flight_and_what_has_been(
    stage: Stage,
) -> None:
    begun_ms = stage.clock.now_ms()
    stage.engines.held = True
    wanted = tasks(4, workers=2)
    stage.create(wanted)
    stage.run(wanted)
    stage.engines.wait_for_calls(2)
    finish(stage, 0)
    stage.engines.wait_for_calls(3)

    # Three have begun, and two of them are in flight.
    stage.govern(engine(requests_per_minute=3, concurrency=2))
    finish(stage, 1)

    (wait,) = stage.wait_for("task_waiting")
    assert wait.data["limit"] == "engine scripted: 3 requests per minute"
    assert wait.data["deadline_ms"] == begun_ms + MINUTE_MS
    finish(stage, 2)
    stage.wait_for("task_done", 3)
    stage.engines.held = False
    stage.advance_until("session_done")


def test_a_task_that_was_woken_and_cannot_call_gives_its_room_to_the_next(stage: Stage) -> None:
    stage.engines.held = True
    run(stage, tasks(3), engine(concurrency=1))
    waits = stage.wait_for("task_waiting", 2)
    stage.breaker.trip()

    finish(stage, 0)

    # Woken in its turn, it meets the open breaker, and so does the next.
    refused = stage.wait_for("task_waiting", 4)[2:]
    assert [event.task_id for event in refused] == [event.task_id for event in waits]
    assert {event.data["waits_for"] for event in refused} == {"breaker"}
    stage.engines.held = False
    stage.breaker.reset()
    stage.wait_for("session_done")


def test_a_session_that_pauses_gives_its_places_to_nobody_that_is_gone(stage: Stage) -> None:
    stage.engines.held = True
    run(stage, tasks(3), engine(concurrency=1))
    stage.wait_for("task_waiting", 2)
    stage.coordinator.wish(Asked(wish="pause", reason="lunch")).get(timeout=BOUND_SECONDS)
    stage.wait_for("pause_asked")
    finish(stage, 0)
    stage.wait_for("session_paused")
    assert stage.task("c2").state == "waiting"
    session = stage.store.require_session(SESSION)
    _, resumed = wished(session, Asked(wish="run"), stage.clock.now_ms(), stage.store.epoch)
    stage.store.journal.commit(resumed).result(BOUND_SECONDS)
    stage.engines.held = False

    stage.coordinate(tasks(3))

    stage.wait_for("session_done")
