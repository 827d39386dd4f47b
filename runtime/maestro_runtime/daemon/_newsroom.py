"""Answers who waits for events and ends of sessions, on the loop of the connections."""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from typing import Final, assert_never

import msgspec

from maestro_actors.messages import encode
from maestro_runtime.runtime import Runtime
from maestro_runtime.stream import Batch, rests
from maestro_runtime.wire.errors import RequestInvalid
from maestro_runtime.wire.frames import UNDECODABLE
from maestro_runtime.wire.news import (
    NEWS_ADDRESS,
    SESSIONS_MAX,
    AwaitPhases,
    Ended,
    EventBatch,
    NewsRequest,
    NextEnds,
    NextEvents,
    PhasesOver,
    Resting,
    SettleTickets,
    TicketsSettled,
    WhoRests,
)
from maestro_storage.errors import RecordDamaged, SessionQuarantined

EVENT_BYTES_MAX: Final = 256 << 10
"""Of the events in one answer together; one alone may have more."""

SETTLE_SECONDS_MAX: Final = 3600.0
"""Longest wait for tickets."""

_decode: Final = msgspec.msgpack.Decoder(NewsRequest).decode


class Newsroom:
    """The news of one runtime."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime: Final = runtime

    async def answer(self, message: bytes) -> bytes:
        """Return the encoded answer to an encoded request, waiting for it.

        Raises:
            RequestInvalid: It is none of them.
            NotFound: There is no such session.
            SessionQuarantined: A record of it is damaged.
        """
        try:
            request: NewsRequest = _decode(message)
        except UNDECODABLE as error:
            raise RequestInvalid(NEWS_ADDRESS, str(error)) from error
        match request:
            case NextEvents():
                return encode(_packed(await self._events(request)))
            case NextEnds():
                return encode(await self._ends(request))
            case WhoRests():
                if len(request.sessions) > SESSIONS_MAX:
                    rule = f"it must ask about at most {SESSIONS_MAX} sessions"
                    raise RequestInvalid(NEWS_ADDRESS, rule)
                left = self._left(request.sessions)
                resting = (name for name in request.sessions if name in left or self._rests(name))
                return encode(Resting(sessions=tuple(resting), left=left))
            case AwaitPhases():
                await self._runtime.phases_over(request.session_id, request.phases)
                return encode(PhasesOver())
            case SettleTickets():
                return encode(TicketsSettled(delivered=await self._settled(request)))
            case _:
                assert_never(request)

    async def _events(self, request: NextEvents) -> Batch:
        news, since = self._runtime.news, max(1, request.since)
        while True:
            # First this, so that none can come in between. Reading is done here, not by the
            # journal's thread, which would wait for all who follow a session.
            next_one = news.expect(request.session_id)
            batch = news.stored(request.session_id, since)
            if batch.events or batch.over:
                return batch
            await next_one

    async def _settled(self, request: SettleTickets) -> bool:
        runtime, loop = self._runtime, asyncio.get_running_loop()
        runtime.store.require_session(request.session_id)
        # In this order, so that what is not a number counts as the longest.
        until = loop.time() + min(SETTLE_SECONDS_MAX, request.timeout_seconds)
        while True:
            # First this, so that none can come in between.
            news = runtime.news.expect(request.session_id)
            rows = runtime.store.outbox.scan(request.session_id)
            unsent = [row.deadline_ms or 0 for row in rows if row.state != "done"]
            left_seconds = until - loop.time()
            latest_ms = runtime.system.clock.now_ms() + left_seconds * 1000
            if not unsent or left_seconds <= 0 or min(unsent) > latest_ms:
                return not unsent
            with suppress(TimeoutError):
                async with asyncio.timeout(left_seconds):
                    await news

    async def _ends(self, request: NextEnds) -> Ended:
        ends, epoch = self._runtime.hosting.ends, self._runtime.store.epoch
        if request.epoch != epoch:
            return Ended(epoch=epoch, number=ends.number, sessions=(), missed=True)
        while True:
            # First this, so that none can come in between.
            next_one, number = ends.expect(), ends.number
            sessions = ends.since(request.after)
            if sessions is None:
                return Ended(epoch=epoch, number=number, sessions=(), missed=True)
            if sessions:
                sessions = sessions[:SESSIONS_MAX]
                number, left = request.after + len(sessions), self._left(sessions)
                return Ended(epoch=epoch, number=number, sessions=sessions, left=left)
            await next_one

    def _left(self, sessions: Iterable[str]) -> dict[str, str]:
        """Return those that nobody goes on with, and why."""
        reasons = {name: self._runtime.hosting.why_left(name) for name in sessions}
        return {
            name: reason
            for name, reason in reasons.items()
            # One that was left may have been cancelled since.
            if reason is not None and not self._rests(name)
        }

    def _rests(self, session_id: str) -> bool:
        try:
            record = self._runtime.store.sessions.get(session_id)
        except (SessionQuarantined, RecordDamaged):
            # Who reads its report hears of it; those who wait for other sessions must not.
            return True
        if record is None or not rests(record):
            return record is None
        # One that is to be removed ends with its removal, unless a ticket or an alert keeps it.
        return not (record.removal and self._runtime.hosting.is_under_way(session_id))


def _packed(batch: Batch) -> EventBatch:
    """Return as many of the events as fit."""
    room = EVENT_BYTES_MAX
    events: list[bytes] = []
    for event in batch.events:
        data = encode(event)
        room -= len(data)
        if events and room < 0:
            return EventBatch(events=tuple(events), over=False)
        events.append(data)
    return EventBatch(events=tuple(events), over=batch.over)
