"""`maestro-runtime session list`."""

from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, get_args

import click
from click.shell_completion import CompletionItem

from maestro_runtime.cli._access import open_records
from maestro_runtime.cli._options import (
    InstantType,
    json_option,
    require_period,
    state_dir_option,
)
from maestro_runtime.cli._output import instant, print_json, print_table, say
from maestro_runtime.cli._sessions import state_text

if TYPE_CHECKING:
    from maestro_runtime.reports.listing import SessionPage

BLOCKERS: Final = ("call", "deadline", "breaker", "budget", "limit", "person")
PAGE_SESSIONS: Final = 50
PAGE_SESSIONS_MAX: Final = 10_000


class StateType(click.ParamType[str]):
    """A state of a session."""

    name = "state"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the state; the states are those that records have."""
        from maestro_storage.records import SessionState

        known = get_args(SessionState)
        if value not in known:
            self.fail(f"must be one of {', '.join(known)}, got {value!r}", param, ctx)
        return str(value)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem[str]]:
        """Return the states that begin like this."""
        from maestro_storage.records import SessionState

        known = get_args(SessionState)
        return [CompletionItem(state) for state in known if state.startswith(incomplete)]


class UsdType(click.ParamType[int]):
    """An amount of USD."""

    name = "usd"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return whole nano-USD."""
        try:
            amount = Decimal(value) * 1_000_000_000
        except ArithmeticError:
            amount = Decimal(-1)
        if not (amount.is_finite() and 0 <= amount < 1 << 63):
            self.fail(f"must be an amount of USD such as 0.25, got {value!r}", param, ctx)
        return int(amount)


@click.command("list", epilog="Example: maestro-runtime session list --state running --limit 20")
@click.option("--state", "states", multiple=True, type=StateType(), help="In it; repeatable.")
@click.option("--label", "labels", metavar="KEY[=VALUE]", multiple=True, help="Has it; repeatable.")
@click.option("--persona", "persona_id", metavar="ID", help="With a task of this persona.")
@click.option("--contract", "contract_id", metavar="ID", help="With this contract.")
@click.option("--phase", metavar="NAME", help="With a task of this phase.")
@click.option(
    "--waiting-for", "waits_for", type=click.Choice(BLOCKERS), help="With a task that waits for it."
)
@click.option(
    "--since",
    "since_ms",
    metavar="WHEN",
    type=InstantType(),
    help="Started then or later: a date or an age.",
)
@click.option("--until", "until_ms", metavar="WHEN", type=InstantType(), help="Started before it.")
@click.option("--min-tokens", metavar="N", type=click.IntRange(0), default=0, help="Has used them.")
@click.option(
    "--min-cost",
    "min_cost_nano_usd",
    metavar="USD",
    type=UsdType(),
    default="0",
    help="Has cost it.",
)
@click.option(
    "--limit",
    metavar="N",
    type=click.IntRange(1, PAGE_SESSIONS_MAX),
    default=PAGE_SESSIONS,
    help=f"Most sessions shown (default {PAGE_SESSIONS}).",
)
@click.option("--cursor", metavar="CURSOR", help="Go on where a list has ended.")
@state_dir_option
@json_option
def command(
    labels: tuple[str, ...],
    limit: int,
    cursor: str | None,
    state_dir: str | None,
    *,
    as_json: bool,
    **conditions: Any,
) -> None:
    """List sessions, newest first: those that meet all conditions.

    Persona, contract, phase and what it waits for are those of one task.
    """
    from maestro_runtime.labels import read_wanted_label
    from maestro_runtime.reports.listing import SessionFilter, SessionPage, list_sessions
    from maestro_storage.errors import NotFound

    require_period(conditions["since_ms"], conditions["until_ms"])
    wanted = SessionFilter(labels=tuple(map(read_wanted_label, labels)), **conditions)
    empty = "no sessions"
    try:
        with open_records(state_dir) as store:
            page = list_sessions(store, wanted, limit=limit, cursor=cursor)
            quarantined = dict(store.quarantined)
    except NotFound as missing:
        # No state yet is an empty list: scripts must not have to tell the two apart. People must,
        # who may have mistyped its directory.
        page, quarantined = SessionPage(rows=(), next_cursor=None), {}
        empty = f"no sessions: {missing}"
    _print(page, quarantined, empty, as_json=as_json)


def _print(
    page: "SessionPage", quarantined: dict[str, tuple[str, ...]], empty: str, *, as_json: bool
) -> None:
    if as_json:
        from maestro_runtime.reports.listing import SCHEMA

        print_json(
            {
                "schema": SCHEMA,
                "sessions": page.rows,
                "quarantined": sorted(quarantined),
                "next_cursor": page.next_cursor,
            }
        )
        return
    headers = ["SESSION", "STATE", "TEAM", "TASKS", "TOKENS", "STARTED", "ENDED"]
    with_labels = any(row.labels for row in page.rows)
    if with_labels:
        headers.append("LABELS")
    print_table(
        headers,
        [
            (
                row.session_id,
                state_text(row.state, set_aside=row.set_aside),
                row.team,
                f"{row.tasks_done}/{row.tasks}",
                row.tokens_used,
                instant(row.created_ms),
                instant(row.finished_ms),
                *(
                    [",".join(f"{key}={row.labels[key]}" for key in row.labels)]
                    if with_labels
                    else []
                ),
            )
            for row in page.rows
        ],
        empty=empty,
    )
    if page.next_cursor is not None:
        say(f"there are more: --cursor {page.next_cursor}")
    for session_id, damaged in quarantined.items():
        say(f"session {session_id} is quarantined: {len(damaged)} damaged records")
