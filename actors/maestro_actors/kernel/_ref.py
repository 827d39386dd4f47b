"""The ref of an actor on a lane."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import pykka

if TYPE_CHECKING:
    from maestro_actors.kernel._actor import LaneActor
    from maestro_actors.kernel._mailbox import Mailbox

A = TypeVar("A", bound="LaneActor")


class LaneRef(pykka.ActorRef[A]):
    """A `pykka.ActorRef` whose `tell` goes straight to the mailbox, at a third of the cost."""

    actor_inbox: Mailbox  # type: ignore[assignment] # as in LaneActor

    def tell(self, message: Any) -> None:
        """As `pykka.ActorRef.tell`; raises `MailboxFull` where the actor's class wants it."""
        if self.actor_stopped.stopped:  # type: ignore[attr-defined] # it is a StopFlag
            raise pykka.ActorDeadError(f"{self} not found")
        self.actor_inbox.post(message)
