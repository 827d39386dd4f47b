"""What clients reach: stored rows, events, orders, and the requests of the actors."""

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import reduce
from operator import or_
from typing import Any, Final, get_args

import msgspec

from maestro_actors.identity import (
    ACCOUNTANT_ADDRESS,
    breaker_address,
    coordinator_address,
)
from maestro_actors.messages import (
    AccountantMessage,
    BreakerMessage,
    CoordinatorMessage,
    PersonaMessage,
    Request,
    encode,
)
from maestro_actors.proxy import LocalChannel
from maestro_runtime._version import __version__
from maestro_runtime.daemon._metrics import LiveMetrics
from maestro_runtime.daemon._newsroom import EVENT_BYTES_MAX, Newsroom
from maestro_runtime.daemon._stream import Stream, Streams
from maestro_runtime.runtime import Runtime
from maestro_runtime.wire.errors import RequestInvalid, SessionsNotHosted
from maestro_runtime.wire.frames import PROTOCOL, UNDECODABLE, Welcome
from maestro_runtime.wire.metrics import METRICS_ADDRESS
from maestro_runtime.wire.news import NEWS_ADDRESS
from maestro_runtime.wire.orders import (
    SUPERVISOR_ADDRESS,
    BeginPhases,
    ForkSession,
    Order,
    ResumeSession,
    StartSession,
)
from maestro_runtime.wire.records import RECORDS_ADDRESS, RowReader
from maestro_runtime.wire.state import CUSTODIAN_ADDRESS, StateRequest

EVENTS_MAX: Final = 256
"""Events in one frame."""


def _public(messages: Any) -> msgspec.msgpack.Decoder[Any]:
    """Return the decoder of those messages of an actor that may come from another process."""
    requests = [kind for kind in get_args(messages) if issubclass(kind, Request)]
    return msgspec.msgpack.Decoder(reduce(or_, requests))


_PUBLIC: Final = (
    (ACCOUNTANT_ADDRESS, _public(AccountantMessage)),
    (SUPERVISOR_ADDRESS, _public(Order)),
    (CUSTODIAN_ADDRESS, _public(StateRequest)),
    (breaker_address(""), _public(BreakerMessage)),
    # A persona lives below the session of its task.
    (coordinator_address(""), _public(CoordinatorMessage | PersonaMessage)),
)
"""Beginnings of addresses, and what is taken there."""


class RuntimeGate:
    """The gate to one runtime."""

    def __init__(
        self, runtime: Runtime, *, hosts: bool = False, status: Callable[[], str] = str
    ) -> None:
        """Open it.

        Args:
            runtime: What clients reach.
            hosts: Clients may have sessions started, else only what runs is theirs.
            status: Says what the process is doing.
        """
        self._status: Final = status
        self._runtime: Final = runtime
        self._hosts: Final = hosts
        self._rows = RowReader(runtime.store.rows)
        self._channel = LocalChannel(runtime.system)
        self._newsroom = Newsroom(runtime)
        self._streams = Streams()
        runtime.subscribe(self._streams.note)
        self._metrics = LiveMetrics(runtime)
        self.traffic: Final = self._metrics.traffic

    def welcome(self) -> Welcome:
        """Say which state this is, and who has it open."""
        store = self._runtime.store
        return Welcome(
            protocol=PROTOCOL,
            version=__version__,
            state_id=store.state_id,
            epoch=store.epoch,
            pid=os.getpid(),
            quarantined=store.quarantined,
            hosts=self._hosts,
            safe_mode=self._runtime.hosting.held,
            status=self._status(),
        )

    async def ask(self, address: str, message: bytes) -> bytes:
        """Return the reply of whoever lives at `address`.

        Raises:
            RequestInvalid: It takes no such request from outside.
            SessionsNotHosted: The order would start a session in a process that is not for that.
            pykka.ActorDeadError: Nobody lives there.
            Exception: What the actor raises.
        """
        if address == RECORDS_ADDRESS:
            return self._rows.answer(message)
        if address == NEWS_ADDRESS:
            return await self._newsroom.answer(message)
        if address == METRICS_ADDRESS:
            # It reads through records, which takes its time.
            return await asyncio.to_thread(self._metrics.answer, message)
        decoder = next((known for begin, known in _PUBLIC if address.startswith(begin)), None)
        if decoder is None:
            raise RequestInvalid(address, "there is nobody of this kind")
        try:
            request = decoder.decode(message)
        except UNDECODABLE as error:
            raise RequestInvalid(address, str(error)) from error
        self._require_hosted(request)
        return await self._channel.ask(address, message)

    def _require_hosted(self, request: Request[Any]) -> None:
        """Refuse what would start a session here, if this process is only for its own."""
        match request:
            case ResumeSession() | BeginPhases():
                starts = not self._runtime.hosting.is_under_way(request.session_id)
            case StartSession():
                starts = request.run and not request.attach
            case _:
                starts = isinstance(request, ForkSession)
        if starts and not self._hosts:
            raise SessionsNotHosted(os.getpid())

    async def events(self, session_id: str, since: int) -> tuple[bytes, ...]:
        """Return the next events of a session from `since` on, at least one, waiting for it.

        Raises:
            NotFound: There is no such session.
            SessionQuarantined: A record of it is damaged.
        """
        while True:
            # First this, so that none can come in between.
            next_one = self._runtime.news.expect(session_id)
            if found := self._stored(session_id, max(1, since)):
                return found
            self._runtime.store.require_session(session_id)
            await next_one

    @contextmanager
    def stream(self) -> Iterator[Stream]:
        """Lend a stream of all events from now on."""
        stream = Stream(EVENTS_MAX, EVENT_BYTES_MAX)
        self._streams.add(stream)
        try:
            yield stream
        finally:
            self._streams.remove(stream)

    def _stored(self, session_id: str, since: int) -> tuple[bytes, ...]:
        room = EVENT_BYTES_MAX
        found: list[bytes] = []
        for event in self._runtime.store.events.scan(session_id, after=since - 1, limit=EVENTS_MAX):
            found.append(encode(event))
            room -= len(found[-1])
            if room < 0:
                break
        return tuple(found)
