"""The guard: a process that outlives the runtime just long enough to kill what it left behind.

It is started as `python -I -S guard.py MARKER` and reads lines from the runtime: `+SESSION TICKS`
when a process tree starts, `-SESSION` when it is gone, `q` to quit. End of file without `q` means
that the runtime died; then every registered tree, and every process whose environment holds
MARKER, is killed. The file imports nothing but the standard library because it runs by itself.
"""

import os
import signal
import sys
import time
from collections.abc import Collection
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

PROC: Final = Path("/proc")

SETTLE_SECONDS: Final = 0.2
"""Between the last two sweeps: a child that was about to start its program shows its marker."""

KILL_SECONDS_MAX: Final = 5.0
"""How long killed processes may take to vanish; only one stuck in the kernel takes longer."""

KILL_PAUSE_SECONDS: Final = 0.005


class Stat(NamedTuple):
    """The fields of /proc/<pid>/stat that name a process beyond its pid."""

    state: str
    session: int
    start_ticks: int


class Sweep(NamedTuple):
    """What came of killing a process tree."""

    killed: frozenset[int]
    survived: frozenset[int]


def process_stat(pid: int) -> Stat | None:
    """Return the state of a process; None if there is none."""
    try:
        text = (PROC / str(pid) / "stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The command's name is in parentheses and may hold anything: count from its end.
    fields = text[text.rindex(b")") + 2 :].split()
    return Stat(fields[0].decode(), int(fields[3]), int(fields[19]))


def find_processes(sessions: Collection[int], marker: bytes) -> list[int]:
    """Return the pids of live processes in `sessions`, or with `marker` in their environment.

    Zombies, this process, and processes of other users are left out. `marker` is a whole
    `NAME=value`.
    """
    own_pid = os.getpid()
    return [
        pid
        for entry in PROC.iterdir()
        if entry.name.isdecimal()
        and (pid := int(entry.name)) != own_pid
        and _belongs(pid, sessions, marker)
    ]


def kill_processes(sessions: Collection[int], marker: bytes) -> Sweep:
    """Kill until nothing is found any more; see `find_processes`.

    Blocks until the processes are gone, `KILL_SECONDS_MAX` at most.
    """
    killed: set[int] = set()
    deadline = time.monotonic() + KILL_SECONDS_MAX
    while found := find_processes(sessions, marker):
        killed.update(pid for pid in found if _kill(pid, sessions, marker))
        if time.monotonic() > deadline:
            break
        time.sleep(KILL_PAUSE_SECONDS)
    return Sweep(frozenset(killed), frozenset(found))


def _belongs(pid: int, sessions: Collection[int], marker: bytes) -> bool:
    """Tell whether a process is alive and in one of the sessions or marked."""
    stat = process_stat(pid)
    if stat is None or stat.state in "ZX":
        return False
    if stat.session in sessions:
        return True
    try:
        environment = (PROC / str(pid) / "environ").read_bytes()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return False
    return marker in environment.split(b"\0")


def _kill(pid: int, sessions: Collection[int], marker: bytes) -> bool:
    """Kill one process, looking again through a descriptor that the pid cannot slip from."""
    try:
        pid_fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        if not _belongs(pid, sessions, marker):
            return False
        signal.pidfd_send_signal(pid_fd, signal.SIGKILL)
    except ProcessLookupError:
        return False
    finally:
        os.close(pid_fd)
    return True


def watch(lines: BinaryIO, marker: bytes) -> None:
    """Follow the runtime's lines until it quits or dies; clean up if it died."""
    trees: dict[int, int] = {}
    for line in lines:
        if line == b"q\n":
            return
        if not line.endswith(b"\n"):
            break
        session, _, ticks = line[1:].partition(b" ")
        if line.startswith(b"+"):
            trees[int(session)] = int(ticks)
        else:
            trees.pop(int(session), None)
    # Where a leader is gone its number stays taken while members of the session live.
    sessions = {
        session
        for session, ticks in trees.items()
        if (stat := process_stat(session)) is None or stat.start_ticks == ticks
    }
    kill_processes(sessions, marker)
    time.sleep(SETTLE_SECONDS)
    kill_processes(sessions, marker)


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # What stops the runtime must not stop its guard first.
        signal.signal(number, signal.SIG_IGN)
    watch(sys.stdin.buffer, sys.argv[1].encode())
