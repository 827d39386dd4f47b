"""One client of the daemon: its handshake, its requests, the events it follows."""

import asyncio
import logging
import socket
import struct
from collections.abc import Callable, Collection, Coroutine
from contextlib import AbstractContextManager
from functools import partial
from typing import Final, Protocol, assert_never

from maestro_runtime.daemon._stream import Stream
from maestro_runtime.daemon._traffic import Traffic
from maestro_runtime.wire.errors import (
    FrameInvalid,
    FrameTooLarge,
    PeerRefused,
    ProtocolMismatch,
    TooManyRequests,
    WireError,
)
from maestro_runtime.wire.faults import refusal
from maestro_runtime.wire.frames import (
    LENGTH,
    PROTOCOL,
    REQUESTS_MAX,
    UNDECODABLE,
    Ask,
    ClientFrame,
    Events,
    Follow,
    FollowAll,
    Frame,
    Hello,
    Leave,
    Reply,
    Welcome,
    decode_client_frame,
    length_of,
    packed,
)
from maestro_runtime.wire.orders import SUPERVISOR_ADDRESS

HANDSHAKE_SECONDS: Final = 5.0
"""How long a client may take to say hello."""

FRAME_SECONDS: Final = 30.0
"""How long a frame may take to arrive once it has begun, and to be taken by its reader."""

UNREAD_BYTES: Final = 64 << 10
"""What may wait for a client to read it when its next answer is worked out: so much a transport
takes by default before it asks for patience."""

RETRY_SECONDS: Final = 0.1
"""When a client with too many requests is told to try again."""

ORDERS_SECONDS: Final = 5.0
"""How long orders that are being carried out may hold up who stops serving."""

_UCRED: Final = struct.Struct("3i")
"""Process, user and group of a peer; see unix(7)."""

_log: Final = logging.getLogger(__name__)


_Work = Callable[[], Coroutine[None, None, None]]
"""What answers a request; a coroutine that never began would complain."""


class _Gone(Exception):
    """The client has hung up, or reads nothing. An OSError can be an answer as well."""


class Gate(Protocol):
    """What a client reaches. Called on the loop of the connections; must not block it."""

    @property
    def traffic(self) -> Traffic:
        """Where connections and requests are counted."""

    def welcome(self) -> Welcome:
        """Say who answers."""

    async def ask(self, address: str, message: bytes) -> bytes:
        """Return the reply to a message; raises what the client is to raise."""

    async def events(self, session_id: str, since: int) -> tuple[bytes, ...]:
        """Return the next events of a session from `since` on, at least one, waiting for it."""

    def stream(self) -> AbstractContextManager[Stream]:
        """Lend a stream of all events from now on."""


