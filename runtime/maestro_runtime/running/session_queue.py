"""Which sessions run, which wait to, and who lets them in."""

import heapq
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

from maestro_actors.kernel import ActorSystem, LaneActor
from maestro_actors.sessions.queue import Turn, turn_of
from maestro_runtime.errors import AdmissionRefused, RuntimeDraining, RuntimeStopped, SafeMode
from maestro_runtime.policy import SESSIONS_QUEUED
from maestro_runtime.starting.openings import Opening
from maestro_storage.records import SessionRecord

DOORKEEPER_ADDRESS: Final = "urn:maestro:doorkeeper"

ENDS_REMEMBERED: Final = 16
"""Ends of sessions from which the pace of the runtime is told."""
RETRY_SECONDS: Final = 10.0
"""Hint as long as the pace is not known."""
RETRY_SECONDS_MAX: Final = 300.0

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Waiting:
    turn: Turn
    claimed: Collection[str] | None
    """See `Coordinator`."""


class SessionQueue:
    """Counts sessions; what is durable of them is the business of others. Any thread."""

    def __init__(self, look: Callable[[], None]) -> None:
        """Let all run, at first; `look` is called when a session may leave the queue."""
        self._look: Final = look
        self._lock = threading.Lock()
        self._running_max: int | None = None
        self._queued_max = SESSIONS_QUEUED
        self._running: set[str] = set()
        self._waiting: dict[str, _Waiting] = {}
        self._order: list[Turn] = []
        """A heap of their turns, and of some that do not wait any more."""
        self._called: dict[str, _Waiting] = {}
        """Those that have room now, until they are claimed."""
        self._ends: deque[float] = deque(maxlen=ENDS_REMEMBERED)

    def govern(self, running_max: int | None, queued_max: int) -> None:
        """Follow other limits; what runs goes on."""
        with self._lock:
            self._running_max, self._queued_max = running_max, queued_max
        if self._waiting:
            self._look()

    def holds(self, session_id: str) -> bool:
        """Whether a session waits, or has not begun to run after it has."""
        return session_id in self._waiting or session_id in self._called

    def lets_in(self, session: SessionRecord, now_ms: int, claimed: Collection[str] | None) -> bool:
        """Whether a session may run now; else it waits for its turn.

        One that is only to be paused, cancelled or brought back to a phase need not wait.
        """
        turn = turn_of(session.session_id, session.priority, session.queued_ms or now_ms)
        return self.takes(turn, claimed, waits=session.wish == "run")

    def takes(
        self, turn: Turn, claimed: Collection[str] | None = None, *, waits: bool = True
    ) -> bool:
        """Do so with what is in the record. It has its place from now on, durable or not."""
        name = turn[1]
        with self._lock:
            first = self._first()
            next_one = first is None or turn <= first
            if name in self._running or not waits or (next_one and self._has_room):
                self._running.add(name)
                return True
            before = self._waiting.get(name)
            if before is not None:
                nobody_else = before.claimed is not None and claimed is not None
                claimed = {*(before.claimed or ()), *(claimed or ())} if nobody_else else None
            self._waiting[name] = _Waiting(turn, claimed)
            if before is None or before.turn != turn:
                heapq.heappush(self._order, turn)
            if len(self._order) > 2 * len(self._waiting) + 64:
                # Behind one that waits for long, those that come and go must not pile up.
                self._order = sorted(waiting.turn for waiting in self._waiting.values())
        self._look()
        return False

    def claim(self, session_id: str, claimed: Collection[str] | None) -> Collection[str] | None:
        """Take a session out of the queue; return what was claimed when it came into it."""
        with self._lock:
            waiting = self._waiting.pop(session_id, None) or self._called.pop(session_id, None)
        return claimed if waiting is None else waiting.claimed

    def give_back(self, session_id: str) -> None:
        """Give back the room of a session that was let in and has not claimed it.

        One that has may have ended since, and wait again: it keeps its place.
        """
        with self._lock:
            if self._called.pop(session_id, None) is None:
                return
            self._running.discard(session_id)
        if self._waiting:
            self._look()

    def next(self) -> str | None:
        """Return the session that may run now; None if there is none, or no room."""
        with self._lock:
            first = self._first() if self._has_room else None
            if first is None:
                return None
            name = heapq.heappop(self._order)[1]
            self._called[name] = self._waiting.pop(name)
            self._running.add(name)
            return name

    def end(self, session_id: str) -> None:
        """Give back the room of a session that has ended, or could not begin."""
        with self._lock:
            self._waiting.pop(session_id, None)
            self._called.pop(session_id, None)
            if session_id in self._running:
                self._running.discard(session_id)
                self._ends.append(time.monotonic())
        if self._waiting:
            self._look()

    def require_place(self, session_id: str) -> None:
        """Refuse a session that could neither run nor wait.

        Raises:
            AdmissionRefused: All run that may, and the queue is full.
        """
        with self._lock:
            known = session_id in self._running or session_id in self._waiting
            if known or self._has_room or len(self._waiting) < self._queued_max:
                return
        raise AdmissionRefused("the queue of sessions is full", self._queued_max, self._pace())

    def _first(self) -> Turn | None:
        """Return the turn of who is next; None if nobody waits. Under the lock."""
        while self._order:
            turn = self._order[0]
            waiting = self._waiting.get(turn[1])
            if waiting is not None and waiting.turn == turn:
                return turn
            heapq.heappop(self._order)
        return None

    @property
    def _has_room(self) -> bool:
        return self._running_max is None or len(self._running) < self._running_max

    def _pace(self) -> float:
        """Return how many seconds pass between two ends of sessions, as of late."""
        ends = tuple(self._ends)
        if len(ends) < 2:  # noqa: PLR2004 - an interval has two ends
            return RETRY_SECONDS
        seconds = (ends[-1] - ends[0]) / (len(ends) - 1)
        return round(min(max(1.0, seconds), RETRY_SECONDS_MAX), 1)


class Host(Protocol):
    """Who starts sessions."""

    system: ActorSystem

    def admit(self, session_id: str) -> object:
        """Go on with a session as it is on record; an `Opening` if that is not durable yet."""


class Sessions(Protocol):
    """Where sessions run."""

    queue: SessionQueue

    def lose(self, session_id: str, error: BaseException) -> None:
        """Tell who waits for a session that it cannot begin."""


class Doorkeeper(LaneActor):
    """Starts sessions in their turn, when it is told that there may be room."""

    def __init__(self, host: Host, sessions: Sessions) -> None:
        super().__init__()
        self._host = host
        self._sessions = sessions

    def on_receive(self, message: bytes | Opening) -> None:
        """Start all that there is room for; what they do waits for the disk, together."""
        if isinstance(message, Opening):
            self._try(message.names[0], message.result)
            return
        while (session_id := self._sessions.queue.next()) is not None:
            if not self._try(session_id, partial(self._host.admit, session_id)):
                return

    def _try(self, session_id: str, begin: Callable[[], object]) -> bool:
        """Begin with a session, and say whether others may follow."""
        try:
            begun = begin()
        except (RuntimeStopped, RuntimeDraining, SafeMode):
            # It is under way on record, and stays so.
            return False
        except Exception as error:  # noqa: BLE001 - foreign engines; the others must go on
            _log.warning("session %s cannot leave the queue: %s", session_id, error)
            self._sessions.lose(session_id, error)
        else:
            if isinstance(begun, Opening):
                begun.when_durable(lambda: self._host.system.deliver(self.actor_urn, begun))
                return True
        # It cannot begin, or somebody has paused it just before.
        self._sessions.queue.give_back(session_id)
        return True
