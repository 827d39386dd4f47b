"""What all messages have in common."""

from typing import Final, Generic, TypeVar, get_args

import msgspec

ReplyT = TypeVar("ReplyT", bound=msgspec.Struct)

MESSAGE_BYTES_MAX: Final = 4 << 20
"""Largest encoded message an actor accepts (4 MiB); a bigger one raises MessageTooLarge."""

encode = msgspec.msgpack.Encoder().encode
"""Encode one message or reply; safe to share, it keeps no state between calls."""


class Message(msgspec.Struct, frozen=True, kw_only=True, tag=True, array_like=True, gc=False):
    """Base of all messages: the class name is the tag, and comes first."""


class Request(Message, Generic[ReplyT], frozen=True, kw_only=True):
    """A message that may come from another process, too; answered by what it is a request for."""


def reply_of(request: type[Request[ReplyT]]) -> type[ReplyT]:
    """Return the type that answers a kind of request."""
    reply: type[ReplyT]
    (reply,) = get_args(request.__orig_bases__[0])  # type: ignore[attr-defined] # of Generic
    return reply
