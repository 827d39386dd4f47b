"""`maestro-runtime session checkpoint`."""

from typing import Any

import click

from maestro_runtime.cli._access import open_desk
from maestro_runtime.cli._options import json_option, state_dir_option
from maestro_runtime.cli._output import print_json, say
from maestro_runtime.cli._sessions import find_session


@click.command(
    "checkpoint", epilog="Example: maestro-runtime session checkpoint @last --name before-review"
)
@click.argument("session_id", metavar="SESSION")
@click.option("--name", required=True, help="Name of the checkpoint; that of no phase.")
@state_dir_option
@json_option
def command(session_id: str, name: str, state_dir: str | None, **options: Any) -> None:
    """Write down where a session stands now, under a name.

    It ends no phase. The checkpoint commands, and fork, find it by its name.
    """
    from maestro_runtime.wire.orders import NameCheckpoint

    with open_desk(state_dir) as desk:
        session_id = find_session(desk.records, session_id)
        number = desk.carry_out(NameCheckpoint(session_id=session_id, name=name)).number
    if options["as_json"]:
        print_json(
            {
                "schema": "maestro.checkpoint-taken/1",
                "session_id": session_id,
                "number": number,
                "name": name,
            }
        )
    else:
        say(f"checkpoint {number} of session {session_id} taken as {name}")
