"""What is for the process that hosts a runtime: safe mode, the ends of sessions, its own end."""

from collections.abc import Callable
from itertools import islice
from typing import Final

from maestro_actors.kernel import LaneActor, LaneFuture
from maestro_runtime.running.news import EndNews
from maestro_runtime.verbs._foundation import Foundation
from maestro_storage.errors import RecordDamaged, SessionQuarantined
from maestro_storage.records import SESSION_FINAL

FAREWELL_ADDRESS = "urn:maestro:farewell"

DROPPED_AT_ONCE: Final = 64
"""Sessions that are deleted under one lock of all starts."""


class Hosting:
    """What a process does with its runtime that has others' sessions run in it."""

    def __init__(self, base: Foundation) -> None:
        self._base = base
        self._released: Callable[[], None] = _nobody

    @property
    def running_count(self) -> int:
        """Sessions in which something may still run."""
        return self._base.running.count

    def is_under_way(self, session_id: str) -> bool:
        """Whether something may still run in a session."""
        return self._base.running.is_under_way(session_id)

    @property
    def ends(self) -> EndNews:
        """The ends of all sessions."""
        return self._base.running.news

    @property
    def held(self) -> bool:
        """Whether it is in safe mode: no session starts or goes on, but to be cancelled or paused.

        Looking, answering and what changes records work as ever.
        """
        return self._base.running.held

    def hold(self, released: Callable[[], None]) -> None:
        """Enter safe mode; `released` is called by whoever leaves it, once, before it is left."""
        self._released = released
        self._base.running.held = True

    def leave_safe_mode(self) -> None:
        """Leave safe mode; durable on return, as far as a daemon counts. Otherwise does nothing."""
        with self._base.starting:
            if self._base.running.held:
                self._released()
                self._base.running.held = False
                # They are about to be taken up, as far as they can.
                self._base.running.forget_left()

    def leave_alone(self, session_id: str, reason: str) -> None:
        """Say why a session that was under way is not gone on with, until it is resumed.

        Whoever follows its events, or waits for it in another process, gets `SessionLeftAlone`.
        Nothing is said of one that has ended, or been removed, meanwhile.
        """
        with self._base.starting:
            if not self._is_over(session_id):
                self._base.running.leave(session_id, reason)

    def why_left(self, session_id: str) -> str | None:
        """Return why nobody goes on with a session; None if it goes on, or that was not said."""
        return self._base.running.why_left(session_id)

    @property
    def left_count(self) -> int:
        """Sessions that nobody goes on with, as far as that was said."""
        return self._base.running.left_count

    def retain(self, goes_on: Callable[[], bool] = lambda: True) -> list[str]:
        """Delete the sessions that have ended and that the retention policy does not keep.

        As at each start, for processes that start seldom. What is deleted is durably so on return.
        Not from a listener.

        Args:
            goes_on: Asked before each few of them; once it says no, the others are left for later.

        Returns:
            The sessions deleted, oldest first.

        Raises:
            StorageError: They cannot be deleted.
        """
        store, running = self._base.store, self._base.running
        planned = iter(store.expired(self._base.now_ms()))
        dropped: list[str] = []
        while goes_on() and (some := list(islice(planned, DROPPED_AT_ONCE))):
            # Nobody must go on with one that is about to go; who starts another waits for a commit.
            with self._base.starting:
                # Of one that is under way the end is still to be told.
                dropped += store.drop(name for name in some if not running.is_under_way(name))
        return dropped

    def drain(self) -> LaneFuture[None]:
        """Take no more, begin nothing more, and let attempts that are in flight come to their end.

        Records can be read meanwhile. `close` must follow; it cuts short what is left. Not from a
        listener; blocks until a start that is under way is done.

        Returns:
            Resolved once nothing is in flight.
        """
        with self._base.starting:
            self._base.running.refuse()
            halted = [ref.actor_urn for ref in self._base.running.halt()]
        gone: LaneFuture[None] = LaneFuture()
        if not halted:
            gone.set(None)
            return gone
        self._base.system.spawn(_Farewell, set(halted), gone, address=FAREWELL_ADDRESS)
        for address in halted:
            self._base.system.watch(address, FAREWELL_ADDRESS, address)
        return gone

    def _is_over(self, session_id: str) -> bool:
        try:
            session = self._base.store.sessions.get(session_id)
        except (SessionQuarantined, RecordDamaged):
            return False
        return session is None or session.state in SESSION_FINAL


def _nobody() -> None:
    """Tell nobody."""


class _Farewell(LaneActor):
    """Waits until some actors are gone."""

    def __init__(self, waited_for: set[str], gone: LaneFuture[None]) -> None:
        super().__init__()
        self._waited_for = waited_for
        self._gone = gone

    def on_receive(self, message: str) -> None:
        self._waited_for.discard(message)
        if not self._waited_for:
            self._gone.set(None)
