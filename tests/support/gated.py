"""Processes that wait at a gate, so that strace can take hold of them, before they do their part.

They are taken hold of late because strace counts the calls of each thread for itself: only the
threads that live from here on are counted, and only one of them writes to the storage.
"""

import ctypes
import os
import subprocess
import threading
from asyncio import selector_events
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any, Final, Literal

import forked
import mortal
from maestro_runtime.daemon import reachable
from maestro_runtime.testing import end_of
from maestro_storage import Store, StoreOptions
from mortal import Places
from straced import STRACE

PR_SET_PTRACER: Final = 0x59616D61
ANYBODY: Final = ctypes.c_ulong(-1)
LANE: Final = "actors"

Part = Literal["open", "work"]
"""open: open the state and close it; work: run the session in a state that is open."""


def run(
    part: Part, places: Places, options: list[str], beside: Callable[[], None] | None = None
) -> int:
    """Do a part under strace, which is given some options; return the exit code.

    The loops of the process are woken through pipes, so that all it does with sockets is what it
    says to others. Where the lane of the actors commits, strace has hold of that alone. `beside` is
    called when it has, before the process goes on.
    """
    ours, theirs = Pipe()
    with ours:
        process = forked.start(main, theirs, part, places)
        theirs.close()
        lane = int(ours.recv_bytes())
        held = ["-p", str(lane)] if places.committer == "lane" else ["-f", "-p", str(process.pid)]
        with _strace([*options, *held]):
            if beside is not None:
                beside()
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
    vars(selector_events)["BaseSelectorEventLoop"]._make_self_pipe = _make_self_pipe
    with (
        mortal.telling(places) as teller,
        mortal.opened(places) as runtime,
        reachable(runtime, hosts=True),
    ):
        _wait(gate)
        mortal.run(places, runtime, teller)


class PipeEnd:
    """One end of a pipe, as far as a loop uses a socket for it."""

    def __init__(self, number: int) -> None:
        os.set_blocking(number, False)
        self._number = number

    def fileno(self) -> int:
        return self._number

    def send(self, data: bytes) -> int:
        return os.write(self._number, data)

    def recv(self, size: int) -> bytes:
        return os.read(self._number, size)

    def close(self) -> None:
        os.close(self._number)


def _make_self_pipe(loop: Any) -> None:
    loop._ssock, loop._csock = map(PipeEnd, os.pipe())
    loop._internal_fds += 1
    loop._add_reader(loop._ssock.fileno(), loop._read_from_self)


def _wait(gate: Connection) -> None:
    lanes = [thread.native_id for thread in threading.enumerate() if thread.name == LANE]
    gate.send_bytes(str(*lanes or (0,)).encode())
    gate.recv_bytes()


@contextmanager
def _strace(options: list[str]) -> Iterator[None]:
    argv = [STRACE or "strace", *options]
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
