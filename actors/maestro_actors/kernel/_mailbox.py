"""A mailbox: the queue of one actor, and what a lane has to know about it."""

from __future__ import annotations

import contextvars
import logging
import threading
import time
from typing import TYPE_CHECKING, Any, Final, Literal

from pykka import ActorDeadError, ActorRegistry
from pykka.messages import _ActorStop

from maestro_actors.kernel._lane import SLICE_SECONDS, THROUGHPUT_MESSAGES
from maestro_actors.kernel.errors import LaneClosed, MailboxFull

if TYPE_CHECKING:
    import asyncio

    from pykka._envelope import Envelope

    from maestro_actors.kernel._actor import LaneActor
    from maestro_actors.kernel._dead_letters import Reason
    from maestro_actors.kernel._future import LaneFuture
    from maestro_actors.kernel._keeper import Keeper
    from maestro_actors.kernel._lane import Lane

_log: Final = logging.getLogger(__name__)

State = Literal["starting", "idle", "queued", "running", "waiting", "suspended", "closed"]

Letter = tuple[Any, "LaneFuture[Any] | None"]
"""A message and who waits for its answer. A tuple, as it takes a fifth of the time that Pykka's
envelope takes."""

RESTART: Final[Letter] = ((object(),), None)
"""A system message, known by its identity."""

CLOCK_MASK: Final = 7
"""The time is looked at before every 8th message: it costs as much as queueing one."""

_NOWHERE: Final = contextvars.Context()
"""The context of an actor that is gone; nothing runs in it."""


