"""Names for processes that hold across a restart, and the end of those that outlived one."""

from collections.abc import Iterable
from pathlib import Path

from maestro_actors.engine import ProcessIdentity
from maestro_runtime.engines.guard import kill_processes, process_stat

STATE_VARIABLE = "MAESTRO_STATE_ID"
"""In the environment of every process that works for a state directory."""


def boot_id() -> str:
    """Return the kernel's name for this start of the machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def identify(pid: int) -> ProcessIdentity:
    """Name a process beyond the reuse of its pid.

    Raises:
        ProcessLookupError: There is no such process.
    """
    stat = process_stat(pid)
    if stat is None:
        raise ProcessLookupError(pid)
    return ProcessIdentity(pid=pid, start_ticks=stat.start_ticks, boot_id=boot_id())


def kill_survivors(state_id: str, processes: Iterable[ProcessIdentity]) -> tuple[int, ...]:
    """Kill what an earlier start of the state directory left running, with its children.

    To be called at start-up, by the owner of the directory, before any engine runs. Blocks until
    the processes are gone, a few seconds at most.

    Args:
        state_id: Processes that carry it in their environment are killed.
        processes: Leaders recorded by `EngineContext.started`; one that is still the same
            process is killed with its whole session.

    Returns:
        The pids that were killed, in order.
    """
    boot = boot_id()
    sessions = {
        process.pid
        for process in processes
        if process.boot_id == boot
        and (stat := process_stat(process.pid)) is not None
        and stat.start_ticks == process.start_ticks
    }
    sweep = kill_processes(sessions, f"{STATE_VARIABLE}={state_id}".encode())
    return tuple(sorted(sweep.killed))
