"""Clients that a daemon must survive: each does one hostile thing and says how it was answered.

What has a typed error is answered with it; everything else is a finding.
"""

import os
import random
import socket
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

from maestro_actors.messages import encode
from maestro_runtime.wire.errors import RemoteFailure, TooManyRequests, WireError
from maestro_runtime.wire.faults import error_of
from maestro_runtime.wire.frames import (
    FRAME_BYTES_MAX,
    LENGTH,
    PROTOCOL,
    REQUESTS_MAX,
    Ask,
    Events,
    Follow,
    Frame,
    Hello,
    Leave,
    Refusal,
    Reply,
    Welcome,
    packed,
    receive,
)
from maestro_runtime.wire.line import SOCKET_NAME, short
from maestro_runtime.wire.orders import (
    SUPERVISOR_ADDRESS,
    CancelSession,
    NameCheckpoint,
    PauseSession,
    RetryFailed,
)
from maestro_runtime.wire.records import RECORDS_ADDRESS, CountRows, ReadPage, ReadRow

BOUND_SECONDS: Final = 30.0
NOBODY: Final = 65534
"""A user of every Linux, but not the one who runs tests."""
LEFT_OPEN_MAX: Final = 40
"""Connections of one guest."""
_REFUSED: Final = ("PeerRefused", (NOBODY,))
HELLO: Final = packed(Hello(protocol=PROTOCOL, version="hostile"))


class Finding(AssertionError):
    """A daemon that answered in a way it never should."""


def dialled(path: Path, *, greeted: bool = False) -> socket.socket:
    """Return a connection, with its handshake made if it is `greeted`."""
    line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    line.settimeout(BOUND_SECONDS)
    with short(path) as reachable:
        line.connect(reachable)
    if greeted:
        line.sendall(HELLO)
        if not isinstance(receive(line), Welcome):
            raise Finding("a greeting is not answered")
    return line


def last_word(line: socket.socket) -> Exception | None:
    """Return the error that ends the connection; None if it ends without one."""
    try:
        while (frame := receive(line)) is not None:
            if isinstance(frame, Refusal) and not frame.id:
                return error_of(frame)
    except ConnectionResetError:
        pass
    return None


def framed(value: object) -> bytes:
    """Return any value as a frame, whatever its type."""
    body = msgspec.msgpack.encode(value)
    return LENGTH.pack(len(body)) + body


@dataclass
class Guest:
    """A hostile client: where it goes, its dice, and what it leaves open until the end."""

    path: Path
    dice: random.Random
    left_open: deque[socket.socket] = field(default_factory=deque)

    @contextmanager
    def line(self, *, greeted: bool = True) -> Iterator[socket.socket]:
        """Lend a connection that is closed at once."""
        with closing(dialled(self.path, greeted=greeted)) as line:
            yield line

    def leave_open(self, *, greeted: bool) -> socket.socket:
        """Return a connection that stays until there are too many of its kind."""
        if len(self.left_open) >= LEFT_OPEN_MAX:
            self.left_open.popleft().close()
        self.left_open.append(dialled(self.path, greeted=greeted))
        return self.left_open[-1]

    def bytes(self, most: int) -> bytes:
        """Return noise."""
        return self.dice.randbytes(self.dice.randint(1, most))


def knock(state: str) -> None:
    """Try to be let in as another user, one who can reach the socket: in a process of its own."""
    # From within: the directories above are not for everybody.
    os.chdir(state)
    os.setgid(NOBODY)
    os.setuid(NOBODY)
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(BOUND_SECONDS)
        line.connect(SOCKET_NAME)
        # It need not wait for a name to refuse.
        with suppress(BrokenPipeError):
            line.sendall(HELLO)
        refused = receive(line)
        # By its name: nobody can load our modules.
        if not isinstance(refused, Refusal) or (refused.kind, refused.fields) != _REFUSED:
            raise Finding(f"nobody was to be refused, got {refused!r:.200}")


