"""The verbs of a runtime that are for who hosts it: going on after a start, coming to a stop."""

import os
from collections.abc import Callable

from maestro_actors.kernel import LaneActor, LaneFuture
from maestro_actors.team import Team
from maestro_runtime._admission import Admission, names_of
from maestro_runtime._openings import Openings
from maestro_runtime._verbs import SessionVerbs
from maestro_runtime.session import Session, SessionOrder
from maestro_runtime.wire.errors import SessionsNotHosted
from maestro_storage.records import SessionRecord

FAREWELL_ADDRESS = "urn:maestro:farewell"


class HostVerbs(SessionVerbs):
    """Take up, drain, and hear of a loss: the part of a runtime that a daemon uses."""

    _admission: Admission
    _starting: Openings
    _released: Callable[[], None]

    def _take_up(self, record: SessionRecord, stored: Team, team: Team) -> Session:
        raise NotImplementedError  # the runtime answers

    def _placed(self, order: SessionOrder) -> tuple[SessionOrder, str]:
        raise NotImplementedError  # the runtime answers

    @property
    def lost(self) -> LaneFuture[None]:
        """Fails with what went wrong when the store or an actor is lost, and every session with it.

        The runtime is to be closed then; what was acknowledged is safe.
        """
        return self._running.lost

    @property
    def running_count(self) -> int:
        """Sessions in which something may still run."""
        return self._running.count

    @property
    def held(self) -> bool:
        """Whether it is in safe mode: no session starts or goes on, but to be cancelled or paused.

        Looking, answering and what changes records work as ever.
        """
        return self._running.held

    def hold(self, released: Callable[[], None]) -> None:
        """Enter safe mode; `released` is called by whoever leaves it, once, before it is left."""
        self._released = released
        self._running.held = True

    def leave_safe_mode(self) -> None:
        """Leave safe mode; durable on return, as far as a daemon counts. Otherwise does nothing."""
        with self._starting:
            if self._running.held:
                self._released()
                self._running.held = False
                # They are about to be taken up, as far as they can.
                self._running.forget_left()

    def leave_alone(self, session_id: str, reason: str) -> None:
        """Say why a session that was under way is not gone on with, until it is resumed.

        Whoever waits for it in another process gets `SessionLeftAlone`.
        """
        self._running.leave(session_id, reason)

    def why_left(self, session_id: str) -> str | None:
        """Return why nobody goes on with a session; None if it goes on, or that was not said."""
        return self._running.why_left(session_id)

    def take_up(self, session_id: str) -> Session:
        """Go on with a session as a stop or a crash has left it.

        One that is to be paused or cancelled is; one that is paused, or has ended, stays so.

        Raises:
            NotFound: There is no such session.
            SessionQuarantined: A record of it is damaged.
            UnknownEngine, EngineNotReady: An engine cannot work here.
            CheckNotReady: A check cannot be evaluated here.
            DirectoryUnusable: A directory of it cannot be used.
            RuntimeDraining, RuntimeStopped: The runtime comes to its end.
            SafeMode: It is in safe mode.
        """
        with self._starting.of(session_id):
            self._running.require_admission(session_id)
            record = self.store.require_session(session_id)
            team = self._admission.team_of(record)
            return self._take_up(record, team, team)

    def attach(self, order: SessionOrder) -> Session:
        """Return the session of an order if it runs; nothing is started.

        Raises:
            SessionsNotHosted: It does not run here.
            Exception: As `run`, if it is not the session that the order means.
        """
        order, session_id = self._placed(order)
        with self._starting.of(*names_of(order, session_id)):
            found = self._admission.find(order, session_id)
            session_id = "" if found is None else found[0].session_id
            if not self._running.is_under_way(session_id):
                raise SessionsNotHosted(os.getpid())
            return self._as_it_is(session_id, self._running.ended(session_id))

    def drain(self) -> LaneFuture[None]:
        """Take no more, begin nothing more, and let attempts that are in flight come to their end.

        Records can be read meanwhile. `close` must follow; it cuts short what is left. Not from a
        listener; blocks until a start that is under way is done.

        Returns:
            Resolved once nothing is in flight.
        """
        with self._starting:
            self._running.refuse()
            halted = [ref.actor_urn for ref in self._running.halt()]
        gone: LaneFuture[None] = LaneFuture()
        if not halted:
            gone.set(None)
            return gone
        self.system.spawn(_Farewell, set(halted), gone, address=FAREWELL_ADDRESS)
        for address in halted:
            self.system.watch(address, FAREWELL_ADDRESS, address)
        return gone


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
