"""A mailbox: the queue of one actor, and what a lane has to know about it."""

from __future__ import annotations

import contextvars
import logging
import threading
import time
from typing import TYPE_CHECKING, Any, Final, Literal

from pykka import ActorDeadError, ActorRegistry
from pykka._envelope import Envelope
from pykka.messages import _ActorStop

from maestro_actors.kernel._lane import SLICE_SECONDS, THROUGHPUT_MESSAGES
from maestro_actors.kernel.errors import LaneClosed, MailboxFull

if TYPE_CHECKING:
    import asyncio

    from maestro_actors.kernel._actor import LaneActor
    from maestro_actors.kernel._dead_letters import Reason
    from maestro_actors.kernel._future import LaneFuture
    from maestro_actors.kernel._keeper import Keeper, Turn
    from maestro_actors.kernel._lane import Lane

_log: Final = logging.getLogger(__name__)

State = Literal["starting", "idle", "queued", "running", "waiting", "suspended", "closed"]

RESTART: Final[Envelope[None]] = Envelope(None)
"""A system message, known by its identity."""

_CLOCK_MASK: Final = 7
"""The time is looked at before every 8th message: it costs as much as queueing one."""


class Mailbox:
    """The queue of one actor.

    Any thread may put messages and system messages. Everything that belongs to a turn - `begin`,
    `take`, `finish`, `close` - is called by the one lane thread that has the turn; `_scheduled`,
    guarded by the lock, makes sure that there is one at most. An idle mailbox owns no list.
    """

    __slots__ = (
        "__weakref__",
        "_batch",
        "_closed",
        "_incoming",
        "_left",
        "_lock",
        "_scheduled",
        "_until",
        "_urgent",
        "actor",
        "actor_class",
        "address",
        "context",
        "current",
        "keeper",
        "lane",
        "limit",
        "since",
        "started",
        "suspended",
        "task",
        "waiting_on",
    )

    def __init__(
        self, lane: Lane, address: str, actor_class: type[LaneActor], keeper: Keeper
    ) -> None:
        self.lane = lane
        self.address = address
        self.actor_class = actor_class
        self.keeper = keeper
        self.limit = actor_class.mailbox_limit
        self.actor: LaneActor | None = None
        """The mailbox keeps its actor alive until it closes."""
        self.current: Envelope[Any] | None = None
        self.since = 0.0
        """Start of the turn in flight on the monotonic clock, else 0."""
        self.started = False
        """The instance has had its `on_start`, or is having it."""
        self.suspended = False
        self.task: asyncio.Task[None] | None = None
        self.waiting_on: Mailbox | None = None
        self._lock = threading.Lock()
        self._incoming: list[Envelope[Any]] | None = None
        self._batch: list[Envelope[Any]] | None = None
        """What a turn took from `_incoming`, newest first: the end of a list is cheap to pop."""
        self._urgent: list[Envelope[Any]] | None = None
        self._scheduled = True
        """Waits for a turn or has one. True before the start, so that nobody else submits it."""
        self._closed = False
        self._left = 0
        self._until = 0.0
        # One context for the whole life: what a handler binds is there for the next one and for
        # nobody else, as with a thread per actor. Costs 64 bytes and 20 ns a turn.
        self.context = contextvars.Context()

    def start(self, actor: LaneActor) -> None:
        """Begin to run `actor`, whose first turn calls its `on_start`.

        Raises:
            LaneClosed: The lane runs nothing any more.
        """
        self.actor = actor
        self.lane.submit(self)

    def put(self, envelope: Envelope[Any], /) -> None:
        """Queue a message; the future of an ask is answered in any case.

        Raises:
            MailboxFull: The limit is reached and the class wants to raise.
            pykka.ActorDeadError: The mailbox is closed and nobody waits for an answer.
        """
        reply: LaneFuture[Any] | None = envelope.reply_to  # type: ignore[assignment] # _create_future makes it
        if reply is not None:
            reply.target = self
        with self._lock:
            if self._closed or self._is_full(envelope):
                wakes = False
                refused = True
            else:
                refused = False
                if self._incoming is None:
                    self._incoming = [envelope]
                else:
                    self._incoming.append(envelope)
                wakes = not (self._scheduled or self.suspended)
                if wakes:
                    self._scheduled = True
        if wakes:
            self._submit()
        elif refused:
            self._refuse(envelope)

    def kill(self) -> bool:
        """Stop the actor before its next message, and cancel what its handler awaits."""
        accepted = self._order(Envelope(_ActorStop()))
        if accepted and self.task is not None:
            self.lane.cancel(self)
        return accepted

    def restart(self) -> bool:
        """Put a fresh instance in the actor's place before its next message."""
        return self._order(RESTART)

    def suspend(self) -> bool:
        """Handle no message after the one in flight, until resumed."""
        with self._lock:
            self.suspended = True
            return not self._closed

    def resume(self) -> bool:
        """Go on after `suspend`."""
        with self._lock:
            self.suspended = False
            wakes = not (self._scheduled or self._closed or self._is_idle())
            if wakes:
                self._scheduled = True
            alive = not self._closed
        if wakes:
            self._submit()
        return alive

    @property
    def is_killed(self) -> bool:
        """A kill waits to be taken."""
        return self._urgent is not None and any(order is not RESTART for order in self._urgent)

    @property
    def queue_length(self) -> int:
        """Messages that wait, the one in flight not among them."""
        return len(self._incoming or ()) + len(self._batch or ())

    @property
    def state(self) -> State:
        """What the actor is doing, as good as it can be told from outside."""
        if self._closed:
            return "closed"
        if self.waiting_on is not None:
            return "waiting"
        if self.since:
            return "running"
        if self.suspended:
            return "suspended"
        if not self.started:
            return "starting"
        return "queued" if self._scheduled else "idle"

    def empty(self) -> bool:
        """Tell whether no message waits."""
        return self.queue_length == 0

    def begin(self) -> Turn:
        """Start a turn, which the lane runs inside `context`."""
        self.since = time.monotonic()
        self._left = THROUGHPUT_MESSAGES
        self._until = self.since + SLICE_SECONDS
        if self.actor is None:
            raise RuntimeError(f"{self.address} has a turn without an actor")
        return self.actor._turn()  # noqa: SLF001 - the lanes' side of the actor

    def take(self) -> Envelope[Any] | None:
        """Return the next message of this turn; None ends the turn."""
        if self._urgent is not None:
            with self._lock:
                order = self._urgent.pop(0)
                self._urgent = self._urgent or None
            return order
        if self.suspended:
            return None
        left = self._left - 1
        if left < 0 or (not left & _CLOCK_MASK and time.monotonic() > self._until):
            return None
        self._left = left
        batch = self._batch
        if not batch:
            with self._lock:
                batch, self._incoming = self._incoming, None
                self._batch = batch
            if batch is None:
                return None
            batch.reverse()
        return batch.pop()

    def finish(self) -> None:
        """End a turn; a mailbox that has more to do waits for its next one."""
        self.current = None
        self.since = 0.0
        self.task = None
        with self._lock:
            if not self._batch:
                self._batch = None
            self._scheduled = not (self._closed or self._is_idle())
            again = self._scheduled
        if again:
            self._submit()

    def close(self) -> None:
        """Take nothing any more, let go of the actor, then answer what is left.

        The message in flight is answered, too, if its handler did not: above all the stop itself,
        so that whoever waited for it finds the actor gone.
        """
        with self._lock:
            if self._closed:
                return
            self._closed = True
            left = [*(self._urgent or ()), *reversed(self._batch or ()), *(self._incoming or ())]
            self._urgent = self._batch = self._incoming = None
        if self.current is not None and self._owes_answer(self.current):
            left.insert(0, self.current)
        actor, self.actor, self.current = self.actor, None, None
        if actor is not None and not actor.actor_stopped.is_set():
            # It never came to its own end, for instance because its lane was closed.
            ActorRegistry.unregister(actor.actor_ref)
            actor.actor_stopped.set()
        self.keeper.closed(self.address)
        for envelope in left:
            self._bury(envelope)

    def abandon(self) -> None:
        """End a turn that raised out of the kernel's own code, or out of a hook that may not."""
        _log.exception("The turn of %s failed; its mailbox is closed:", self.address)
        self.close()

    def _submit(self) -> None:
        try:
            self.lane.submit(self)
        except LaneClosed:
            # Nobody will ever give this actor a turn again: those who wait must hear it.
            self.close()

    def _owes_answer(self, envelope: Envelope[Any]) -> bool:
        """Tell whether somebody waits for an answer to a message that is being handled."""
        reply: LaneFuture[Any] | None = envelope.reply_to  # type: ignore[assignment] # as in put
        return reply is not None and not reply.is_done

    def _order(self, order: Envelope[Any]) -> bool:
        """Queue a system message ahead of all others; False if the actor is gone."""
        with self._lock:
            if self._closed:
                return False
            self._urgent = [*(self._urgent or ()), order]
            wakes = not self._scheduled
            self._scheduled = True
        if wakes:
            self._submit()
        return True

    def _is_idle(self) -> bool:
        """Tell, under the lock, whether a turn would find nothing to do."""
        if self._urgent is not None:
            return False
        return self.suspended or (self.started and self._incoming is None and not self._batch)

    def _is_full(self, envelope: Envelope[Any]) -> bool:
        """Tell, under the lock, whether the limit forbids this message."""
        return (
            self.limit is not None
            and self.queue_length >= self.limit
            and not isinstance(envelope.message, _ActorStop)
        )

    def _refuse(self, envelope: Envelope[Any]) -> None:
        """Say no to a message that was not queued."""
        if self._closed:
            if envelope.reply_to is None:
                raise self._dead("not found")
            self._bury(envelope)
            return
        full = MailboxFull(self.address, self.limit or 0)
        if self.actor_class.mailbox_overflow == "raise":
            raise full
        self._drop(envelope, "full", full)

    def _bury(self, envelope: Envelope[Any]) -> None:
        """Answer a message that its actor did not live to handle."""
        if envelope is RESTART:
            return
        if isinstance(envelope.message, _ActorStop):
            # What was wanted has come about.
            if envelope.reply_to is not None:
                envelope.reply_to.set(None)
            return
        self._drop(envelope, "stopped", self._dead("stopped before handling the message"))

    def _drop(self, envelope: Envelope[Any], reason: Reason, error: Exception) -> None:
        """Tell the asker, or else the dead letters."""
        if envelope.reply_to is not None:
            envelope.reply_to.set_exception((type(error), error, None))
        else:
            self.keeper.dead_letters.add(self.address, envelope.message, reason)

    def _dead(self, what: str) -> ActorDeadError:
        return ActorDeadError(f"{self.actor_class.__name__} ({self.address}) {what}")
