"""Processes that wait at a gate, so that strace can take hold of them, before they do their part.

They are taken hold of late because strace counts the calls of each thread for itself: only the
threads that live from here on are counted, and only one of them writes to the storage.
"""

import ctypes
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Final, Literal

import forked
import mortal
from maestro_runtime.testing import end_of
from maestro_storage import Store, StoreOptions
from mortal import Places
from straced import STRACE

PR_SET_PTRACER: Final = 0x59616D61
ANYBODY: Final = ctypes.c_ulong(-1)

Part = Literal["open", "work"]
"""open: open the state and close it; work: run the session in a state that is open."""


def run(part: Part, places: Places, options: list[str]) -> int:
    """Do a part under strace, which is given some options; return the exit code."""
    ours, theirs = Pipe()
    with ours:
        process = forked.start(main, theirs, part, places)
        theirs.close()
        ours.recv_bytes()
        with _strace(process.pid or 0, options):
            ours.send_bytes(b"go")
            return end_of(process)


def main(gate: Connection, part: Part, places: Places) -> None:
    """Wait at the gate, then do the part; what it says of errors is in a file beside the state."""
    forked.say_into(places.state_dir.with_name("errors.txt"))
    # Where only ancestors may trace a process, it has to let others.
    ctypes.CDLL(None).prctl(PR_SET_PTRACER, ANYBODY, 0, 0, 0)
    if part == "open":
        _wait(gate)
        Store.open(places.state_dir, options=StoreOptions(ballast_bytes=1 << 16)).close()
        return
    with mortal.opened(places) as runtime:
        _wait(gate)
        mortal.run(places, runtime)


def _wait(gate: Connection) -> None:
    gate.send_bytes(b"here")
    gate.recv_bytes()


@contextmanager
def _strace(pid: int, options: list[str]) -> Iterator[None]:
    argv = [STRACE or "strace", "-f", *options, "-p", str(pid)]
    with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) as strace:
        if strace.stderr is None:
            raise RuntimeError("strace has no stderr")
        said = strace.stderr.readline()
        if "attached" not in said:
            raise RuntimeError(f"strace does not take hold: {said}")
        try:
            yield
        finally:
            strace.terminate()
            strace.stderr.read()
