"""Engines that an earlier start has left running."""

from maestro_actors.engine import ProcessIdentity
from maestro_runtime.engines.survivors import kill_survivors
from maestro_storage import Store
from maestro_storage.records import SESSION_FINAL


def kill_recorded(store: Store) -> None:
    """Kill what engines of an earlier start left running, before their tasks run again."""
    processes = [
        ProcessIdentity(pid=call.pid, start_ticks=call.pid_start_ticks, boot_id=call.boot_id)
        for session in store.sessions.scan()
        if session.state not in SESSION_FINAL
        for call in store.calls.scan(session.session_id)
        if call.state == "open" and call.pid
    ]
    kill_survivors(store.state_id, processes)
