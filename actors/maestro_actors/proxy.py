"""Typed access to an actor: the one way other code sends it messages.

A proxy builds the message and hands it to a channel: a request encoded, since it may travel, any
other as it is. The channel of this module leads to the actors of this process; one that leads
through a socket carries the requests of the same proxies elsewhere.
"""

from collections.abc import Callable
from typing import Concatenate, Final, ParamSpec, Protocol, TypeVar

import msgspec
import pykka

from maestro_actors.errors import MessageTooLarge
from maestro_actors.kernel import ActorSystem
from maestro_actors.messages import MESSAGE_BYTES_MAX, Message, Request, encode, reply_of

ReplyT = TypeVar("ReplyT", bound=msgspec.Struct)
P = ParamSpec("P")


class Channel(Protocol):
    """Carries messages to an address."""

    def tell(self, address: str, message: Message) -> None:
        """Send without an answer; a message to nobody becomes a dead letter."""

    def ask(self, address: str, message: bytes) -> pykka.Future[bytes]:
        """Send and return the future of the encoded reply."""


class LocalChannel:
    """The channel to the actors of this process."""

    __slots__ = ("_system", "tell")

    def __init__(self, system: ActorSystem) -> None:
        self._system = system
        # Not a method around it: this is the way of each message.
        self.tell: Final[Callable[[str, Message], None]] = system.deliver
        """Put the message itself into the mailbox at an address."""

    def ask(self, address: str, message: bytes) -> pykka.Future[bytes]:
        """Put the message into the mailbox; the future may be awaited or waited for.

        Raises:
            pykka.ActorDeadError: Nobody lives at `address`.
        """
        ref = self._system.ref(address)
        if ref is None:
            raise pykka.ActorDeadError(f"no actor at {address}")
        return ref.ask(message, block=False)


def encoded(message: Message) -> bytes:
    """Return the bytes of a message.

    Raises:
        MessageTooLarge: It has more than `MESSAGE_BYTES_MAX` bytes.
    """
    data = encode(message)
    if len(data) > MESSAGE_BYTES_MAX:
        raise MessageTooLarge(type(message).__name__, len(data), MESSAGE_BYTES_MAX)
    return data


class Proxy:
    """Base of the typed proxies: an address and the channel to it."""

    __slots__ = ("_channel", "address")

    def __init__(self, channel: Channel, address: str) -> None:
        self._channel = channel
        self.address = address

    def ask(self, message: bytes) -> pykka.Future[bytes]:
        """Send an encoded request and return the future of its encoded reply."""
        return self._channel.ask(self.address, message)

    def _tell(self, message: Message) -> None:
        self._channel.tell(self.address, message)

    def _ask(self, message: Message, reply: type[ReplyT]) -> pykka.Future[ReplyT]:
        decode = msgspec.msgpack.Decoder(reply).decode
        return self._channel.ask(self.address, encoded(message)).map(decode)


def asks(
    request: Callable[P, Request[ReplyT]],
) -> Callable[Concatenate[Proxy, P], pykka.Future[ReplyT]]:
    """Return the method of a proxy that sends a request made of its arguments.

    The message is the one definition: of the arguments, of the reply, and of what it means.
    """
    kind: type[Request[ReplyT]] = request  # type: ignore[assignment] # a class, seen as its call
    decode = msgspec.msgpack.Decoder(reply_of(kind)).decode

    def ask(proxy: Proxy, /, *args: P.args, **fields: P.kwargs) -> pykka.Future[ReplyT]:
        return proxy.ask(encoded(request(*args, **fields))).map(decode)

    ask.__name__, ask.__doc__ = kind.__name__, kind.__doc__
    return ask
