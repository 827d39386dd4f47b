"""`maestro-runtime tokens`: report."""

from typing import Any

import click

from maestro_runtime.cli._options import json_option, state_dir_option, state_path
from maestro_runtime.cli._output import print_json, print_table
from maestro_runtime.cli._sessions import find_session


@click.group("tokens", epilog="Example: maestro-runtime tokens report")
def command() -> None:
    """What sessions and personas have spent."""


@command.command("report", epilog="Example: maestro-runtime tokens report @last")
@click.argument("session_id", metavar="[SESSION]", required=False)
@state_dir_option
@json_option
def report(session_id: str | None, state_dir: str | None, **options: Any) -> None:
    """Report the tokens of each session and persona.

    What is the limit, spent, left, reserved by open calls, and lost in crashes. SESSION is an id,
    the beginning of one, or @last; without it, all sessions are reported.
    """
    from maestro_runtime.report import persona_tokens
    from maestro_storage import Store

    with Store.inspect(state_path(state_dir)) as store:
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
        empty="nothing has been spent yet",
    )
