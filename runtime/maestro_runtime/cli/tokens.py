"""`maestro-runtime tokens`: report."""

from typing import Any

import click

from maestro_runtime.cli._options import json_option, state_dir_option, state_path
from maestro_runtime.cli._output import print_json, print_table


@click.group("tokens")
def command() -> None:
    """What sessions and personas have spent."""


@command.command("report")
@click.argument("session_id", metavar="[SESSION]", required=False)
@state_dir_option
@json_option
def report(session_id: str | None, state_dir: str | None, **options: Any) -> None:
    """Report tokens by session and persona: limit, spent, reserved, lost in crashes."""
    from maestro_runtime.report import persona_tokens
    from maestro_storage import Store

    with Store.inspect(state_path(state_dir)) as store:
        rows = persona_tokens(store, session_id)
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
    )
