"""The events of a session, one after the other, as they become durable."""

from collections.abc import AsyncIterator, Iterator
from typing import Final, NamedTuple, Protocol

import pykka

from maestro_storage.records import SESSION_FINAL, EventRecord, SessionRecord

REST_EVENTS: Final = frozenset(
    f"session_{state}" for state in (*SESSION_FINAL, "help_needed", "paused")
)
"""Kinds of events by which a session comes to rest."""


class Batch(NamedTuple):
    """Events that follow each other without a gap."""

    events: tuple[EventRecord, ...]
    over: bool
    """The session rests, and there are no more."""


class EventSource(Protocol):
    """Where events come from."""

    def next_events(self, session_id: str, since: int) -> pykka.Future[Batch]:
        """Return the next events from a sequence on, at least one, or that it is over.

        Fails with `SessionLeftAlone` if there are no more, and nobody goes on with the session.
        """

    def leave(self, batch: pykka.Future[Batch]) -> None:
        """Wait no longer."""


class EventStream:
    """Iterate over it, or with `async for`, as often as you like; each time from the first on.

    It ends when the session rests: it has ended, is paused, or needs help. What becomes durable
    later is in another stream.
    """

    def __init__(self, source: EventSource, session_id: str, since: int) -> None:
        """Make one.

        Args:
            source: Where they come from.
            session_id: The session.
            since: Sequence of the first event, 1 for all.
        """
        self._source = source
        self._session_id = session_id
        self._since = since

    def __iter__(self) -> Iterator[EventRecord]:
        """Yield the events, waiting for each.

        Raises:
            NotFound: There is no such session, or no longer.
            SessionQuarantined: A record of it is damaged.
            SessionLeftAlone: It has work left, and the process that has the state does not go on
                with it; all that has happened was yielded before.
        """
        since, over = self._since, False
        while not over:
            waiting = self._source.next_events(self._session_id, since)
            try:
                events, over = waiting.get()
            finally:
                self._source.leave(waiting)
            since += len(events)
            yield from events

    async def __aiter__(self) -> AsyncIterator[EventRecord]:
        """Yield the events without blocking the loop; otherwise as `__iter__`."""
        since, over = self._since, False
        while not over:
            waiting = self._source.next_events(self._session_id, since)
            try:
                events, over = await waiting
            finally:
                self._source.leave(waiting)
            since += len(events)
            for event in events:
                yield event


def rests(session: SessionRecord) -> bool:
    """Whether nothing runs in a session, nor will before somebody asks for it."""
    if session.state in SESSION_FINAL:
        return True
    return session.state in ("paused", "help_needed") and session.wish == "run"
