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
    """Told on any thread, read on the loop that it was made on."""

    def __init__(self, events_max: int, bytes_max: int) -> None:
        """Begin with none; what is taken at once is at most so much, but at least one event."""
        self._events_max: Final = events_max
        self._bytes_max: Final = bytes_max
        self._loop = asyncio.get_running_loop()
        self._events: deque[EventRecord] = deque()
        self._arrived = asyncio.Event()
        self._resting = False
        self._missed = False

    def note(self, event: EventRecord) -> None:
        """Take a durable event."""
        if len(self._events) >= STREAM_EVENTS_MAX:
            self._missed = True
        else:
            self._events.append(event)
        # Queue first, look second; who reads does it the other way round.
        if self._resting:
            self._resting = False
            self._loop.call_soon_threadsafe(self._arrived.set)

    async def next(self) -> tuple[bytes, ...]:
        """Return the next events, encoded, at least one, waiting for it.

        Raises:
            EventsMissed: There were more than wait here.
        """
        while not self._events and not self._missed:
            self._arrived.clear()
            self._resting = True
            if self._events or self._missed:
                break
            await self._arrived.wait()
        if self._missed:
            raise EventsMissed(STREAM_EVENTS_MAX)
        taken: list[bytes] = []
        room = self._bytes_max
        while self._events and len(taken) < self._events_max and room >= 0:
            taken.append(encode(self._events.popleft()))
            room -= len(taken[-1])
        return tuple(taken)


class Streams:
    """Those of all clients. Told on any thread, changed on one loop."""

    def __init__(self) -> None:
        self._streams: tuple[Stream, ...] = ()

    def note(self, event: EventRecord) -> None:
        """Take notice of a durable event."""
        for stream in self._streams:
            stream.note(event)

    def add(self, stream: Stream) -> None:
        """Note every event in `stream` from now on."""
        self._streams = (*self._streams, stream)

    def remove(self, stream: Stream) -> None:
        """Leave a stream alone."""
        self._streams = tuple(other for other in self._streams if other is not stream)
