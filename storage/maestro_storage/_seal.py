"""How a value is stored: digest, version, body. The digest binds it to its database and key.

LMDB has no page checksums, so this digest is what finds a flipped bit, and a value that stands
under a key it was not written for.
"""

from collections.abc import Callable
from hashlib import sha256
from typing import Final

from maestro_storage.errors import RecordDamaged, RecordTooNew

DIGEST_BYTES: Final = 32
VERSION_BYTES: Final = 2
HEADER_BYTES: Final = DIGEST_BYTES + VERSION_BYTES

SESSIONLESS: Final = frozenset({"breakers", "meta", "payloads", "references", "requests", "values"})
"""Databases whose keys do not begin with a session id."""


def session_of(database: str, key: bytes) -> str:
    """Return the session a key belongs to, as far as the key can be read; empty if to none."""
    if database in SESSIONLESS:
        return ""
    name, separator, _ = key.partition(b"\0")
    return name.decode(errors="replace") if separator else ""


def sealer(database: str) -> Callable[[bytes, int, bytes], bytes]:
    """Return what seals the values of one database: from key, version and body to what is stored.

    Layout: SHA-256 (32 bytes) over database name, zero byte, key, version and body; then the
    version (2 bytes, big-endian); then the body.
    """
    prefix = database.encode() + b"\0"

    def seal(key: bytes, version: int, body: bytes) -> bytes:
        versioned = version.to_bytes(VERSION_BYTES, "big") + body
        return sha256(prefix + key + versioned).digest() + versioned

    return seal


def seal(database: str, key: bytes, version: int, body: bytes) -> bytes:
    """Return `body` as it is stored under `key`, see `sealer`."""
    return sealer(database)(key, version, body)


def unseal(database: str, key: bytes, sealed: bytes, known_version: int) -> tuple[int, bytes]:
    """Return version and body of a stored value.

    Raises:
        RecordDamaged: The digest does not match, or `sealed` is cut short.
        RecordTooNew: The digest matches, the version is above `known_version`.
    """
    # A value shorter than its header fails here too: no separate length check.
    versioned = sealed[DIGEST_BYTES:]
    if sha256(database.encode() + b"\0" + key + versioned).digest() != sealed[:DIGEST_BYTES]:
        raise RecordDamaged(
            session_of(database, key), database, key.hex(), "its digest does not match"
        )
    version = int.from_bytes(versioned[:VERSION_BYTES], "big")
    if version > known_version:
        raise RecordTooNew(database, key.hex(), version, known_version)
    return version, versioned[VERSION_BYTES:]
