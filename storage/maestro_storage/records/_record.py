"""What all kinds of records have in common: a database, a key, and how keys are built."""

from typing import ClassVar, Final

import msgspec

KEY_BYTES_MAX: Final = 511
"""LMDB's limit for a key."""

NAME_BYTES_MAX: Final = 120
"""Longest session, contract, persona, phase or engine name in a key, in UTF-8 bytes."""


def key_of(*parts: str | bytes | int) -> bytes:
    """Join key parts so that keys sort by part and a prefix of parts is a prefix of the key.

    Text is UTF-8 followed by a zero byte (names never contain one), integers are 8 bytes
    big-endian, bytes are taken as they are and must come last.
    """
    key = b""
    for part in parts:
        if isinstance(part, str):
            key += part.encode() + b"\0"
        elif isinstance(part, int):
            key += part.to_bytes(8, "big")
        else:
            key += part
    return key


def names_key(*names: str) -> bytes:
    """Return `key_of` names alone, at a third of its cost: each attempt makes a dozen keys."""
    return ("\0".join(names) + "\0").encode()


class Record(msgspec.Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """Base of all records: which database it lives in, and under which key.

    Plain data cannot form a cycle, so the garbage collector need not look at it.
    """

    DATABASE: ClassVar[str]
    VERSION: ClassVar[int] = 1

    @property
    def key(self) -> bytes:
        """The record's key in its database."""
        raise NotImplementedError  # every subclass answers; the base class is never stored
