"""An actor whose inbox takes one union of messages."""

from typing import Any, ClassVar

import msgspec

from maestro_actors.kernel import LaneActor, Later
from maestro_actors.messages import Message, encode


class MessageActor(LaneActor):
    """Hands what arrives to `handle`, decoded if it is encoded, and encodes what that answers."""

    mailbox_limit: ClassVar[int | None] = None
    """None: a refused message would be a lost one. Slots bound how much can be under way."""

    INBOX: ClassVar[msgspec.msgpack.Decoder[Any]]
    """Decoder of the union of messages this actor takes; set by each subclass."""

    @property
    def restarts(self) -> int:
        """How often an instance before this one has failed at the same address."""
        return self.actor_inbox.keeper.restarts

    def on_receive(self, message: Message | bytes) -> bytes | Later | None:
        """Handle one message, which may be encoded; the reply, if any, always is."""
        if isinstance(message, bytes):
            message = self.INBOX.decode(message)
        reply = self.handle(message)
        if reply is None or isinstance(reply, Later):
            return reply
        return encode(reply)

    def end(self, *, unheard: bool = False) -> None:
        """Stop after the message in hand; what still waits becomes dead letters.

        If it is `unheard`, nobody who watches is told: those who care hear of it in another way.
        """
        if unheard:
            self.actor_inbox.watchers = ()
        self._stop()

    def handle(self, message: Any) -> msgspec.Struct | Later | None:
        """Change state, send messages, append transitions; never wait."""
        raise NotImplementedError
