"""Frames: what travels over the socket, and how it is cut.

A frame is its length (4 bytes, big-endian) and a msgpack map with a `type`. Either side checks the
length before it makes room, and decodes into the types of this module only; messages of actors
travel inside as they are, and are decoded by whoever takes them.
"""

import socket
import struct
from typing import Final

import msgspec

from maestro_runtime.wire.errors import FrameInvalid, FrameTooLarge

PROTOCOL: Final = 1
"""Version of what is said; another one is refused by name."""

FRAME_BYTES_MAX: Final = 1 << 20
"""Longest frame (1 MiB), its length not counted."""

REQUESTS_MAX: Final = 64
"""Requests of one connection that may wait for an answer; event streams count, too."""

LENGTH: Final = struct.Struct(">I")


class Frame(msgspec.Struct, frozen=True, kw_only=True, tag=True, forbid_unknown_fields=True):
    """Base of all frames."""


class Hello(Frame, frozen=True, kw_only=True):
    """First frame of a client."""

    protocol: int
    version: str
    """Release of the client."""


class Welcome(Frame, frozen=True, kw_only=True):
    """Answer to `Hello`."""

    protocol: int
    version: str
    state_id: str
    epoch: int
    pid: int
    quarantined: dict[str, tuple[str, ...]]
    """Sessions with damaged records, and what is damaged in each."""
    hosts: bool = False
    """Whether sessions of clients are run here, or only those of the process itself."""
    safe_mode: bool = False
    """Whether nothing runs until a person says so."""
    status: str = ""
    """What a daemon is doing; empty for another process."""


class Ask(Frame, frozen=True, kw_only=True):
    """A message to an actor; answered by `Reply` or `Refusal`."""

    id: int
    """Drawn by the client; unique among its requests under way."""
    address: str
    message: bytes


class Follow(Frame, frozen=True, kw_only=True):
    """Send the events of a session, from `since` on, until `Leave`."""

    id: int
    session_id: str
    since: int
    """Sequence of the first event wanted; 1 for all."""


class FollowAll(Frame, frozen=True, kw_only=True):
    """Send the events of all sessions, until `Leave`.

    The first answer has none: of what becomes durable after it, nothing is missed.
    """

    id: int


class Leave(Frame, frozen=True, kw_only=True):
    """The client does not wait for the answers to a request any more; nothing is undone."""

    id: int


class Reply(Frame, frozen=True, kw_only=True):
    """The encoded reply of an actor."""

    id: int
    body: bytes


class Refusal(Frame, frozen=True, kw_only=True):
    """The error that answers a request; with id 0, one that ends the connection."""

    id: int
    kind: str
    """Name of the error class."""
    fields: tuple[object, ...]
    """What it was made of."""
    text: str
    """What it says, for a client that does not know its class."""


class Events(Frame, frozen=True, kw_only=True):
    """Events of what is followed, durable, those of each session in order and without a gap."""

    id: int
    events: tuple[bytes, ...]
    """Encoded `EventRecord`s."""


ClientFrame = Hello | Ask | Follow | FollowAll | Leave
ServerFrame = Welcome | Reply | Refusal | Events

_encode: Final = msgspec.msgpack.Encoder().encode
decode_client_frame: Final = msgspec.msgpack.Decoder(ClientFrame).decode
decode_server_frame: Final = msgspec.msgpack.Decoder(ServerFrame).decode

UNDECODABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What decoding hostile bytes raises."""


def packed(frame: Frame) -> bytes:
    """Return a frame as it travels.

    Raises:
        FrameTooLarge: It is longer than a frame may be.
    """
    body = _encode(frame)
    if len(body) > FRAME_BYTES_MAX:
        raise FrameTooLarge(len(body), FRAME_BYTES_MAX)
    return LENGTH.pack(len(body)) + body


def length_of(head: bytes) -> int:
    """Return how many bytes follow the first four.

    Raises:
        FrameTooLarge: More than a frame may have.
    """
    (size_bytes,) = LENGTH.unpack(head)
    if size_bytes > FRAME_BYTES_MAX:
        raise FrameTooLarge(size_bytes, FRAME_BYTES_MAX)
    return int(size_bytes)


def receive(source: socket.socket) -> ServerFrame | None:
    """Wait for the next frame of a daemon; None: it has closed the connection.

    Raises:
        FrameInvalid, FrameTooLarge: What came is no frame.
        OSError: The connection is broken, or its timeout has passed.
    """
    head = _exactly(source, LENGTH.size)
    if head is None:
        return None
    body = _exactly(source, length_of(head))
    if body is None:
        return None
    try:
        frame: ServerFrame = decode_server_frame(body)
    except UNDECODABLE as error:
        raise FrameInvalid(str(error)) from error
    return frame


def _exactly(source: socket.socket, size_bytes: int) -> bytes | None:
    """Read so many bytes; None: the stream ends before."""
    data = bytearray()
    while len(data) < size_bytes:
        piece = source.recv(min(size_bytes - len(data), 1 << 16))
        if not piece:
            return None
        data += piece
    return bytes(data)
