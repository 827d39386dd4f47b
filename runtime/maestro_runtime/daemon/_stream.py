"""All events from some moment on, for one client that follows them."""

import asyncio
from collections import deque
from typing import Final

from maestro_actors.messages import encode
from maestro_runtime.wire.errors import EventsMissed
from maestro_storage.records import EventRecord

STREAM_EVENTS_MAX: Final = 10_000
"""Events that may wait for a client; one that is slower than that has to begin anew."""


class Stream:
    """The events that wait for one client. Only touched on the loop that it was made on."""

    def __init__(self, events_max: int, bytes_max: int) -> None:
        """Begin with none; what is taken at once is at most so much, but at least one event."""
        self._events_max: Final = events_max
        self._bytes_max: Final = bytes_max
        self._events: deque[bytes] = deque()
        self._arrived = asyncio.Event()
        self._missed = False

    def take(self, event: bytes) -> None:
        """Keep an encoded event for the client, unless too many wait already."""
        if len(self._events) >= STREAM_EVENTS_MAX:
            self.miss()
            return
        self._events.append(event)
        self._arrived.set()

    def miss(self) -> None:
        """Have the client begin anew."""
        self._missed = True
        self._arrived.set()

    async def next(self) -> tuple[bytes, ...]:
        """Return the next events, encoded, at least one, waiting for it.

        Raises:
            EventsMissed: There were more than wait here.
        """
        while not self._events and not self._missed:
            self._arrived.clear()
            await self._arrived.wait()
        if self._missed:
            raise EventsMissed(STREAM_EVENTS_MAX)
        taken: list[bytes] = []
        room = self._bytes_max
        while self._events and len(taken) < self._events_max and room >= 0:
            taken.append(self._events.popleft())
            room -= len(taken[-1])
        return tuple(taken)


class Streams:
    """Those of all clients. Told on any thread, changed on one loop.

    Each event is encoded once, and the loop is woken once for all: who tells of it has work to do,
    however many clients there are.
    """

    def __init__(self) -> None:
        self._streams: tuple[Stream, ...] = ()
        self._fresh: deque[EventRecord] = deque()
        """Events that no stream has yet."""
        self._overrun = False
        """There were more than that."""
        self._resting = True
        """Nobody has been told to spread them."""
        self._loop: asyncio.AbstractEventLoop | None = None

    def note(self, event: EventRecord) -> None:
        """Take notice of a durable event."""
        loop = self._loop
        if loop is None or not self._streams:
            return
        if len(self._fresh) < STREAM_EVENTS_MAX:
            self._fresh.append(event)
        else:
            self._overrun = True
        # Queue first, look second; who spreads does it the other way round.
        if self._resting:
            self._resting = False
            loop.call_soon_threadsafe(self._spread)

    def add(self, stream: Stream) -> None:
        """Note every event in `stream` from now on."""
        self._spread()
        self._loop = asyncio.get_running_loop()
        self._streams = (*self._streams, stream)

    def remove(self, stream: Stream) -> None:
        """Leave a stream alone."""
        self._streams = tuple(other for other in self._streams if other is not stream)

    def _spread(self) -> None:
        """Give all streams what has come."""
        self._resting = True
        if self._overrun:
            self._overrun = False
            for stream in self._streams:
                stream.miss()
        while self._fresh:
            event = encode(self._fresh.popleft())
            for stream in self._streams:
                stream.take(event)
