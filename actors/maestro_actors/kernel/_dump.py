"""What actors are doing, for people who look for the one that is stuck."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from maestro_actors.kernel._mailbox import State

if TYPE_CHECKING:
    from maestro_actors.kernel._mailbox import Mailbox


class ActorDump(msgspec.Struct, frozen=True, kw_only=True):
    """What one actor was doing at one moment."""

    address: str
    class_name: str
    state: State
    queue_length: int
    """Messages that wait, the one in flight not among them."""
    waiting_on: str | None
    """Address of the actor whose answer it waits for."""
    message_type: str | None
    """Type of the message in flight."""
    restarts: int
    """Since it was spawned."""
    turn_age_seconds: float
    """How long the turn in flight has lasted, 0.0 if there is none."""


def dump(mailbox: Mailbox, now: float) -> ActorDump:
    """Return what `mailbox` shows at the monotonic instant `now`."""
    # The lane goes on meanwhile: everything that can turn to None is read once.
    current, since, waiting_on = mailbox.current, mailbox.since, mailbox.waiting_on
    return ActorDump(
        address=mailbox.address,
        class_name=mailbox.actor_class.__name__,
        state=mailbox.state,
        queue_length=mailbox.queue_length,
        waiting_on=None if waiting_on is None else waiting_on.address,
        message_type=None if current is None else type(current[0]).__name__,
        restarts=mailbox.keeper.restarts,
        turn_age_seconds=now - since if since else 0.0,
    )
