"""What a mailbox, its actor and whoever keeps the actor have to agree on."""

from __future__ import annotations

from collections.abc import Coroutine, Generator
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from maestro_actors.kernel._actor import LaneActor
    from maestro_actors.kernel._dead_letters import DeadLetters

Awaited = Coroutine[Any, Any, Any]
"""What calling an `async def` handler returns."""

Turn = Generator[Awaited, Any, None]
"""The rest of a turn; yields what async handlers want awaited and is sent the results."""

Aside = Generator[Awaited, Any, bool]
"""What a turn cannot do by a plain call; returns True if another instance goes on."""


class Keeper(Protocol):
    """Who answers for an actor: one per spawned actor, one for all that were started alone."""

    @property
    def dead_letters(self) -> DeadLetters:
        """Where its lost messages are recorded."""

    @property
    def restarts(self) -> int:
        """How often the actor was renewed."""

    def failed(self, error: BaseException) -> float | None:
        """Decide on a failure: None stops the actor, a number restarts it in as many seconds."""

    def renew(self, actor: LaneActor, pause_seconds: float) -> None:
        """Put a fresh instance in the place of `actor`."""

    def collapsed(self, error: BaseException) -> None:
        """Stop everybody: the actor raised something that is not an `Exception`."""

    def closed(self, address: str) -> None:
        """Forget the actor: its mailbox takes nothing any more."""
