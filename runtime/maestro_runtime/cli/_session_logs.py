"""`maestro-runtime session logs`."""

import click

from maestro_runtime.cli._access import open_records
from maestro_runtime.cli._options import json_option, state_dir_option
from maestro_runtime.cli._sessions import find_session
from maestro_runtime.cli._since import Since, follow_option, since_option


@click.command("logs", epilog="Example: maestro-runtime session logs @last -f")
@click.argument("session_id", metavar="SESSION")
@follow_option
@click.option("--task", "task_id", metavar="CONTRACT", help="Of this task alone.")
@since_option
@state_dir_option
@json_option
def command(
    session_id: str,
    task_id: str | None,
    since: Since | None,
    state_dir: str | None,
    *,
    follow: bool,
    as_json: bool,
) -> None:
    """Print what has happened in a session, one line for each event.

    With -f it goes on with what happens, over restarts of whoever runs the session. Ctrl-C ends it
    (130).
    """
    from maestro_runtime.cli._events import Wanted, print_events

    with open_records(state_dir) as store:
        found = find_session(store, session_id)
        if task_id is not None and store.tasks.get(found, task_id) is None:
            from maestro_storage.errors import NotFound

            raise NotFound("task", f"{found}/{task_id}")
    wanted = Wanted(session_id=found, task_id=task_id, since=since or Since())
    print_events(state_dir, wanted, follow=follow, from_now=False, as_json=as_json)
