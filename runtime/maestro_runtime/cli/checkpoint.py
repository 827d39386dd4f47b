"""`maestro-runtime checkpoint`: list."""

from typing import Any

import click

from maestro_runtime.cli._options import json_option, state_dir_option, state_path
from maestro_runtime.cli._output import instant, print_json, print_table
from maestro_runtime.cli._sessions import find_session


@click.group("checkpoint", epilog="Example: maestro-runtime checkpoint list @last")
def command() -> None:
    """Checkpoints of a session."""


@command.command("list", epilog="Example: maestro-runtime checkpoint list @last")
@click.argument("session_id", metavar="SESSION")
@state_dir_option
@json_option
def list_checkpoints(session_id: str, state_dir: str | None, **options: Any) -> None:
    """List the checkpoints of a session, oldest first."""
    from maestro_storage import Store

    with Store.inspect(state_path(state_dir)) as store:
        session_id = store.require_session(find_session(store, session_id)).session_id
        records = list(store.checkpoints.scan(session_id))
    if options["as_json"]:
        checkpoints = [
            {
                "number": record.number,
                "phase": record.phase,
                "at_ms": record.at_ms,
                "tasks_done": record.tasks_done,
                "tokens_used": record.tokens_used,
                "summary_sha256": record.summary.hex(),
            }
            for record in records
        ]
        print_json(
            {
                "schema": "maestro.checkpoints/1",
                "session_id": session_id,
                "checkpoints": checkpoints,
            }
        )
        return
    print_table(
        ("NUMBER", "PHASE", "AT", "TASKS DONE", "TOKENS", "SHA-256"),
        [
            (
                record.number,
                record.phase,
                instant(record.at_ms),
                record.tasks_done,
                record.tokens_used,
                record.summary.hex()[:12],
            )
            for record in records
        ],
    )
