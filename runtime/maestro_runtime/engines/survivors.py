"""Names for processes that hold across a restart, and the end of those that outlived one."""

from collections.abc import Iterable
from pathlib import Path

from maestro_actors.engine import ProcessIdentity
from maestro_runtime.engines.guard import PROC, kill_processes, process_stat

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
        state_id: Processes that carry it in their environment are killed; a name that no copy
            of the directory has.
        processes: Leaders recorded by `EngineContext.started`; one that is still the same
            process is killed with its whole session, unless it works for another directory: the
            records may be a copy.

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
        and _state_of(process.pid) in {None, state_id}
    }
    sweep = kill_processes(sessions, f"{STATE_VARIABLE}={state_id}".encode())
    return tuple(sorted(sweep.killed))


def _state_of(pid: int) -> str | None:
    """Return the name of the state directory that a process works for; None if it says none."""
    try:
        environment = (PROC / str(pid) / "environ").read_bytes()
    except OSError:
        return None
    name = f"{STATE_VARIABLE}=".encode()
    values = (entry for entry in environment.split(b"\0") if entry.startswith(name))
    found = next(values, None)
    return None if found is None else found.removeprefix(name).decode(errors="replace")