class Connection:
    """Serves one client until it goes."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, gate: Gate
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._gate = gate
        self._sending = asyncio.Lock()
        self._requests: dict[int, asyncio.Task[None]] = {}
        self._orders: set[int] = set()
        """Requests that are orders; the rest only looks, perhaps for ever."""

    async def serve(self, users: Collection[int]) -> None:
        """Greet the client if it is one of `users`, and answer it until it goes.

        Cancelled, it takes no more requests, and ends once the orders it took are answered.
        """
        traffic = self._gate.traffic
        traffic.connected()
        try:
            self._admit(users)
            async with asyncio.timeout(HANDSHAKE_SECONDS):
                greeted = await self._greet()
            while greeted and (frame := await self._next()) is not None:
                await self._take(frame)
        except WireError as error:
            traffic.refused(error)
            await self._say(refusal(0, error))
        except (_Gone, OSError, TimeoutError, asyncio.IncompleteReadError):
            # It is gone, or as good as gone.
            pass
        except asyncio.CancelledError:
            # An order may be what ends this process: it was carried out, and its giver is told so.
            orders = [self._requests[number] for number in self._orders]
            if orders:
                await asyncio.wait(orders, timeout=ORDERS_SECONDS)
            raise
        finally:
            left = list(self._requests.values())
            for request in left:
                request.cancel()
            await asyncio.gather(*left, return_exceptions=True)
            traffic.gone()

    def _admit(self, users: Collection[int]) -> None:
        """Look at who the kernel says it is; what it says of itself does not count."""
        peer: socket.socket = self._writer.get_extra_info("socket")
        size = struct.calcsize("3i")
        _, uid, _ = struct.unpack(
            "3i", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
        )
        if uid not in users:
            raise PeerRefused(uid)

    async def _greet(self) -> bool:
        hello = await self._next()
        if hello is None:
            return False
        if not isinstance(hello, Hello):
            raise FrameInvalid(f"the first frame must be Hello, got {type(hello).__name__}")
        if hello.protocol != PROTOCOL:
            raise ProtocolMismatch(PROTOCOL, hello.protocol, hello.version)
        await self._send(self._gate.welcome())
        return True

    async def _next(self) -> ClientFrame | None:
        """Return the next frame, for which an idle client may be waited for ever."""
        first = await self._reader.read(1)
        if not first:
            return None
        async with asyncio.timeout(FRAME_SECONDS):
            head = first + await self._reader.readexactly(LENGTH.size - 1)
            body = await self._reader.readexactly(length_of(head))
        try:
            frame: ClientFrame = decode_client_frame(body)
        except UNDECODABLE as error:
            raise FrameInvalid(str(error)) from error
        return frame

    async def _take(self, frame: ClientFrame) -> None:
        match frame:
            case Ask():
                await self._begin(frame.id, partial(self._answer, frame))
                if frame.address == SUPERVISOR_ADDRESS and frame.id in self._requests:
                    self._orders.add(frame.id)
            case Follow():
                await self._begin(frame.id, partial(self._follow, frame))
            case FollowAll():
                await self._begin(frame.id, partial(self._follow_all, frame))
            case Leave():
                request = self._requests.get(frame.id)
                if request is not None:
                    request.cancel()
                    # Its number is free once it is gone.
                    await asyncio.gather(request, return_exceptions=True)
            case Hello():
                raise FrameInvalid("Hello was said before")
            case _:
                assert_never(frame)

    async def _begin(self, request_id: int, work: _Work) -> None:
        self._gate.traffic.requests += 1
        if len(self._requests) >= REQUESTS_MAX:
            error = TooManyRequests(REQUESTS_MAX, RETRY_SECONDS)
            self._gate.traffic.refused(error)
            await self._send(refusal(request_id, error))
            return
        if request_id in self._requests:
            raise FrameInvalid(f"request {request_id} is under way")
        self._requests[request_id] = asyncio.create_task(self._finish(request_id, work))

    async def _finish(self, request_id: int, work: _Work) -> None:
        try:
            await work()
        except _Gone:
            # It does not read: what else it asks is not worth answering.
            self._writer.close()
        except Exception as error:  # noqa: BLE001 - whatever it is, the client must hear of it
            if not isinstance(error, WireError):
                _log.debug("a request failed", exc_info=True)
            self._gate.traffic.refused(error)
            await self._say(refusal(request_id, error))
        finally:
            self._requests.pop(request_id, None)
            self._orders.discard(request_id)

    async def _answer(self, ask: Ask) -> None:
        await self._room()
        body = await self._gate.ask(ask.address, ask.message)
        await self._send(Reply(id=ask.id, body=body))

    async def _follow(self, follow: Follow) -> None:
        sequence = follow.since
        while True:
            await self._room()
            events = await self._gate.events(follow.session_id, sequence)
            await self._send(Events(id=follow.id, events=events))
            sequence += len(events)

    async def _room(self) -> None:
        """Wait until the client has read: what it leaves waiting must not grow with what it asks.

        Its next frames are taken meanwhile: it may be sending, and not read before it has.

        Raises:
            _Gone: It has hung up.
        """
        # Not once: all who wait are woken together, and the first may take the room.
        while self._writer.transport.get_write_buffer_size() > UNREAD_BYTES:
            try:
                await self._writer.drain()
            except OSError as error:
                raise _Gone from error

    async def _follow_all(self, follow: FollowAll) -> None:
        with self._gate.stream() as stream:
            await self._send(Events(id=follow.id, events=()))
            while True:
                await self._send(Events(id=follow.id, events=await stream.next()))

    async def _send(self, frame: Frame) -> None:
        """Send a frame once the one before has been taken, so that little waits here.

        Raises:
            FrameTooLarge: It is longer than a frame may be; nothing was sent.
            _Gone: The client has hung up, or has not read for too long.
        """
        data = packed(frame)
        try:
            async with self._sending, asyncio.timeout(FRAME_SECONDS):
                if self._writer.is_closing():
                    # Each write to a connection that is lost would be a line in the log.
                    raise _Gone
                self._writer.write(data)
                await self._writer.drain()
        except (OSError, TimeoutError) as error:
            raise _Gone from error

    async def _say(self, frame: Frame) -> None:
        """Send a frame to a client that may be gone."""
        try:
            await self._send(frame)
        except (_Gone, FrameTooLarge):
            self._writer.close()
