"""The sessions that a runtime runs: their coordinators, and who waits for their ends."""

import threading
from collections import deque
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Final, Protocol, TypeVar

import pykka

from maestro_actors.circuit_breaker import BreakerProxy, CircuitBreaker
from maestro_actors.identity import breaker_address, coordinator_address
from maestro_actors.kernel import ActorSystem, LaneFuture
from maestro_actors.ports import Ports
from maestro_actors.proxy import LocalChannel
from maestro_actors.sessions.coordinator import SUPERVISION, Coordinator
from maestro_actors.sessions.coordinator_proxy import CoordinatorProxy
from maestro_actors.sessions.queue import admitted, come_by, queued
from maestro_actors.sessions.succession import Tenure
from maestro_actors.team import BreakerPolicy, Team
from maestro_runtime.errors import RuntimeDraining, RuntimeStopped, SafeMode
from maestro_runtime.running.news import EndNews
from maestro_runtime.running.session_queue import DOORKEEPER_ADDRESS, SessionQueue
from maestro_storage.records import SESSION_FINAL, SessionRecord
from maestro_storage.transition import Transition

Ended = LaneFuture[None]
"""Resolved once nothing more can run in a session; fails if the runtime ends before."""

ENDED_MAX: Final = 1_000
"""Sessions that have ended and are remembered: a runtime that works for months forgets the rest."""

ORDER_SECONDS: Final = 30.0
"""Longest wait for a session to take an order, and for that to become durable."""


class Answer(Protocol):
    """What a coordinator says to an order."""

    @property
    def taken(self) -> bool:
        """Whether it is on its way to be durable."""


TakenT = TypeVar("TakenT", bound=Answer)


