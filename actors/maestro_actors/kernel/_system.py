"""A system: actors with addresses, supervised, on one lane and one clock."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

import pykka
from pykka.messages import _ActorStop

from maestro_actors.kernel._actor import LaneActor
from maestro_actors.kernel._dead_letters import DeadLetters
from maestro_actors.kernel._directory import Directory
from maestro_actors.kernel._dump import ActorDump, dump
from maestro_actors.kernel._future import LaneFuture
from maestro_actors.kernel._mailbox import Mailbox
from maestro_actors.kernel._seat import Seat
from maestro_actors.kernel._timers import Timers
from maestro_actors.kernel.errors import MailboxFull

if TYPE_CHECKING:
    from collections.abc import Callable

    from maestro_actors.kernel._clock import Clock
    from maestro_actors.kernel._lane import Lane
    from maestro_actors.kernel._restart import Restart

_log: Final = logging.getLogger(__name__)

ActorT = TypeVar("ActorT", bound=LaneActor)

Order = Literal["kill", "suspend", "resume", "restart"]
"""System messages: they overtake all other messages."""


class ActorSystem:
    """Spawns actors at addresses and carries messages to them. Any thread.

    Its actors are not in Pykka's `ActorRegistry`, which is a list, but in a directory of its own.
    """

    def __init__(
        self,
        lane: Lane,
        clock: Clock,
        *,
        on_escalation: Callable[[str, BaseException], None] | None = None,
    ) -> None:
        """Make an empty system.

        Args:
            lane: Where actors run whose class names no lane.
            clock: Drives the timers and the intensity of restarts.
            on_escalation: Called with address and error after an actor without supervision, or
                one whose supervision says so, has failed and is gone, or after any has raised a
                `BaseException`. On the actor's lane; it must not block. None: the failure is only
                logged.
        """
        self.clock = clock
        self.dead_letters = DeadLetters()
        self.timers = Timers(clock, self.deliver)
        self.lane: Final = lane
        """Where actors run whose class names no other."""
        self._on_escalation = on_escalation
        self._directory = Directory()

    def spawn(
        self,
        actor_class: type[ActorT],
        *args: Any,
        address: str,
        supervision: Restart | None = None,
        lane: Lane | None = None,
        **kwargs: Any,
    ) -> pykka.ActorRef[ActorT]:
        """Start an actor at `address`.

        Its constructor runs in the calling thread, its `on_start` on its lane. Messages that are
        delivered in between wait.

        Args:
            actor_class: What to start.
            args: For the constructor, and again for that of each restart.
            address: Becomes the actor's URN. A message is sent here, whoever lives here.
            supervision: What becomes of it when a handler raises. None: it stops and
                `on_escalation` is called.
            lane: Where it runs. None: where its class says, else on that of the system.
            kwargs: For the constructor, as `args`.

        Raises:
            AddressTaken: Somebody lives at `address`.
            LaneClosed: The lane runs nothing any more.
            Exception: What the constructor raises; then nobody lives at `address`.
        """
        seat = Seat(self, supervision, args, kwargs)
        mailbox = Mailbox(lane or actor_class.lane or self.lane, address, actor_class, seat)
        self._directory.add(mailbox)
        try:
            actor = actor_class._create(mailbox, args, kwargs)  # noqa: SLF001 - of this package
            mailbox.start(actor)
        except BaseException:
            mailbox.close()
            raise
        return actor.actor_ref

    def deliver(self, address: str, message: object) -> None:
        """Put `message` into the mailbox at `address`; never blocks, never raises.

        What cannot be queued becomes a dead letter.
        """
        mailbox = self._directory.get(address)
        if mailbox is None:
            self.dead_letters.add(address, message, "unknown")
            return
        try:
            mailbox.post(message)
        except pykka.ActorDeadError:
            self.dead_letters.add(address, message, "stopped")
        except MailboxFull:
            self.dead_letters.add(address, message, "full")

    def ref(self, address: str) -> pykka.ActorRef[Any] | None:
        """Return the ref of the actor at `address`."""
        mailbox = self._directory.get(address)
        actor = None if mailbox is None else mailbox.actor
        return None if actor is None else actor.actor_ref

    def stop(self, address: str) -> LaneFuture[None]:
        """Ask the actor at `address` to stop after the messages it has; does not wait.

        Returns:
            A future that is done when the actor is gone: its mailbox closed, its entry removed,
            its watchers told. Done at once if nobody lives there.
        """
        gone: LaneFuture[None] = LaneFuture()
        mailbox = self._directory.get(address)
        if mailbox is None:
            gone.set(None)
        else:
            mailbox.post(_ActorStop(), gone)
        return gone

    def stop_all(self, *, timeout_seconds: float | None = None) -> None:
        """Stop all actors, last spawned first, each after the messages it has; wait for each.

        Call it from outside the lanes. Those spawned meanwhile are stopped, too. A suspended actor
        would never come to its stop and is killed.

        Args:
            timeout_seconds: For all of them together; None waits for ever.

        Raises:
            pykka.Timeout: Actors were still there after `timeout_seconds`; they go on to stop.
        """
        self._end_all().get(timeout=timeout_seconds)

    def control(self, address: str, order: Order) -> bool:
        """Send the actor at `address` a system message; False if nobody lives there.

        They take effect before the next message: `kill` stops the actor, cancelling what an async
        handler awaits, and leaves its queue unhandled; `suspend` makes the messages wait until
        `resume`; `restart` puts a fresh instance in its place, queue and ref kept. A suspended
        actor can be killed and restarted.
        """
        mailbox = self._directory.get(address)
        if mailbox is None:
            return False
        match order:
            case "kill":
                return mailbox.kill()
            case "suspend":
                return mailbox.suspend()
            case "resume":
                return mailbox.resume()
            case "restart":
                return mailbox.restart()

    def watch(self, address: str, watcher_address: str, message: object) -> None:
        """Deliver `message` to `watcher_address` when the actor at `address` terminates.

        At once if nobody lives at `address`. A restart in place is no termination. Nothing is
        delivered if the watcher terminates first, or if the actor ends unheard.
        """
        if not self._directory.watch(address, watcher_address, message):
            self.deliver(watcher_address, message)

    @property
    def queue_length(self) -> int:
        """Actors that wait for a turn on the lane of this system."""
        return self.lane.queue_length

    def dump_actors(self) -> list[ActorDump]:
        """Return what each actor is doing, first spawned first: a glance, not a snapshot."""
        now = time.monotonic()
        return [dump(mailbox, now) for mailbox in self._directory.all()]

    def _remove(self, address: str) -> None:
        """Forget an actor and tell its watchers."""
        for watcher, message in self._directory.remove(address):
            self.deliver(watcher, message)

    def _escalate(self, address: str, error: BaseException) -> None:
        """Report an actor that failed and is gone."""
        if self._on_escalation is not None:
            try:
                self._on_escalation(address, error)
            except Exception:  # noqa: BLE001 - an observer's
                # The actor is gone already; those that wait for its end must still hear of it.
                _log.exception("Unhandled exception in on_escalation for %s:", address)

    def _end_all(self) -> LaneFuture[None]:
        """Stop one actor after the other, last spawned first; the future is done when all are gone.

        Each one's end stops the next, where it happens: no thread has to wait in between.
        """
        all_gone: LaneFuture[None] = LaneFuture()

        def go_on(_: object) -> None:
            while (mailbox := self._directory.newest()) is not None:
                gone = self._end(mailbox)
                if not gone.is_done:
                    gone.add_done_callback(go_on)
                    return
            all_gone.set(None)

        go_on(None)
        return all_gone

    def _end(self, mailbox: Mailbox) -> LaneFuture[None]:
        """Stop one actor even if it is suspended."""
        gone = self.stop(mailbox.address)
        if mailbox.suspended:
            mailbox.kill()
        return gone
