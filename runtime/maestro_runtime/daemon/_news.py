"""Waiting for events of a session on the loop of the connections."""

import asyncio
from collections import defaultdict
from typing import Final

from maestro_runtime.daemon._stream import Stream
from maestro_storage.records import EventRecord

_Waiting = set["asyncio.Future[None]"]


class News:
    """Wakes who waits for a session's next event. Told on any thread, waited for on one loop."""

    def __init__(self) -> None:
        self._waiting: Final[defaultdict[str, _Waiting]] = defaultdict(set)
        self._streams: tuple[Stream, ...] = ()

    def note(self, event: EventRecord) -> None:
        """Take notice of a durable event; costs next to nothing where nobody waits."""
        for stream in self._streams:
            stream.note(event)
        if event.session_id in self._waiting:
            for waiter in list(self._waiting.get(event.session_id, ())):
                waiter.get_loop().call_soon_threadsafe(_wake, waiter)

    def tell(self, stream: Stream) -> None:
        """Note every event in `stream` from now on."""
        self._streams = (*self._streams, stream)

    def tell_no_more(self, stream: Stream) -> None:
        """Leave a stream alone."""
        self._streams = tuple(other for other in self._streams if other is not stream)

    def expect(self, session_id: str) -> "asyncio.Future[None]":
        """Return a future of the next event; look for what is there already after this call."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiting[session_id].add(waiter)
        waiter.add_done_callback(lambda done: self._forget(session_id, done))
        return waiter

    def _forget(self, session_id: str, waiter: "asyncio.Future[None]") -> None:
        self._waiting[session_id].discard(waiter)
        if not self._waiting[session_id]:
            del self._waiting[session_id]


def _wake(waiter: "asyncio.Future[None]") -> None:
    if not waiter.done():
        waiter.set_result(None)
