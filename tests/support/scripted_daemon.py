"""A daemon that answers as a test says, and threads that nobody need wait for."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from hosted import BOUND_SECONDS
from maestro_runtime.wire.frames import (
    LENGTH,
    PROTOCOL,
    Ask,
    Welcome,
    decode_client_frame,
    packed,
)

WELCOME = Welcome(protocol=PROTOCOL, version="x", state_id="state", epoch=1, pid=1, quarantined={})


class Scripted:
    """A daemon that answers as a test says, on a real socket."""

    def __init__(self, path: Path) -> None:
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen()
        self._listener.settimeout(BOUND_SECONDS)

    def begin(self, script: Callable[["Scripted"], None]) -> threading.Thread:
        """Do what a script says, on a thread of its own, and close."""

        def run() -> None:
            with self._listener:
                script(self)

        return in_background(run)

    def accept(self) -> socket.socket:
        """Let a client in."""
        line, _ = self._listener.accept()
        line.settimeout(BOUND_SECONDS)
        return line

    @contextmanager
    def greeted(self, state_id: str = "state") -> Iterator[socket.socket]:
        """Let a client in and greet it; hang up at the end."""
        with self.accept() as line:
            self.frame(line)
            line.sendall(packed(msgspec.structs.replace(WELCOME, state_id=state_id)))
            yield line

    @staticmethod
    def frame(line: socket.socket) -> object:
        """Return the next frame of a client."""
        (length,) = LENGTH.unpack(line.recv(LENGTH.size, socket.MSG_WAITALL))
        return decode_client_frame(line.recv(length, socket.MSG_WAITALL))

    def ask(self, line: socket.socket) -> Ask:
        """Return the next request of a client."""
        found = self.frame(line)
        assert isinstance(found, Ask)
        return found


def in_background(program: Callable[[], object]) -> threading.Thread:
    """Run a program on a thread that does not keep the process alive."""
    thread = threading.Thread(target=program, daemon=True)
    thread.start()
    return thread
