"""Budgets of the whole runtime: over all sessions, beside those of their teams, changed live."""

from collections.abc import Callable

import msgspec

from maestro_actors.ledger.budget import DAY_MS, Budget
from maestro_actors.limits import CallLimits
from maestro_actors.team import Team
from maestro_storage.records import CounterRecord
from staging import Stage, contract, team

HOUSE = Budget(id="house", window="day", limit=250)
NO_LIMITS = CallLimits()


def chain(count: int, *budgets: Budget) -> Team:
    """Return a team whose contracts follow each other; each call uses 100 tokens."""
    names = [f"c{number}" for number in range(1, count + 1)]
    wanted = team(*(contract(name, after=tuple(names[:at])) for at, name in enumerate(names)))
    return msgspec.structs.replace(wanted, budgets=budgets)


def start(stage: Stage, wanted: Team, *budgets: Budget) -> None:
    stage.create(wanted)
    stage.run(wanted, budgets=budgets)


def row_of(stage: Stage, budget_id: str) -> CounterRecord:
    (row,) = [row for row in stage.store.counters.scan() if row.counter.budget_id == budget_id]
    return row


def test_a_budget_of_the_runtime_counts_besides_one_of_a_team_with_its_id(stage: Stage) -> None:
    start(stage, chain(2, msgspec.structs.replace(HOUSE, limit=1_000)), HOUSE)
    stage.wait_for("session_done")

    rows = [row_of(stage, name) for name in ("house", "runtime/house")]
    assert [(row.spent, row.limit) for row in rows] == [(200, 1_000), (200, 250)]
    told = [event.data for event in stage.events if event.kind == "budget_alert"]
    assert [(data["budget_id"], data["permille"]) for data in told] == [
        ("runtime/house", 500),
        ("runtime/house", 800),
    ]


def test_a_limit_below_what_is_spent_denies_the_next_call(stage: Stage) -> None:
    stage.engines.held = True
    start(stage, chain(3), HOUSE)
    stage.engines.finish(stage.engines.wait_for_calls(1)[0].call_id)
    stage.engines.wait_for_calls(2)

    stage.govern(NO_LIMITS, msgspec.structs.replace(HOUSE, limit=50))
    stage.engines.finish(stage.engines.wait_for_calls(2)[1].call_id)

    stage.wait_for("session_failed")
    assert "budget 'runtime/house' cannot pay" in stage.task("c3").evidence[0]


def parked(stage: Stage) -> None:
    """Have a task wait for the next day of the budget."""
    start(stage, chain(4), msgspec.structs.replace(HOUSE, action="park", limit=250))
    (wait,) = stage.wait_for("task_waiting")
    assert (wait.data["waits_for"], wait.data["deadline_ms"]) == ("budget", DAY_MS)


def test_a_limit_that_is_raised_wakes_the_calls_that_wait_for_it(stage: Stage) -> None:
    parked(stage)

    stage.govern(NO_LIMITS, msgspec.structs.replace(HOUSE, action="park", limit=1_000))

    stage.wait_for("session_done")
    assert row_of(stage, "runtime/house").limit == 1_000


def test_a_budget_that_is_taken_away_lets_the_calls_go_that_wait_for_it(stage: Stage) -> None:
    parked(stage)

    stage.govern(NO_LIMITS)

    stage.wait_for("session_done")


def test_what_is_spent_is_known_after_a_restart(restart: Callable[[], Stage]) -> None:
    stage = restart()
    park = msgspec.structs.replace(HOUSE, action="park", limit=250)
    parked(stage)
    stage = restart()
    stage.run(chain(4), budgets=(park,))

    stage.advance_until("session_done")

    assert stage.clock.now_ms() == DAY_MS