class Mailbox:
    """The queue of one actor.

    Any thread may put messages and system messages. Everything that belongs to a turn - `begin`,
    `take`, `finish`, `close` - is called by the one lane thread that has the turn.

    A message takes no lock, which would cost as much as all the rest of its way. A sender first
    queues it and then looks whether the mailbox rests; a turn that ends first says that it rests
    and then looks for messages. So at least one of them sees the other, and `_wake`, under the
    lock, lets one of them submit. This leans on the GIL: appending to a list, copying it and
    cutting off its head are atomic, and no thread sees two stores of another in reverse.
    """

    __slots__ = (
        "__weakref__",
        "_closed",
        "_incoming",
        "_lock",
        "_resting",
        "_urgent",
        "actor",
        "actor_class",
        "address",
        "batch",
        "context",
        "current",
        "halted",
        "keeper",
        "lane",
        "limit",
        "since",
        "started",
        "suspended",
        "task",
        "waiting_on",
        "watchers",
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
        self.current: Letter | None = None
        self.since = 0.0
        """Start of the turn in flight on the monotonic clock, else 0."""
        self.started = False
        """The instance has had its `on_start`, or is having it."""
        self.suspended = False
        self.task: asyncio.Task[None] | None = None
        self.waiting_on: Mailbox | None = None
        self.watchers: tuple[tuple[Mailbox, object], ...] = ()
        """Who is to be sent which message at the end; kept by the directory, and dropped by an
        actor that ends unheard."""
        self._lock = threading.Lock()
        self._incoming: list[Letter] = []
        """Never replaced, as a sender may be about to append to it; 56 bytes while empty."""
        self.batch: list[Letter] | None = None
        """What a turn took from `_incoming`, newest first: the end of a list is cheap to pop. Only
        the turn does; a list as long as there is one."""
        self._urgent: list[Letter] | None = None
        self.halted = False
        """Suspended, or an urgent order waits: what a turn has to look at before each message."""
        self._resting = False
        """Neither waits for a turn nor has one, or is closed and forgotten: who queues something
        has to call `_wake`. False before the start, so that nobody else submits it."""
        self._closed = False
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
        """Queue what is in an envelope of Pykka's, see `post`."""
        self.post(envelope.message, envelope.reply_to)  # type: ignore[arg-type] # _create_future makes it

    def post(self, message: object, reply: LaneFuture[Any] | None = None) -> None:
        """Queue a message; the future of an ask is answered in any case.

        Raises:
            MailboxFull: The limit is reached and the class wants to raise.
            pykka.ActorDeadError: The mailbox is closed and nobody waits for an answer.
        """
        if reply is not None:
            reply.target = self
        letter = (message, reply)
        if self.limit is None:
            self._incoming.append(letter)
        elif not self._admit(letter, self.limit):
            return
        if self._resting:
            self._wake(letter)

    def kill(self) -> bool:
        """Stop the actor before its next message, and cancel what its handler awaits."""
        accepted = self._order((_ActorStop(), None))
        if accepted and self.task is not None:
            self.lane.cancel(self)
        return accepted

    def restart(self) -> bool:
        """Put a fresh instance in the actor's place before its next message."""
        return self._order(RESTART)

    def suspend(self) -> bool:
        """Handle no message after the one in flight, until resumed."""
        with self._lock:
            self.suspended = self.halted = True
            return not self._closed

    def resume(self) -> bool:
        """Go on after `suspend`."""
        with self._lock:
            self.suspended = False
            self.halted = self._urgent is not None
            alive = not self._closed
        if self._resting:
            self._wake()
        return alive

    @property
    def is_killed(self) -> bool:
        """A kill waits to be taken."""
        return self._urgent is not None and any(order is not RESTART for order in self._urgent)

    @property
    def queue_length(self) -> int:
        """Messages that wait, the one in flight not among them."""
        return len(self._incoming) + len(self.batch or ())

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
        return "idle" if self._resting else "queued"

    def empty(self) -> bool:
        """Tell whether no message waits."""
        return self.queue_length == 0

    def begin(self, now: float) -> LaneActor:
        """Start a turn, at `now` on the monotonic clock; return the actor whose turn it is.

        The lane calls its `_turn` inside `context`. It is over with what has come until now, at
        most `THROUGHPUT_MESSAGES`: who comes meanwhile waits behind the others of the lane.
        """
        self.since = now
        if self.actor is None:
            raise RuntimeError(f"{self.address} has a turn without an actor")
        if not self.batch:
            if self.limit is None:
                self._refill()
            else:
                # A sender counts both lists.
                with self._lock:
                    self._refill()
        return self.actor

    def take(self) -> Letter | None:
        """Return the next message of this turn; None ends the turn.

        While it is not `halted`, whoever has the turn may pop `batch` himself, and come here when
        as many are left as `CLOCK_MASK` lets through.
        """
        if self.halted:
            return self._take_order()
        if not self.batch or time.monotonic() > self.since + SLICE_SECONDS:
            return None
        return self.batch.pop()

    def finish(self) -> None:
        """End a turn; a mailbox that has more to do waits for its next one."""
        self.current = None
        self.since = 0.0
        self.task = None
        if not self.batch:
            self.batch = None
        # From here on, another thread may give the next turn.
        self._resting = True
        if self._has_work():
            self._wake()

    def close(self) -> None:
        """Take nothing any more, free the address, let go of the actor, then answer what is left.

        The message in flight is answered, too, if its handler did not: above all the stop itself,
        so that whoever waited for it finds the actor gone.
        """
        with self._lock:
            if self._closed:
                return
            self._closed = True
            # Until the address is free: who asks for the end meanwhile waits for that, too.
            self._resting = False
            left = [*(self._urgent or ()), *reversed(self.batch or ())]
            self._urgent = self.batch = None
        if self.current is not None and self._owes_answer(self.current):
            left.insert(0, self.current)
        actor, self.current = self.actor, None
        # What a handler has bound may lead back to the actor, which leads here: without the circle
        # it is gone at once, and not when the garbage collector comes by.
        self.context = _NOWHERE
        if actor is not None and not actor.actor_stopped.is_set():
            # It never came to its own end, for instance because its lane was closed.
            ActorRegistry.unregister(actor.actor_ref)
            actor.actor_stopped.set()
        self.keeper.closed(self.address)
        # Only now: who finds nobody at an address may take it.
        self.actor = None
        with self._lock:
            self._resting = True
            left += self._late()
        for letter in left:
            self._bury(letter)

    def abandon(self) -> None:
        """End a turn that raised out of the kernel's own code, or out of a hook that may not."""
        _log.exception("The turn of %s failed; its mailbox is closed:", self.address)
        self.close()

    def _wake(self, letter: Letter | None = None) -> None:
        """Submit a mailbox that rests but has work; if it is closed, answer `letter` instead."""
        with self._lock:
            if not self._resting or not (self._closed or self._has_work()):
                return
            late = self._late() if self._closed else None
            self._resting = self._closed
        if late is not None:
            self._turn_away(late, letter)
            return
        try:
            self.lane.submit(self)
        except LaneClosed:
            # Nobody will ever give this actor a turn again: those who wait must hear it.
            self.close()

    def _turn_away(self, late: list[Letter], letter: Letter | None) -> None:
        """Answer what has come too late; `letter` is the one whose sender is here."""
        for each in late:
            if each is not letter:
                self._bury(each)
        if letter is not None and any(each is letter for each in late):
            self._refuse(letter)

    def _late(self) -> list[Letter]:
        """Take, under the lock, what senders have queued so far; they may go on meanwhile."""
        late = self._incoming[:]
        del self._incoming[: len(late)]
        return late

    def _refill(self) -> None:
        """Begin another batch of what has come in."""
        batch = self._incoming[:THROUGHPUT_MESSAGES]
        self.batch = batch
        del self._incoming[: len(batch)]
        batch.reverse()

    def _take_order(self) -> Letter | None:
        """Return the first urgent order; None if there is none, but a suspension."""
        with self._lock:
            if self._urgent is None:
                return None
            order = self._urgent.pop(0)
            self._urgent = self._urgent or None
            self.halted = self.suspended or self._urgent is not None
            return order

    def _owes_answer(self, letter: Letter) -> bool:
        """Tell whether somebody waits for an answer to a message that is being handled."""
        reply = letter[1]
        return reply is not None and not reply.is_done

    def _order(self, order: Letter) -> bool:
        """Queue a system message ahead of all others; False if the actor is gone."""
        with self._lock:
            if self._closed:
                return False
            self._urgent = [*(self._urgent or ()), order]
            self.halted = True
        if self._resting:
            self._wake()
        return True

    def _has_work(self) -> bool:
        """Tell whether a turn would find something to do."""
        if self.halted:
            return self._urgent is not None
        return bool(self._incoming or self.batch or not self.started)

    def _admit(self, letter: Letter, limit: int) -> bool:
        """Queue a message unless the limit forbids it; False if it was dropped."""
        with self._lock:
            if self.queue_length < limit or self._closed or isinstance(letter[0], _ActorStop):
                self._incoming.append(letter)
                return True
        full = MailboxFull(self.address, limit)
        if self.actor_class.mailbox_overflow == "raise":
            raise full
        self._drop(letter, "full", full)
        return False

    def _refuse(self, letter: Letter) -> None:
        """Say to its sender that the actor is gone."""
        if letter[1] is None:
            raise self._dead("not found")
        self._bury(letter)

    def _bury(self, letter: Letter) -> None:
        """Answer a message that its actor did not live to handle."""
        if letter is RESTART:
            return
        message, reply = letter
        if isinstance(message, _ActorStop):
            # What was wanted has come about.
            if reply is not None:
                reply.set(None)
            return
        self._drop(letter, "stopped", self._dead("stopped before handling the message"))

    def _drop(self, letter: Letter, reason: Reason, error: Exception) -> None:
        """Tell the asker, or else the dead letters."""
        message, reply = letter
        if reply is not None:
            reply.set_exception((type(error), error, None))
        else:
            self.keeper.dead_letters.add(self.address, message, reason)

    def _dead(self, what: str) -> ActorDeadError:
        return ActorDeadError(f"{self.actor_class.__name__} ({self.address}) {what}")
