"""`maestro-runtime tokens`: what was spent, by whom and on what, and what is left."""

from typing import TYPE_CHECKING, Any

import click

from maestro_runtime.cli import _token_budgets, _token_calls, _token_correction
from maestro_runtime.cli._access import open_records
from maestro_runtime.cli._options import (
    json_option,
    period_options,
    require_period,
    state_dir_option,
)
from maestro_runtime.cli._output import print_json, print_table, say
from maestro_runtime.cli._sessions import find_session

if TYPE_CHECKING:
    from maestro_runtime.statements.usage import Dimension
    from maestro_storage import Records

DIMENSIONS = (
    "session",
    "phase",
    "contract",
    "persona",
    "model",
    "engine",
    "outcome",
    "hour",
    "day",
)


@click.group("tokens", epilog="Example: maestro-runtime tokens report")
def command() -> None:
    """What sessions and personas have spent, and what they have left.

    SESSION is an id, the beginning of one, or @last; without it, all sessions are meant.
    """


@command.command("report", epilog="Example: maestro-runtime tokens report @last --by persona")
@click.argument("session_id", metavar="[SESSION]", required=False)
@click.option(
    "--by",
    type=click.Choice(DIMENSIONS),
    multiple=True,
    help="Add up what was used, by this; may be repeated.",
)
@period_options
@state_dir_option
@json_option
def report(
    session_id: str | None,
    by: "tuple[Dimension, ...]",
    since_ms: int | None,
    until_ms: int | None,
    state_dir: str | None,
    **options: Any,
) -> None:
    """Report the tokens of each session and persona.

    What is the limit, spent, left, reserved by open calls, and lost in crashes. With --by, --since
    or --until: what was used, also by sessions that are dropped, in whole hours.
    """
    from maestro_runtime.statements.personas import persona_tokens

    if by or since_ms is not None or until_ms is not None:
        by = by or ("session", "persona")
        _print_usage(session_id, by, since_ms, until_ms, state_dir, as_json=options["as_json"])
        return
    with open_records(state_dir) as store:
        named = None if session_id is None else find_session(store, session_id)
        rows = persona_tokens(store, named)
    if options["as_json"]:
        print_json({"schema": "maestro.tokens/1", "personas": rows})
        return
    print_table(
        ("SESSION", "PERSONA", "LIMIT", "SPENT", "LEFT", "RESERVED", "CALLS", "LOST"),
        [
            (
                row.session_id,
                row.persona_id,
                row.limit_tokens,
                row.spent_tokens,
                row.left_tokens,
                row.held_tokens,
                row.calls,
                row.lost_tokens,
            )
            for row in rows
        ],
        empty="no session on record has spent anything",
    )


@command.command("history", epilog="Example: maestro-runtime tokens history --by day --since 30d")
@click.argument("session_id", metavar="[SESSION]", required=False)
@click.option(
    "--by", type=click.Choice(("hour", "day")), default="hour", help="Length of a step, in UTC."
)
@period_options
@state_dir_option
@json_option
def history(
    session_id: str | None,
    by: "Dimension",
    since_ms: int | None,
    until_ms: int | None,
    state_dir: str | None,
    **options: Any,
) -> None:
    """Show what was used in each hour or day.

    Also by sessions that are dropped: what they have used is kept.
    """
    _print_usage(session_id, (by,), since_ms, until_ms, state_dir, as_json=options["as_json"])


@command.command("waste", epilog="Example: maestro-runtime tokens waste @last")
@click.argument("session_id", metavar="[SESSION]", required=False)
@state_dir_option
@json_option
def waste(session_id: str | None, state_dir: str | None, **options: Any) -> None:
    """Show what was spent in vain by each persona.

    That is, on attempts whose output was not used: of finished tasks, all but the one that did it;
    of failed and skipped tasks, all. Tasks that have not ended are undecided.
    """
    from maestro_runtime.statements.money import cost_text
    from maestro_runtime.statements.waste import waste as wasted

    with open_records(state_dir) as store:
        named = None if session_id is None else find_session(store, session_id)
        rows = wasted(store, named)
    if options["as_json"]:
        print_json({"schema": "maestro.waste/1", "personas": rows})
        return
    print_table(
        ("PERSONA", "TOKENS", "USED", "WASTED", "UNDECIDED", "WASTED USD", "REASONS"),
        [
            (
                row.persona_id,
                row.tokens,
                row.used_tokens,
                row.wasted_tokens,
                row.undecided_tokens,
                cost_text(row.wasted_nano_usd, row.wasted_unpriced_calls),
                ", ".join(f"{reason} {tokens}" for reason, tokens in row.reasons.items()) or "-",
            )
            for row in rows
        ],
        empty="no session on record has spent anything",
    )


def _print_usage(
    given: str | None,
    by: "tuple[Dimension, ...]",
    since_ms: int | None,
    until_ms: int | None,
    state_dir: str | None,
    *,
    as_json: bool,
) -> None:
    from maestro_runtime.statements.money import cost_text
    from maestro_runtime.statements.usage import UsageQuery, total, usage

    require_period(since_ms, until_ms)
    with open_records(state_dir) as store:
        session_id = None if given is None else _session_with_usage(store, given)
        query = UsageQuery(by=by, session_id=session_id, since_ms=since_ms, until_ms=until_ms)
        rows = usage(store, query)
    whole = total(rows)
    if as_json:
        print_json({"schema": "maestro.usage/1", "query": query, "rows": rows, "total": whole})
        return
    print_table(
        (*(name.upper() for name in by), "CALLS", "TOKENS", "INPUT", "OUTPUT", "CACHED", "USD"),
        [
            (
                *(name or "-" for name in row.group.values()),
                row.calls,
                row.tokens,
                row.input_tokens,
                row.output_tokens,
                row.cache_read_tokens,
                cost_text(row.cost_nano_usd, row.unpriced_calls),
            )
            for row in rows
        ],
        empty="nothing was used in this time",
    )
    if rows:
        lost = f", {whole.lost_calls} of them lost" if whole.lost_calls else ""
        cost = cost_text(whole.cost_nano_usd, whole.unpriced_calls)
        say(f"in all {whole.calls} calls{lost}, {whole.tokens} tokens, USD {cost}")


def _session_with_usage(store: "Records", given: str) -> str:
    """Return the id of the session that is meant; what was used outlives it."""
    from maestro_storage.errors import NotFound

    try:
        return find_session(store, given)
    except NotFound:
        if any(cell.session_id == given for cell in store.usage.scan("")):
            return given
        raise


for _command in (*_token_budgets.COMMANDS, *_token_calls.COMMANDS, _token_correction.command):
    command.add_command(_command)
