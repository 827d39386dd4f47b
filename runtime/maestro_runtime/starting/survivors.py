"""Engines that an earlier start has left running."""

from maestro_actors.engine import ProcessIdentity
from maestro_runtime.engines.survivors import kill_survivors
from maestro_storage import Store
from maestro_storage.records import SESSION_FINAL


def name_of(store: Store) -> str:
    """Return a name of the state directory that stays when it is moved, and that no copy has.

    A backup has the same records, and its owner must not touch what works for the original.
    """
    place = store.path.stat()
    return f"{store.state_id}.{place.st_dev:x}.{place.st_ino:x}"


def kill_recorded(store: Store) -> None:
    """Kill what engines of an earlier start left running, before their tasks run again."""
    processes = [
        ProcessIdentity(pid=call.pid, start_ticks=call.pid_start_ticks, boot_id=call.boot_id)
        for session in store.sessions.scan()
        if session.state not in SESSION_FINAL
        for call in store.calls.scan(session.session_id)
        if call.state == "open" and call.pid
    ]
    kill_survivors(name_of(store), processes)
