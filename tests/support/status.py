"""What a state says of itself, for whoever has to find out why a run did not come to its end."""

from collections.abc import Iterator
from pathlib import Path

from maestro_runtime.reports.session import waits_for_text
from maestro_storage import Store
from maestro_storage.errors import StorageError
from maestro_storage.records import SESSION_FINAL, TASK_FINAL


def status(directory: Path) -> Iterator[str]:
    """Tell of each state below a directory what its sessions and tasks wait for, line by line."""
    for data in sorted(directory.rglob("data/data.mdb")):
        state = data.parents[1]
        try:
            yield from _of_state(state)
        except StorageError as error:
            yield f"{state}: {error}"


def _of_state(state: Path) -> Iterator[str]:
    with Store.inspect(state) as store:
        for session in store.sessions.scan():
            yield f"{state}: session {session.session_id} is {session.state}, epoch {store.epoch}"
            if session.state in SESSION_FINAL:
                continue
            for task in store.tasks.scan(session.session_id):
                if task.state not in TASK_FINAL:
                    yield f"  {task.task_id} is {task.state}: {waits_for_text(task)}"
