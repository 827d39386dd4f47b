"""The seat of a spawned actor: what outlives its instances."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from maestro_actors.kernel._actor import LaneActor
    from maestro_actors.kernel._dead_letters import DeadLetters
    from maestro_actors.kernel._restart import Restart
    from maestro_actors.kernel._system import ActorSystem

_NO_KWARGS: Final[dict[str, Any]] = {}


class Seat:
    """Keeper of one spawned actor: what outlives its instances."""

    __slots__ = ("_args", "_error", "_kwargs", "_stamps", "_supervision", "_system", "restarts")

    def __init__(
        self,
        system: ActorSystem,
        supervision: Restart | None,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        self._system = system
        self._supervision = supervision
        self._args = args
        self._kwargs = kwargs or _NO_KWARGS
        self._stamps: list[float] | None = None
        """When it was restarted; a healthy actor has no list."""
        self._error: BaseException | None = None
        """To be escalated once the actor is gone."""
        self.restarts = 0

    @property
    def dead_letters(self) -> DeadLetters:
        """Those of the system."""
        return self._system.dead_letters

    def failed(self, error: BaseException) -> float | None:
        """See `Keeper.failed`."""
        supervision = self._supervision
        if supervision is None or isinstance(error, supervision.unless):
            self._error = error
            return None
        if self._stamps is None:
            self._stamps = []
        pause_seconds = supervision.pause_seconds(self._stamps, self._system.clock.monotonic())
        if pause_seconds is None and supervision.escalates:
            self._error = error
        return pause_seconds

    def renew(self, actor: LaneActor, pause_seconds: float) -> None:
        """See `Keeper.renew`: the constructor runs now, `on_start` after the pause."""
        mailbox = actor.actor_inbox
        while True:
            try:
                fresh = type(actor)._create(mailbox, self._args, self._kwargs)  # noqa: SLF001 - of this package
                break
            except Exception as error:  # noqa: BLE001 - one more failure of this actor
                again = self.failed(error)
                if again is None:
                    actor._handle_failure(type(error), error, error.__traceback__)  # noqa: SLF001 - of this package
                    return
                pause_seconds = max(pause_seconds, again)
        self.restarts += 1
        mailbox.actor = fresh
        mailbox.started = False
        if pause_seconds > 0:
            mailbox.suspend()
            self._system.timers.call_at(
                ("resume", mailbox.address),
                self._system.clock.now_ms() + round(pause_seconds * 1000),
                mailbox.resume,
            )

    def collapsed(self, error: BaseException) -> None:
        """See `Keeper.collapsed`."""
        self._error = error
        self._system._end_all()  # noqa: SLF001 - of this package

    def closed(self, address: str) -> None:
        """See `Keeper.closed`."""
        self._system._remove(address)  # noqa: SLF001 - of this package
        if self._error is not None:
            self._system._escalate(address, self._error)  # noqa: SLF001 - of this package
