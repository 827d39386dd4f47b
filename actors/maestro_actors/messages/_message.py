"""What all messages have in common."""

from typing import Final

import msgspec

MESSAGE_BYTES_MAX: Final = 4 << 20
"""Largest encoded message an actor accepts (4 MiB); a bigger one raises MessageTooLarge."""

encode = msgspec.msgpack.Encoder().encode
"""Encode one message or reply; safe to share, it keeps no state between calls."""


class Message(msgspec.Struct, frozen=True, kw_only=True, tag=True, array_like=True, gc=False):
    """Base of all messages: the class name is the tag, and comes first.

    Who knows only the first fields of a message can read those.
    """
