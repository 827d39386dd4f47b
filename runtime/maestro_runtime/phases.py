"""Phases of a session as programs see them: asked for, and waited for, one by one."""

import asyncio
import threading
from collections.abc import Collection, Generator, Iterable
from typing import Any, Final

from maestro_actors.kernel import LaneFuture
from maestro_actors.sessions.plan import Standing, recorded_phases
from maestro_runtime.recorded import recorded_team
from maestro_runtime.reports.session import SessionReport, session_report
from maestro_storage import Records
from maestro_storage.records import EventRecord, SessionRecord

_KINDS: Final = frozenset({"phase_finished", "task_failed", "task_help_needed"})


class PhaseRun:
    """Phases that are on their way. Await it, or block for its result; as often as you like."""

    def __init__(
        self,
        session_id: str,
        phases: tuple[str, ...],
        store: Records,
        ended: LaneFuture[Any],
        *,
        is_remote: bool = False,
    ) -> None:
        """Make a handle; `is_remote`: to read the records takes its time."""
        self.session_id = session_id
        self.phases = phases
        self._store = store
        self._ended = ended
        self._is_remote = is_remote

    @property
    def is_over(self) -> bool:
        """Whether none of the phases goes on any more: the result is there."""
        return self._ended.is_done

    def result(self, timeout: float | None = None) -> SessionReport:
        """Block until each of the phases is done, or cannot go on by itself; return the session.

        Whether they are done is in the checkpoints; other phases of the session may still run.

        Raises:
            pykka.Timeout: They are still on their way after `timeout` seconds.
            RuntimeStopped: The runtime was closed before.
            SessionLeftAlone: The session is a daemon's, and that does not go on with it.
            StorageError: The store failed; what was acknowledged is safe.
        """
        self._ended.get(timeout=timeout)
        return self._report()

    def __await__(self) -> Generator[Any, None, SessionReport]:
        """Wait for it without blocking the loop; otherwise as `result`."""
        yield from self._ended.__await__()
        if self._is_remote:
            return (yield from asyncio.to_thread(self._report).__await__())
        return self._report()

    def _report(self) -> SessionReport:
        return session_report(self._store, self.session_id)


_Waits = dict[frozenset[str], LaneFuture[None]]
"""Who waits, by the phases that must not go on."""


class PhaseWatch:
    """Knows who waits for which phases, and wakes them by the events that tell. Any thread."""

    def __init__(self, store: Records) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._waiting: dict[str, dict[LaneFuture[None], _Waits]] = {}
        """By session and by its end, of which there is another each time it goes on."""

    def expect(
        self, session_id: str, phases: Collection[str], ended: LaneFuture[None]
    ) -> LaneFuture[None]:
        """Return what is resolved once none of the phases goes on, for all who wait for that.

        Args:
            session_id: A session that this runtime runs, or has run.
            phases: What is waited for.
            ended: The end of the session, by which all its phases end; a failure is passed on.
        """
        with self._lock:
            runs = self._waiting.setdefault(session_id, {})
            is_first = ended not in runs
            waits = runs.setdefault(ended, {})
            settled = waits.setdefault(frozenset(phases), LaneFuture())
        try:
            # What happened before this is seen by looking, what happens after it by events.
            self._look(session_id)
        finally:
            # Once: whoever waits may go again, and the session last for days.
            if is_first:
                ended.add_done_callback(lambda _: self._end(session_id, ended))
        return settled

    def note(self, events: Iterable[EventRecord]) -> None:
        """Take notice of durable events of any kind."""
        for event in events:
            if event.kind in _KINDS and event.session_id in self._waiting:
                self._look(event.session_id)

    def _look(self, session_id: str) -> None:
        record = self._store.require_session(session_id)
        team = recorded_team(self._store, record)
        going_on = standing_of(self._store, record).going_on(team)
        # If nothing goes on, the session is about to end: then its state is durable, too.
        if not going_on:
            return
        with self._lock:
            over = [
                waits.pop(phases)
                for waits in self._waiting.get(session_id, {}).values()
                for phases in list(waits)
                if going_on.isdisjoint(phases)
            ]
        for settled in over:
            settled.set(None)

    def _end(self, session_id: str, ended: LaneFuture[None]) -> None:
        """Tell all who wait for a session that has ended, or is lost."""
        with self._lock:
            runs = self._waiting[session_id]
            waits = runs.pop(ended)
            if not runs:
                del self._waiting[session_id]
        for settled in waits.values():
            try:
                ended.get(timeout=0)
            except Exception:  # noqa: BLE001 - passed on to who waits
                settled.set_exception()
            else:
                settled.set(None)


def standing_of(store: Records, session: SessionRecord) -> Standing:
    """Read how far a session has come, as far as it is durable."""
    return Standing(
        states={task.task_id: task.state for task in store.tasks.scan(session.session_id)},
        recorded=recorded_phases(store.checkpoints.scan(session.session_id)),
        plan=session.plan,
    )
