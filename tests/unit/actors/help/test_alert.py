"""Alerts of budgets: one outbox row for each, in the transition that raises it, delivered once."""

from collections.abc import Callable

import msgspec
import pytest

from maestro_actors.engine import Usage
from maestro_actors.help.alert import AlertPosting, BudgetAlert
from maestro_actors.ledger.budget import Budget
from maestro_actors.team import Team
from maestro_storage.records import OutboxRecord
from staging import PERMANENT, SESSION, Stage, team

BUDGET = Budget(id="tight", window="forever", limit=160, alert_permille=(500,))


def budgeted() -> Team:
    """Return a team whose one call, of 100 tokens, raises one alert."""
    return msgspec.structs.replace(team(token_budget=100_000), budgets=(BUDGET,))


def begin(stage: Stage) -> None:
    wanted = budgeted()
    stage.create(wanted)
    stage.run(wanted)


def rows(stage: Stage) -> list[OutboxRecord]:
    return list(stage.store.outbox.scan(SESSION))


def test_an_alert_leaves_the_process_once_and_says_what_was_reached(stage: Stage) -> None:
    stage.open_help_desk()
    begin(stage)

    (event,) = stage.wait_for("alert_sent")
    (posting,) = stage.tickets.wait_for_alerts(1)

    assert posting.alert == BudgetAlert(
        session_id=SESSION,
        persona_id="dev",
        task_id="c1",
        budget_id="tight",
        window="forever",
        metric="total",
        subject="",
        start_ms=0,
        permille=500,
        limit=160,
        spent=100,
        at_ms=stage.clock.now_ms(),
    )
    assert posting.alert.summary == (
        "budget 'tight' has reached 50 % of its limit: 100 of 160 (total, forever)"
    )
    assert not posting.doubtful
    assert (event.task_id, event.data) == (
        "c1",
        {"budget_id": "tight", "permille": 500, "reference": "T-0"},
    )
    assert [(row.kind, row.state) for row in rows(stage)] == [("alert", "done")]


def test_row_alert_and_outbox_are_one_transition(stage: Stage) -> None:
    """No help desk runs here: whoever sees the alert sees what will send it, too."""
    begin(stage)
    stage.wait_for("budget_alert")

    (row,) = rows(stage)

    assert (row.kind, row.state) == ("alert", "pending")
    assert len(list(stage.store.alerts.scan())) == 1


@pytest.mark.parametrize("sent", [False, True])
def test_an_alert_that_may_have_arrived_is_looked_for_at_the_next_start(
    restart: Callable[[], Stage], *, sent: bool
) -> None:
    first = restart()
    first.tickets.held = True
    if sent:
        first.open_help_desk()
    begin(first)
    first.wait_for("session_done")
    before: list[AlertPosting] = first.tickets.wait_for_alerts(1) if sent else []
    second = restart()

    second.open_help_desk()
    second.wait_for("alert_sent")
    third = restart()
    third.open_help_desk()

    (again,) = second.tickets.alerts
    assert again.doubtful == sent
    assert [posting.posting_id for posting in before] in ([], [again.posting_id])
    assert third.tickets.alerts == []


def test_a_sink_that_is_down_is_tried_again_later(stage: Stage) -> None:
    stage.tickets.held = True
    stage.open_help_desk()
    begin(stage)
    (posting,) = stage.tickets.wait_for_alerts(1)

    stage.tickets.failed(posting, doubtful=False)

    (delayed,) = stage.wait_for("alert_delayed")
    assert delayed.data == {
        "budget_id": "tight",
        "permille": 500,
        "reason": "no route",
        "tries": 1,
        "deadline_ms": delayed.at_ms + 5_000,
    }
    stage.tickets.held = False
    stage.advance_until("alert_sent")
    assert [row.state for row in rows(stage)] == ["done"]


def test_tickets_and_alerts_of_the_same_end_both_leave(stage: Stage) -> None:
    failed = msgspec.structs.replace(PERMANENT, usage=Usage(input_tokens=90))
    stage.engines.outcomes.append(failed)
    stage.open_help_desk()
    begin(stage)

    stage.wait_for("alert_sent")
    stage.wait_for("ticket_filed")

    assert sorted(row.kind for row in rows(stage)) == ["alert", "ticket"]
    assert {row.state for row in rows(stage)} == {"done"}
