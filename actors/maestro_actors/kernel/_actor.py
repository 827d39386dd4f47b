"""An actor that runs on a lane instead of a thread of its own."""

from __future__ import annotations

import asyncio
import logging
import sys
import uuid
import weakref
from types import CoroutineType
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

import pykka

from maestro_actors.kernel._dead_letters import DeadLetters
from maestro_actors.kernel._future import LaneFuture
from maestro_actors.kernel._later import Later
from maestro_actors.kernel._mailbox import CLOCK_MASK, RESTART, Mailbox
from maestro_actors.kernel._ref import LaneRef
from maestro_actors.kernel._stop_flag import StopFlag
from maestro_actors.kernel._thread_lane import default_lane
from maestro_actors.kernel.errors import HandlerCancelled, LaneClosed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Self

    from maestro_actors.kernel._keeper import Aside, Awaited, Turn
    from maestro_actors.kernel._lane import Lane
    from maestro_actors.kernel._mailbox import Letter

_log: Final = logging.getLogger(__name__)
_pykka_log: Final = logging.getLogger("pykka")

Overflow = Literal["raise", "drop"]


class LaneActor(pykka.Actor):
    """A Pykka actor without a thread of its own: some 1 KB while idle.

    Everything Pykka says about an actor holds: one message at a time, in the order of each sender;
    `on_start`, `on_receive`, `on_stop` and `on_failure` in the actor's own (virtual) thread; an
    exception of an ask goes to the asker, one of a tell stops the actor, unless an `ActorSystem`
    supervises it. On an `AsyncLane` each of the four may be `async def`. Context variables belong
    to the actor: what a handler sets is there for the next one and for nobody else.

    Two differences: a stop is answered when the actor is gone, not just when it has been stopped;
    and a `BaseException` stops all actors without waiting for them, since that would block a lane.
    """

    lane: ClassVar[Lane | None] = None
    """Where actors of this class run. None: on the lane of the system that spawns them, or on a
    common lane with one thread for those started alone."""

    mailbox_limit: ClassVar[int | None] = None
    """Most messages that may wait; None for no limit. Stops and system messages never count,
    replies neither: they do not travel through a mailbox."""

    mailbox_overflow: ClassVar[Overflow] = "raise"
    """What becomes of a message beyond the limit: `MailboxFull` to its sender, or a dead letter
    (and `MailboxFull` as the answer, if it is an ask)."""

    actor_inbox: Mailbox  # type: ignore[assignment] # lanes take from it, so get() is not offered
    actor_stopped: StopFlag  # type: ignore[assignment] # as good as an event, and a tenth of it

    def __init__(self, *_args: Any, **_kwargs: Any) -> None:
        # `_create` has set the identity before the constructor runs, except for plain `start`.
        # Whoever looks into `__dict__` makes one: attributes are slower from then on.
        if not hasattr(self, "actor_inbox"):
            self._identify(self._create_actor_inbox())

    @classmethod
    def _create(cls, mailbox: Mailbox, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Self:
        """Make an instance that lives in `mailbox`; a second one there takes over from the first.

        The identity is set before the constructor runs, as it uses address and ref.
        """
        actor = cls.__new__(cls, *args, **kwargs)
        actor._identify(mailbox)  # noqa: SLF001 - our class
        cls.__init__(actor, *args, **kwargs)
        if mailbox.actor is not None:
            # Only now: a constructor that raised has not replaced anything.
            actor._actor_ref._actor_weakref = weakref.ref(actor)  # noqa: SLF001 - the ref stays
        return actor

    def _identify(self, mailbox: Mailbox) -> None:
        """Set the four attributes that Pykka's constructor would."""
        self.actor_urn = mailbox.address
        self.actor_inbox = mailbox
        if mailbox.actor is None:
            self.actor_stopped = StopFlag()
            self._actor_ref = LaneRef(self)
        else:
            self.actor_stopped = mailbox.actor.actor_stopped
            self._actor_ref = mailbox.actor.actor_ref

    @classmethod
    def _create_actor_inbox(cls) -> Mailbox:  # type: ignore[override] # Pykka calls it on self
        return Mailbox(cls.lane or default_lane(), uuid.uuid4().urn, cls, _ALONE)

    @staticmethod
    def _create_future() -> LaneFuture[Any]:
        return LaneFuture()

    def _start_actor_loop(self) -> None:
        try:
            self.actor_inbox.start(self)
        except LaneClosed:
            self.actor_inbox.close()
            raise

    def _turn(self) -> Turn | None:
        """Handle what waits, as far as the mailbox allows in one turn.

        Returns:
            The rest of the turn, if something may have to be awaited. Most turns come to their
            end without: they are spared the generator.
        """
        aside = self._handle() if self.actor_inbox.started else self._set_up()
        return None if aside is None else self._go_on(aside)

    def _go_on(self, aside: Aside | None) -> Turn:
        while aside is not None:
            if (yield from aside):
                self._close_if_stopped()
                return
            aside = self._handle()

    def _handle(self) -> Aside | None:
        """Handle messages until the turn ends, or until one of them needs more than a call."""
        mailbox = self.actor_inbox
        stopped = self.actor_stopped
        batch = mailbox.batch or []
        while not stopped.stopped:
            if len(batch) & CLOCK_MASK and not mailbox.halted:
                # Most often: the mailbox has nothing more to look at.
                letter = batch.pop()
            elif (taken := mailbox.take()) is None:
                return None
            else:
                letter = taken
            mailbox.current = letter
            message, reply = letter
            try:
                # All that Pykka means by a message of its own is a tuple, and so is a restart.
                if not isinstance(message, tuple):
                    response = self.on_receive(message)
                elif letter is RESTART:
                    return self._give_way()
                else:
                    response = self._handle_receive(message)
            except BaseException as error:  # noqa: BLE001 - every kind has its own consequence
                return self._recover(letter, error)
            if response is not None and type(response) is CoroutineType:
                return self._await(letter, response)
            # A stop is answered by close(), when there is nothing left of the actor.
            if reply is not None and not stopped.stopped:
                if type(response) is Later:
                    response.answer(reply)
                else:
                    reply.set(response)
        mailbox.close()
        return None

    def _close_if_stopped(self) -> None:
        if self.actor_stopped.is_set():
            self.actor_inbox.close()

    def _await(self, letter: Letter, coroutine: Awaited) -> Aside:
        """Have an async handler awaited and answer with its result."""
        try:
            response = yield coroutine
        except BaseException as error:  # noqa: BLE001 - every kind has its own consequence
            return (yield from self._recover(letter, error))
        if letter[1] is not None and not self.actor_stopped.is_set():
            letter[1].set(response)
        return False

    def _set_up(self) -> Aside | None:
        """Call `on_start`, unless suspended, and go on with what waits."""
        mailbox = self.actor_inbox
        if not mailbox.suspended:
            mailbox.started = True
            try:
                beginning: object = self.on_start()  # type: ignore[func-returns-value] # async def does
            except BaseException as error:  # noqa: BLE001 - every kind has its own consequence
                return self._recover(None, error)
            if isinstance(beginning, CoroutineType):
                return self._await_start(beginning)
        return self._handle()

    def _await_start(self, beginning: Awaited) -> Aside:
        """Have an async `on_start` awaited."""
        try:
            yield beginning
        except BaseException as error:  # noqa: BLE001 - every kind has its own consequence
            return (yield from self._recover(None, error))
        return False

    def _failed(self, letter: Letter | None, error: Exception) -> Aside:
        """Deal with a failure in `letter`, or in `on_start`."""
        exc_info = (type(error), error, error.__traceback__)
        mailbox = self.actor_inbox
        if letter is not None and letter[1] is not None:
            _log.info("Exception returned from %s to caller:", self, exc_info=exc_info)
            letter[1].set_exception(exc_info)
            return False
        pause_seconds = mailbox.keeper.failed(error)
        if pause_seconds is None:
            self._handle_failure(*exc_info)
        else:
            _log.error("Unhandled exception in %s, which restarts:", self, exc_info=exc_info)
        if letter is not None:
            mailbox.keeper.dead_letters.add(mailbox.address, letter[0], "failed")
            yield from self._say_farewell(error)
        if self.actor_stopped.is_set() or pause_seconds is None:
            return False
        mailbox.keeper.renew(self, pause_seconds)
        return True

    def _say_farewell(self, error: Exception) -> Turn:
        """Call `on_failure`."""
        exc_info = (type(error), error, error.__traceback__)
        try:
            raise error  # noqa: TRY301 - the hook may ask for the exception being handled
        except Exception:  # noqa: BLE001 - handled already; its hook is called
            try:
                farewell: object = self.on_failure(*exc_info)  # type: ignore[func-returns-value] # async def does
                if isinstance(farewell, CoroutineType):
                    yield farewell
            except Exception:  # noqa: BLE001 - logged, and stops the actor, as in Pykka
                self._handle_failure(*sys.exc_info())

    def _recover(self, letter: Letter | None, error: BaseException) -> Aside:
        """Deal with what `on_start` or a handler raised."""
        if isinstance(error, GeneratorExit):
            # The lane is being closed; it answers for the message.
            raise error
        mailbox = self.actor_inbox
        if isinstance(error, asyncio.CancelledError):
            if mailbox.is_killed and (letter is None or letter[1] is None):
                if letter is not None:
                    mailbox.keeper.dead_letters.add(mailbox.address, letter[0], "stopped")
                return False
            # As it is, it would look to an asker that awaits as if he had been cancelled himself.
            error = HandlerCancelled(mailbox.address)
        if isinstance(error, Exception):
            return (yield from self._failed(letter, error))
        yield from self._collapsed(letter, error)
        return False

    def _collapsed(self, letter: Letter | None, error: BaseException) -> Turn:
        """Stop this actor at once and ask all others to stop."""
        _log.debug("%r in %s. Stopping all actors.", error, self)
        ending = self._stop()
        if ending is not None:
            yield ending
        if letter is not None and letter[1] is not None:
            # Pykka leaves the asker waiting for ever.
            letter[1].set_exception((type(error), error, error.__traceback__))
        self.actor_inbox.keeper.collapsed(error)
        pykka.ActorRegistry.stop_all(block=False)

    def _give_way(self) -> Aside:
        """End this instance in good order and let a fresh one take its place."""
        try:
            ending: object = self.on_stop()  # type: ignore[func-returns-value] # async def does
            if isinstance(ending, CoroutineType):
                yield ending
        except Exception:  # noqa: BLE001 - the fresh instance does not depend on it
            _log.exception("Unhandled exception in %s, which restarts:", self)
        self.actor_inbox.keeper.renew(self, 0.0)
        return True

    def _stop(self) -> Awaited | None:  # type: ignore[override] # awaited where on_stop is async
        """Stop as Pykka does; what is returned has to be awaited."""
        if self.actor_inbox.keeper is _ALONE:
            # Those of a system were never registered.
            pykka.ActorRegistry.unregister(self.actor_ref)
        self.actor_stopped.set()
        _pykka_log.debug("Stopped %s", self)
        try:
            ending: object = self.on_stop()  # type: ignore[func-returns-value] # async def does
        except Exception:  # noqa: BLE001 - logged, as in Pykka
            self._handle_failure(*sys.exc_info())
            return None
        return self._end(ending) if isinstance(ending, CoroutineType) else None

    async def _end(self, ending: Awaited) -> None:
        """Await an async `on_stop`; a failure of it must not reach whoever asked to stop."""
        try:
            await ending
        except Exception:  # noqa: BLE001 - logged, as in Pykka
            self._handle_failure(*sys.exc_info())


class _Alone:
    """Keeper of the actors that were started without a system: failure stops them, as in Pykka."""

    def __init__(self) -> None:
        self.dead_letters = DeadLetters()
        self.restarts = 0

    def failed(self, _error: BaseException) -> float | None:
        """Stop it."""
        return None

    def renew(self, actor: LaneActor, _pause_seconds: float) -> None:
        """Refuse: nobody kept the constructor's arguments."""
        raise RuntimeError(f"{actor} was not spawned by a system and cannot restart")

    def collapsed(self, _error: BaseException) -> None:
        """Nobody is left to be told: `ActorRegistry.stop_all` does it."""

    def closed(self, _address: str) -> None:
        """Nothing to forget."""


_ALONE: Final = _Alone()
