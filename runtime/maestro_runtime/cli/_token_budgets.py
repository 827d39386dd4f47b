"""`maestro-runtime tokens`: budget, top-up."""

import time
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

import click

from maestro_runtime.cli._access import open_desk, open_records
from maestro_runtime.cli._options import json_option, state_dir_option, user_name
from maestro_runtime.cli._output import instant, print_json, print_table, printable, say
from maestro_runtime.cli._sessions import find_session, to_go_on

if TYPE_CHECKING:
    from maestro_runtime.statements.budgets import BudgetState

BURN_HOURS = 24
"""How far back the burn rate looks unless it is told."""


class AmountType(click.ParamType[Decimal]):
    """A decimal number."""

    name = "amount"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Decimal:
        """Return it, exact."""
        try:
            return Decimal(value)
        except InvalidOperation:
            self.fail(f"must be a number, got {value!r}", param, ctx)


@click.command("budget", epilog="Example: maestro-runtime tokens budget persona/developer")
@click.argument("budget_id", metavar="[BUDGET]", required=False)
@click.option("--session", metavar="SESSION", help="Of windows that are sessions, only this one.")
@click.option(
    "--hours",
    metavar="N",
    type=click.IntRange(1, 24 * 366),
    default=BURN_HOURS,
    help=f"How far back the burn rate looks (default {BURN_HOURS}).",
)
@state_dir_option
@json_option
def _budget(
    budget_id: str | None, session: str | None, hours: int, state_dir: str | None, **options: Any
) -> None:
    """List the budgets of running windows, or every window of BUDGET.

    What is left, what is used in an hour, and when nothing is left if it goes on like this. The
    token budget of a persona is called persona/NAME.
    """
    from maestro_runtime.statements.budgets import budgets
    from maestro_storage.errors import NotFound

    with open_records(state_dir) as store:
        session_id = None if session is None else find_session(store, session)
        rows = budgets(store, _now_ms(), hours, budget_id=budget_id, session_id=session_id)
    if budget_id is not None and not rows:
        raise NotFound("budget", budget_id)
    if options["as_json"]:
        print_json({"schema": "maestro.budgets/1", "burn_hours": hours, "budgets": rows})
        return
    headers = ("BUDGET", "OF", "SESSION", "WINDOW", "METRIC", "LIMIT", "SPENT", "HELD", "LEFT")
    print_table(
        (*headers, "SHARE", "RESETS AT", "PER HOUR", "EXHAUSTED AT"),
        [_cells(row) for row in rows],
        empty="no budget has a running window",
    )


def _cells(row: "BudgetState") -> tuple[str, ...]:
    from maestro_runtime.statements.money import figure

    return (
        row.budget_id,
        row.subject or "-",
        row.session_id or "-",
        row.window,
        row.metric,
        figure(row.limit, row.metric),
        figure(row.spent, row.metric, row.unpriced_calls),
        figure(row.held, row.metric),
        figure(row.left, row.metric),
        f"{row.spent_permille / 10:g} %",
        instant(row.resets_at_ms),
        figure(row.burn_per_hour, row.metric),
        "exhausted" if not row.left else instant(row.exhausted_at_ms),
    )


@click.command(
    "top-up", epilog='Example: maestro-runtime tokens top-up usd 2.50 --reason "one more day"'
)
@click.argument("budget_id", metavar="BUDGET")
@click.argument("amount", metavar="AMOUNT", type=AmountType())
@click.option("--reason", metavar="TEXT", required=True, help="Why; the history keeps it.")
@click.option("--session", metavar="SESSION", help="Which one, if the budget counts several apart.")
@click.option("--subject", metavar="NAME", help="Whom it counts, if it counts several apart.")
@state_dir_option
@json_option
def _top_up(
    budget_id: str,
    amount: Decimal,
    reason: str,
    session: str | None,
    subject: str | None,
    state_dir: str | None,
    **options: Any,
) -> None:
    """Add AMOUNT to the limit of BUDGET in its running window.

    It is durable when this returns. AMOUNT is in units of the budget's metric: tokens, requests, or
    USD. Tasks that the budget has stopped and that wait for a person are tried again once their
    session is resumed.
    """
    from maestro_runtime.statements.money import figure
    from maestro_runtime.top_up import TopUpOrder
    from maestro_runtime.wire.orders import TopUpBudget

    with open_desk(state_dir) as desk:
        order = TopUpOrder(
            budget_id=budget_id,
            amount=amount,
            reason=reason,
            by=user_name(),
            session_id=None if session is None else find_session(desk.records, session),
            subject=subject,
        )
        done = desk.carry_out(TopUpBudget(order=order))
        going_on = {name for name, _ in done.retried if desk.runs(name)}
    if options["as_json"]:
        print_json({"schema": "maestro.top-up/1", "top_up": done})
        return
    limit, left = figure(done.limit, done.metric), figure(done.left, done.metric)
    say(printable(f"budget {done.budget_id} has a limit of {limit} now, {left} of it left"))
    for session_id, contract in done.retried:
        how = "" if session_id in going_on else f"; {to_go_on(session_id)}"
        say(f"{contract} is tried again{how}")


COMMANDS = (_budget, _top_up)
"""For the group."""


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