class RunningSessions:
    """Starts coordinators and resolves the futures of their ends. Any thread."""

    def __init__(
        self,
        system: ActorSystem,
        breaker: BreakerPolicy,
        grace_seconds: float,
        settle: Callable[[float], None],
        left: Callable[[str], None],
    ) -> None:
        """Begin with none.

        Args:
            system: Where the coordinators live.
            breaker: Policy of breakers that a team says nothing about.
            grace_seconds: How long actors may take to come to an end.
            settle: Waits, so many seconds at most, until what the journal has is durable.
            left: Told of a session that nobody goes on with.
        """
        self._settle_journal: Final = settle
        self._tell_left: Final = left
        self._system: Final = system
        self._channel: Final = LocalChannel(system)
        self._breaker: Final = breaker
        self._grace_seconds: Final = grace_seconds
        self._lock = threading.Lock()
        self._ended: dict[str, Ended] = {}
        self._over: deque[str] = deque()
        """Sessions that have ended, oldest first, as far as they are remembered."""
        self.lost: Final = Ended()
        """Fails with the first failure."""
        self._turns: dict[str, Ended] = {}
        """When each, if somebody waits for that, begins anew or ends."""
        self._failure: BaseException | None = None
        self._left: dict[str, str] = {}
        """Sessions that nobody goes on with, and why."""
        self._tenures: dict[str, Tenure] = {}
        """Of sessions that have begun here and not come to rest, whoever coordinates them."""
        self._come_ms = 0
        """When the last one came of those that a clock set back had left at an instant to come."""
        self.held = False
        """Nothing starts or goes on, but for what is to come to its end or to rest."""
        self._refusing = False
        self.queue: Final = SessionQueue(lambda: system.deliver(DOORKEEPER_ADDRESS, b""))
        """Who runs, and who waits to."""
        self._closed = False
        self.news = EndNews()

    @property
    def failed(self) -> bool:
        """Whether the store or an actor is lost, and with it every session."""
        return self._failure is not None

    @property
    def count(self) -> int:
        """Sessions in which something may still run."""
        return sum(not ended.is_done for ended in list(self._ended.values()))

    def is_running(self, session_id: str) -> bool:
        """Whether a session has a coordinator."""
        return self._system.ref(coordinator_address(session_id)) is not None

    def is_under_way(self, session_id: str) -> bool:
        """Whether something may still run in a session."""
        ended = self._ended.get(session_id)
        return ended is not None and not ended.is_done

    def ended(self, session_id: str) -> Ended:
        """Return the future of a session that was started here."""
        ended = self._ended.get(session_id)
        if ended is None:
            # It has ended so long ago that it is forgotten.
            ended = Ended()
            ended.set(None)
        return ended

    def live(self, session_id: str) -> Ended | None:
        """Return the end, yet to come, of a session that runs; None if it does not.

        A session that has ended durably does not run, though its coordinator may still be there.
        """
        ended = self._ended.get(session_id)
        return ended if ended and not ended.is_done and self.is_running(session_id) else None

    def ask(
        self, session_id: str, order: Callable[[CoordinatorProxy], pykka.Future[TakenT]]
    ) -> TakenT | None:
        """Give an order to a session that runs; None: nobody runs it any more.

        What it brings has been handed to the journal on return.

        While a session is about to end, to begin anew, or to have another coordinator, it takes
        none: that is waited for. Nobody runs one that is queued.

        Raises:
            Exception: What the coordinator raises.
            RuntimeDraining, RuntimeStopped: The runtime comes to its end, and the session rests.
            pykka.Timeout: It was not taken within 30 seconds.
        """
        while self.is_under_way(session_id) and not self.queue.holds(session_id):
            # Before the order: what happens after it must not be missed.
            turn = self._turn(session_id)
            with suppress(pykka.ActorDeadError):
                proxy = CoordinatorProxy(self._channel, session_id)
                answer = order(proxy).get(timeout=ORDER_SECONDS)
                if answer.taken:
                    return answer
            # A coordinator that was halted has gone, and no other one comes.
            self._require_open(session_id)
            turn.get(timeout=ORDER_SECONDS)
        return None

    def turned(self, session_id: str) -> None:
        """Say that a session has begun anew, or has another coordinator; durable."""
        turn = self._turns.pop(session_id, None)
        if turn is not None:
            turn.set(None)

    def _turn(self, session_id: str) -> Ended:
        """Return what is resolved when `turned` is said of a session, or it ends."""
        turn = self._turns.get(session_id)
        if turn is None:
            turn = self._turns[session_id] = LaneFuture()
            self._ended[session_id].add_done_callback(lambda _: self.turned(session_id))
        return turn

    def start(
        self,
        ports: Ports,
        session_id: str,
        team: Team,
        claimed: Collection[str] | None = None,
    ) -> Ended:
        """Run a session that is on record, or queue it; one that runs goes on as it is.

        One that has ended stays as it is. One at a time; that it is queued is durable on return.
        `claimed` are the phases that the caller waits for, see `Coordinator`.

        Raises:
            RuntimeDraining, RuntimeStopped: The runtime comes to its end.
            NotFound: It was removed since the caller has looked.
        """
        # What is durable only now may find the store closed.
        self._require_open(session_id)
        before = self._ended.get(session_id)
        is_told = before is None or before.is_done
        # Looked at once: a coordinator may go at any moment, and none can come.
        if self.is_running(session_id):
            if before is not None and not is_told:
                self._left.pop(session_id, None)
                return before
            # Its coordinator is on its way out, and the next one needs the address.
            gone = self._system.stop(coordinator_address(session_id))
            gone.get(timeout=self._grace_seconds)
        elif not (is_told or self.queue.holds(session_id)):
            # Its end is durable, and about to be told: that must not be taken for the next one. It
            # may be its removal as well.
            self._settle_journal(ORDER_SECONDS)
        recorded = ports.memory.session(session_id)
        if recorded.state in SESSION_FINAL:
            # Since the caller has looked, as one does that was to be cancelled.
            return self.ended(session_id)
        with self._lock:
            self._require_open(session_id)
            ended = self._ended.get(session_id)
            self._left.pop(session_id, None)
            if ended is None or ended.is_done:
                ended = self._ended[session_id] = LaneFuture()
        if self._failure is not None:
            self._settle(ended, self._failure)
            return ended
        self._let_in(ports, recorded, team, claimed)
        return ended

    def _let_in(
        self,
        ports: Ports,
        recorded: SessionRecord,
        team: Team,
        claimed: Collection[str] | None,
    ) -> None:
        """Give a session its coordinator, or its place in the queue."""
        session_id, now_ms = recorded.session_id, ports.now_ms()
        session = self._come_by(recorded, now_ms)
        if not self.queue.lets_in(session, now_ms, claimed):
            if session.state != "queued" or session is not recorded:
                self._commit(ports, queued(session, session.queued_ms or now_ms, ports.epoch))
            return
        claimed = self.queue.claim(session_id, claimed)
        try:
            if session.state == "queued" and session.wish == "run":
                self._commit(ports, admitted(session, now_ms, ports.epoch))
            self._guard(ports, team)
            self._appoint(ports, session_id, team, claimed)
        except BaseException:
            # Nobody runs it, so others may.
            self.queue.end(session_id)
            raise

    def _come_by(self, session: SessionRecord, now_ms: int) -> SessionRecord:
        """See `come_by`; those that are brought back one after the other keep their order."""
        at_ms = max(now_ms, self._come_ms + 1)
        come = come_by(session, at_ms)
        if come is not session:
            self._come_ms = at_ms
        return come

    def _guard(self, ports: Ports, team: Team) -> None:
        """Have a circuit breaker for each engine of a team, by the policy of that team."""
        for name in {persona.breaker for persona in team.personas.values()}:
            policy = team.breaker_policy(name, self._breaker)
            address = breaker_address(name)
            if self._system.ref(address) is None:
                self._system.spawn(CircuitBreaker, ports, name, policy, address=address)
            else:
                BreakerProxy(self._channel, name).govern(policy)

    def _appoint(
        self, ports: Ports, session_id: str, team: Team, claimed: Collection[str] | None
    ) -> None:
        """Give a session a coordinator, which is followed by another if it fails.

        If too many have failed before, the first one, too, brings to rest what they have left.
        """
        self._system.spawn(
            Coordinator,
            ports,
            session_id,
            team,
            claimed,
            self._tenures.setdefault(session_id, Tenure()),
            address=coordinator_address(session_id),
            supervision=SUPERVISION,
        )

    def end(self, session_id: str) -> None:
        """Say that nothing more can run in a session; durable."""
        self.queue.end(session_id)
        self._left.pop(session_id, None)
        self._tenures.pop(session_id, None)
        ended = self._ended.get(session_id)
        if ended is not None:
            self._settle(ended, None)
            self._remember(session_id)
        self.news.note(session_id)

    def lose(self, session_id: str, error: BaseException) -> None:
        """Say that a session cannot begin, or not go on; it stays as it is on record."""
        self._settle(self._ended[session_id], error)
        self._remember(session_id)
        self.leave(session_id, str(error) or type(error).__name__)

    def forsake(self, session_id: str, error: BaseException) -> None:
        """Say that a session has lost its coordinator for good; it stays as it is on record."""
        if self.is_under_way(session_id):
            self.queue.end(session_id)
            self.lose(session_id, error)

    def leave(self, session_id: str, reason: str) -> None:
        """Say that nobody goes on with a session that has work left, until it is resumed."""
        self._left[session_id] = reason
        # For those who wait in other processes it is over, too.
        self.news.note(session_id)
        self._tell_left(session_id)

    def forget_left(self) -> None:
        """Take back what was said of sessions that nobody goes on with."""
        self._left.clear()

    def why_left(self, session_id: str) -> str | None:
        """Return why nobody goes on with a session; None if that was not said."""
        return self._left.get(session_id)

    @property
    def left_count(self) -> int:
        """Sessions of which it was said that nobody goes on with them."""
        return len(self._left)

    def _remember(self, session_id: str) -> None:
        """Keep a session that has ended in mind, and forget the one that did so longest ago."""
        with self._lock:
            self._over.append(session_id)
            if len(self._over) > ENDED_MAX:
                oldest = self._over.popleft()
                ended = self._ended.get(oldest)
                # One that has begun again ends again.
                if ended is not None and ended.is_done:
                    del self._ended[oldest]

    def fail(self, error: BaseException) -> None:
        """End all of them, also those to come: they resume at the next start."""
        if self._failure is None:
            self._failure = error
            self.lost.set_exception((type(error), error, None))
        for ended in list(self._ended.values()):
            self._settle(ended, error)

    def require_admission(self, session_id: str) -> None:
        """Refuse a session that is to start or to go on, while none may.

        Raises:
            RuntimeDraining, RuntimeStopped: The runtime comes to its end.
            SafeMode: Nothing is to run until a person has looked.
        """
        self._require_open(session_id)
        if self.held:
            raise SafeMode(session_id)

    def _require_open(self, session_id: str) -> None:
        if self._closed:
            raise RuntimeStopped(session_id)
        if self._refusing:
            raise RuntimeDraining(session_id)

    def refuse(self) -> None:
        """Take no more; what runs goes on."""
        with self._lock:
            self._refusing = True

    def close(self) -> bool:
        """Take no more; False: that was said before."""
        with self._lock:
            before, self._closed = self._closed, True
        return not before

    def halt(self) -> list[pykka.ActorRef[Coordinator]]:
        """Have all begin nothing more; return the coordinators that still run."""
        running = []
        for session_id in list(self._ended):
            ref = self._system.ref(coordinator_address(session_id))
            if ref is not None:
                running.append(ref)
                # A session may come to its own end at this very moment.
                with suppress(pykka.ActorDeadError):
                    CoordinatorProxy(self._channel, session_id).halt()
        return running

    def abandon(self) -> None:
        """Tell who still waits that the runtime has stopped."""
        for session_id, ended in list(self._ended.items()):
            self._settle(ended, RuntimeStopped(session_id))

    def _commit(self, ports: Ports, draft: Transition) -> None:
        ports.journal.append(draft)
        self._settle_journal(ORDER_SECONDS)

    def _settle(self, ended: Ended, error: BaseException | None) -> None:
        with self._lock:
            if ended.is_done:
                return
            if error is None:
                ended.set(None)
            else:
                ended.set_exception((type(error), error, None))