def noise(guest: Guest) -> str:
    """Send noise, as it is or in a frame, before the greeting or after it."""
    data = guest.bytes(4_000)
    if guest.dice.random() < 0.5:
        data = LENGTH.pack(len(data)) + data
    with guest.line(greeted=guest.dice.random() < 0.5) as line:
        return _told_off(line, data)


def lies(guest: Guest) -> str:
    """Say a length that is none: too long, or not that of what follows."""
    body = msgspec.msgpack.encode({"type": "Leave", "id": 1})
    size = guest.dice.choice(
        (0, len(body) - 1, len(body) + 7, FRAME_BYTES_MAX, FRAME_BYTES_MAX + 1, 0xFFFFFFFF)
    )
    with guest.line() as line:
        return _told_off(line, LENGTH.pack(size) + body)


def depths(guest: Guest) -> str:
    """Nest deeper than any type."""
    opening = guest.dice.choice((b"\x91", b"\x81\xa1a", b"\x81\xa4type", b"\xdc\x00\x01"))
    body = opening * (guest.dice.randint(1_000, 900_000) // len(opening))
    with guest.line() as line:
        return _told_off(line, LENGTH.pack(len(body)) + body)


def mutants(guest: Guest) -> str:
    """Ask what may be asked, with a few bytes changed: of the frame or of the message in it."""
    address, message = guest.dice.choice(_ASKED)
    is_frame = guest.dice.random() < 0.5
    if is_frame:
        message = _mutated(guest.dice, message)
    body = packed(Ask(id=1, address=address, message=message))[LENGTH.size :]
    if not is_frame:
        body = _mutated(guest.dice, body)
    with guest.line() as line:
        # Of a frame there is an answer, if one waits for it.
        return _told_off(line, LENGTH.pack(len(body)) + body, waits=is_frame)


def slow_writers(guest: Guest) -> str:
    """Begin a frame, or the greeting, and leave it at that for as long as the storm lasts."""
    frame = packed(Ask(id=1, address=RECORDS_ADDRESS, message=bytes(50_000)))
    line = guest.leave_open(greeted=guest.dice.random() < 0.8)
    for byte in frame[: guest.dice.randint(1, 60)]:
        line.sendall(bytes((byte,)))
    return "left open"


def half_closed(guest: Guest) -> str:
    """Ask, and close one half of the connection."""
    asked = packed(Ask(id=1, address=RECORDS_ADDRESS, message=encode(_COUNT)))
    how = guest.dice.choice((socket.SHUT_RD, socket.SHUT_WR))
    with guest.line() as line:
        if how == socket.SHUT_WR:
            # What it asked before is answered.
            line.sendall(asked)
            line.shutdown(how)
            return "answered" if isinstance(receive(line), Reply) else "not answered"
        line.shutdown(how)
        with suppress(BrokenPipeError):
            line.sendall(asked)
        return "gone"


def floods(guest: Guest) -> str:
    """Have more requests under way than there may be: those are refused, and the others are not."""
    follows = [
        packed(Follow(id=number, session_id=_SESSION, since=1 << 40))
        for number in range(1, REQUESTS_MAX + 1)
    ]
    more = guest.dice.randint(1, 500)
    asked = [
        packed(Ask(id=1_000 + number, address=RECORDS_ADDRESS, message=encode(_COUNT)))
        for number in range(more)
    ]
    with guest.line() as line:
        line.sendall(b"".join(follows))
        for frame in asked:
            line.sendall(frame)
            _require(receive(line), TooManyRequests)
        for number in range(1, REQUESTS_MAX + 1):
            line.sendall(packed(Leave(id=number)))
        line.sendall(asked[0])
        return "answered" if isinstance(receive(line), Reply) else "not answered"


def deaf_readers(guest: Guest) -> str:
    """Ask for as much as it may and read nothing, for as long as the storm lasts."""
    line = guest.leave_open(greeted=True)
    line.settimeout(0.05)
    page = ReadPage(database="payloads", prefix=b"", position=b"", limit=1_000)
    number = 0
    with suppress(TimeoutError, BrokenPipeError, ConnectionResetError):
        for number in range(1, 2_000):
            line.sendall(packed(Ask(id=number, address=RECORDS_ADDRESS, message=encode(page))))
    return "left open"


def deaths(guest: Guest) -> str:
    """Ask, follow, and be gone in the middle of a frame."""
    with guest.line() as line:
        for number in range(1, guest.dice.randint(2, 60)):
            line.sendall(packed(Follow(id=number, session_id=_SESSION, since=1)))
        frame = packed(Ask(id=999, address=SUPERVISOR_ADDRESS, message=guest.bytes(100_000)))
        line.sendall(frame[: guest.dice.randint(1, len(frame) - 1)])
    return "gone"


def disorder(guest: Guest) -> str:
    """Say what may be said, at the wrong time: twice, of nobody, or before the greeting."""
    frames: list[Frame] = [
        Hello(protocol=PROTOCOL, version="again"),
        Hello(protocol=guest.dice.randint(-5, 1 << 40), version=""),
        Ask(id=1, address="urn:maestro:nobody", message=b""),
        Ask(id=1, address="", message=b"\xc1"),
        Follow(id=1, session_id="no such session", since=1),
        Follow(id=1, session_id="\0" * 600, since=-(1 << 62)),
        Leave(id=77),
        Reply(id=1, body=b""),
        Events(id=1, events=()),
    ]
    with guest.line(greeted=guest.dice.random() < 0.7) as line:
        return _told_off(line, packed(guest.dice.choice(frames)))


Attack = Callable[[Guest], str]
ATTACKS: Final[tuple[Attack, ...]] = (
    *(noise, lies, depths, mutants, mutants, slow_writers),
    *(half_closed, floods, deaf_readers, deaths, disorder),
)

_SESSION: Final = "hello"
_COUNT: Final = CountRows(database="sessions", prefix=b"")
_ORDERS: Final[tuple[msgspec.Struct, ...]] = (
    PauseSession(session_id="nobody", reason="r"),
    CancelSession(session_id="nobody", reason="r"),
    RetryFailed(session_id="nobody", task_id="t"),
    NameCheckpoint(session_id="nobody", name="n"),
)
_ASKED: Final = (
    *((SUPERVISOR_ADDRESS, encode(order)) for order in _ORDERS),
    (RECORDS_ADDRESS, encode(_COUNT)),
    (RECORDS_ADDRESS, encode(ReadRow(database="tasks", key=b"hello\0"))),
    (RECORDS_ADDRESS, encode(ReadPage(database="events", prefix=b"", position=b"", limit=10))),
)


def _told_off(line: socket.socket, data: bytes, *, waits: bool = False) -> str:
    """Send bytes and nothing more; return the name of what comes back, which must be typed."""
    with suppress(BrokenPipeError, ConnectionResetError):
        line.sendall(data)
        if not waits:
            line.shutdown(socket.SHUT_WR)
    with suppress(ConnectionResetError):
        while (frame := receive(line)) is not None:
            if isinstance(frame, Refusal):
                return _typed(error_of(frame))
            if isinstance(frame, Reply | Events):
                return "answered"
    return "gone"


def _typed(error: Exception) -> str:
    if isinstance(error, RemoteFailure):
        raise Finding(f"an error without a class: {error}")
    return type(error).__name__


def _require(frame: object, kind: type[WireError]) -> None:
    if not isinstance(frame, Refusal) or not isinstance(error_of(frame), kind):
        raise Finding(f"{kind.__name__} was due, got {frame!r:.200}")


def _mutated(dice: random.Random, data: bytes) -> bytes:
    """Return bytes with some of them changed, cut off, doubled or put in."""
    changed = bytearray(data)
    for _ in range(dice.randint(1, 4)):
        place = dice.randrange(len(changed) or 1)
        match dice.randint(0, 3):
            case 0:
                changed[place : place + 1] = dice.randbytes(1)
            case 1:
                del changed[place : place + dice.randint(1, 8)]
            case 2:
                changed[place:place] = changed[place : place + dice.randint(1, 16)]
            case _:
                changed[place:place] = dice.randbytes(dice.randint(1, 9))
    return bytes(changed)
