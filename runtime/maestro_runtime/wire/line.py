"""A blocking connection to a daemon: one request at a time, no thread, little to load."""

import errno
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, Self

from maestro_runtime._version import __version__
from maestro_runtime.wire.errors import DaemonUnreachable, FrameInvalid
from maestro_runtime.wire.faults import error_of
from maestro_runtime.wire.frames import (
    PROTOCOL,
    Ask,
    Frame,
    Hello,
    Refusal,
    Reply,
    ServerFrame,
    Welcome,
    packed,
    receive,
)

SOCKET_NAME: Final = "maestro.sock"
"""Of the socket in the state directory, through which its owner is reached."""

NAME_BYTES_MAX: Final = 85
"""Longest name of a socket, without its directory: the address has at most 107 bytes, and begins
with `/proc/self/fd/`, a number of up to seven digits and a slash; see `short` and unix(7)."""

ANSWER_SECONDS: Final = 60.0
"""Longest wait for an answer."""

WELCOME_SECONDS: Final = 5.0
"""Longest wait for the handshake: it needs no disk, so who takes longer stands still."""


@contextmanager
def short(path: Path) -> Iterator[str]:
    """Lend a name for a socket that is short enough for the kernel, however deep it lies.

    Raises:
        OSError: Its name has more than 85 bytes, or its directory cannot be used.
    """
    name_bytes = len(os.fsencode(path.name))
    if name_bytes > NAME_BYTES_MAX:
        rule = f"its name must have at most {NAME_BYTES_MAX} bytes, got {name_bytes}"
        raise OSError(errno.ENAMETOOLONG, rule)
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)


def connected(path: Path, timeout_seconds: float | None) -> tuple[socket.socket, Welcome]:
    """Connect and shake hands.

    Args:
        path: Of the daemon's socket.
        timeout_seconds: Of each read and write from now on; None waits for ever.

    Raises:
        DaemonUnreachable: Nobody answers there within 5 seconds.
        ProtocolMismatch: Who answers speaks another version.
        PeerRefused: This user may not.
    """
    line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        line.settimeout(WELCOME_SECONDS)
        with short(path) as reachable:
            line.connect(reachable)
        # Who refuses us does not wait for our name, and has said why.
        with suppress(BrokenPipeError):
            line.sendall(packed(Hello(protocol=PROTOCOL, version=__version__)))
        welcome = receive(line)
        line.settimeout(timeout_seconds)
    except OSError as error:
        line.close()
        raise DaemonUnreachable(str(path), error.strerror or str(error)) from error
    except BaseException:
        line.close()
        raise
    if isinstance(welcome, Welcome):
        return line, welcome
    line.close()
    if isinstance(welcome, Refusal):
        raise error_of(welcome)
    raise DaemonUnreachable(str(path), "it closed the connection")


class Line:
    """Asks a daemon, and waits. Any thread."""

    def __init__(self, path: Path, *, is_patient: bool = False) -> None:
        """Connect; raises as `connected`.

        Args:
            path: Of the daemon's socket.
            is_patient: An answer is waited for however long it takes.
        """
        self.path: Final = path
        self._lock = threading.Lock()
        self._requests = 0
        self._socket, self.welcome = connected(path, None if is_patient else ANSWER_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def is_closed(self) -> bool:
        """Whether it has hung up, also because no answer came in time."""
        return self._socket.fileno() < 0

    def close(self) -> None:
        """Hang up. A second call does nothing."""
        with suppress(OSError):
            self._socket.close()

    def ask(self, address: str, message: bytes) -> bytes:
        """Return the encoded reply to an encoded message.

        Raises:
            DaemonUnreachable: It has gone, or gives no answer in time.
            Exception: What the actor raised.
        """
        with self._lock:
            self._requests += 1
            answer = self._exchange(Ask(id=self._requests, address=address, message=message))
        if isinstance(answer, Refusal):
            raise error_of(answer)
        if not isinstance(answer, Reply):
            raise FrameInvalid(f"an answer must be Reply, got {type(answer).__name__}")
        return answer.body

    def _exchange(self, frame: Frame) -> ServerFrame:
        try:
            self._socket.sendall(packed(frame))
            answer = receive(self._socket)
        except OSError as error:
            self.close()
            raise DaemonUnreachable(str(self.path), error.strerror or str(error)) from error
        if answer is None:
            self.close()
            raise DaemonUnreachable(str(self.path), "it closed the connection")
        return answer
