"""What becomes durable in sessions, for who waits for it: their next events, and their ends."""

import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Final
from weakref import WeakValueDictionary

from maestro_actors.kernel import LaneFuture
from maestro_runtime.errors import SessionLeftAlone
from maestro_runtime.stream import Batch, rests
from maestro_storage import Records
from maestro_storage.records import EventRecord

BATCH_EVENTS_MAX: Final = 256

ENDS_MAX: Final = 16_384
"""Ends that are remembered for who asks for those since a number."""


class EventNews:
    """Wakes who waits for a session's next event. Any thread."""

    def __init__(self, store: Records, why_left: Callable[[str], str | None]) -> None:
        """Begin; `why_left` says why nobody goes on with a session, if that is so."""
        self._store: Final = store
        self._why_left: Final = why_left
        self._lock = threading.Lock()
        self._waiting: WeakValueDictionary[str, LaneFuture[None]] = WeakValueDictionary()
        """Held by those who wait: nothing is kept of a session that nobody follows any more."""

    def note(self, events: Iterable[EventRecord]) -> None:
        """Take notice of durable events; costs next to nothing where nobody waits."""
        for session_id in {event.session_id for event in events}:
            self.wake(session_id)

    def wake(self, session_id: str) -> None:
        """Have everybody look who waits for a session."""
        if session_id in self._waiting:
            with self._lock:
                waiter = self._waiting.pop(session_id, None)
            if waiter is not None:
                waiter.set(None)

    def expect(self, session_id: str) -> LaneFuture[None]:
        """Return the future of the next event; look for what is there already after this call."""
        with self._lock:
            waiter = self._waiting.get(session_id)
            if waiter is None:
                waiter = self._waiting[session_id] = LaneFuture()
            return waiter

    def batch(self, session_id: str, since: int) -> LaneFuture[Batch]:
        """Return the future of the next events of a session, or of the news that it rests.

        Raises, through the future:
            NotFound: There is no such session.
            SessionQuarantined: A record of it is damaged.
            SessionLeftAlone: There are no more, and nobody goes on with it.
        """
        found: LaneFuture[Batch] = LaneFuture()
        self._look(found, session_id, max(1, since))
        return found

    def _look(self, found: LaneFuture[Batch], session_id: str, since: int) -> None:
        # First this, so that none can come in between.
        waiter = self.expect(session_id)
        try:
            batch = self.stored(session_id, since)
        except Exception:  # noqa: BLE001 - for who waits
            found.set_exception(sys.exc_info())
            return
        if batch.events or batch.over:
            found.set(batch)
            return
        # Whoever has the one has the other.
        vars(found)["waiter"] = waiter
        waiter.add_done_callback(lambda _: self._look(found, session_id, since))

    def stored(self, session_id: str, since: int) -> Batch:
        """Return the next events of a session that are there; perhaps none.

        Raises:
            NotFound: There is no such session.
            SessionQuarantined: A record of it is damaged.
            SessionLeftAlone: There are none, and nobody goes on with it.
        """
        before = self._store.require_session(session_id)
        scan = self._store.events.scan(session_id, after=since - 1, limit=BATCH_EVENTS_MAX)
        events = tuple(scan)
        over = rests(before) and len(events) < BATCH_EVENTS_MAX
        # Else it may have gone on, and what is told of that is not in these.
        over = over and self._store.sessions.get(session_id) == before
        if not events and not over and not rests(before):
            reason = self._why_left(session_id)
            if reason is not None:
                raise SessionLeftAlone(session_id, reason)
        return Batch(events, over=over)


class EndNews:
    """Numbers the ends of sessions, and wakes who waits for the next one. Any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last: deque[str] = deque(maxlen=ENDS_MAX)
        self._next: LaneFuture[None] = LaneFuture()
        self._number = 0

    @property
    def number(self) -> int:
        """How many ends there were."""
        return self._number

    def note(self, session_id: str) -> None:
        """Take notice that nothing can run in a session any more, for now or for good; durable."""
        with self._lock:
            self._last.append(session_id)
            self._number += 1
            woken, self._next = self._next, LaneFuture()
        woken.set(None)

    def since(self, number: int) -> tuple[str, ...] | None:
        """Return the sessions that have ended since there were so many; None: nobody knows."""
        with self._lock:
            count = self._number - number
            if not 0 <= count <= len(self._last):
                return None
            # From their end: of thousands that are remembered most ask for the last few.
            return tuple(islice(reversed(self._last), count))[::-1]

    def expect(self) -> LaneFuture[None]:
        """Return the future of the next end; look for what is there already after this call."""
        with self._lock:
            return self._next
