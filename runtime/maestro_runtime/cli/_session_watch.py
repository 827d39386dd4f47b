"""`maestro-runtime session watch`."""

import click

from maestro_runtime.cli._options import json_option, state_dir_option


@click.command("watch", epilog="Example: maestro-runtime session watch @last")
@click.argument("session_id", metavar="SESSION")
@state_dir_option
@json_option
def command(session_id: str, state_dir: str | None, *, as_json: bool) -> None:
    """Show what another process runs until it ends.

    As `run` shows it, with the exit code of the session. It goes on over restarts of that process.
    Ctrl-C (130) leaves the session alone.
    """
    from maestro_runtime.cli._session_run import watch_session

    watch_session(state_dir, session_id, as_json=as_json)
