"""Payloads: content stored once under its digest, kept while a session refers to it.

Each reference is two rows in `references`: under "s", session, digest, to find what a session
refers to; and under "d", digest, session, to find who else refers to a payload.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from maestro_storage._environment import Database, Transaction, keys_under
from maestro_storage._seal import unseal
from maestro_storage.errors import NotFound
from maestro_storage.records import key_of
from maestro_storage.rows import Rows
from maestro_storage.transition import Change, Payload, payload_digest

PAYLOAD_VERSION: Final = 1
REFERENCE_VERSION: Final = 1
DIGEST_BYTES: Final = 32

Databases = Mapping[str, Database]


def by_session(session_id: str, digest: bytes = b"") -> bytes:
    """Return the key, or without a digest its prefix, of a session's reference."""
    return b"s" + key_of(session_id) + digest


def by_digest(digest: bytes, session_id: str = "") -> bytes:
    """Return the key, or without a session its prefix, of a payload's reference."""
    return b"d" + digest + session_id.encode()


def kept(txn: Transaction, databases: Databases, payload: Payload) -> Iterator[Change]:
    """Return the rows of a payload and of the session's reference to it that are not there yet."""
    digest = payload_digest(payload.content)
    key = by_session(payload.session_id, digest)
    # A cursor looks without reading: what many sessions share may be large.
    if txn.cursor(db=databases["references"]).set_key(key):
        return
    for row in (key, by_digest(digest, payload.session_id)):
        yield Change("references", row, REFERENCE_VERSION, b"")
    if not txn.cursor(db=databases["payloads"]).set_key(digest):
        yield Change("payloads", digest, PAYLOAD_VERSION, payload.content)


def release(txn: Transaction, databases: Databases, session_id: str) -> None:
    """Drop a session's references, and the payloads nobody else refers to."""
    for digest in digests_of(txn, databases, session_id):
        drop(txn, databases, session_id, digest)


def drop(txn: Transaction, databases: Databases, session_id: str, digest: bytes) -> None:
    """Drop one reference of a session, and the payload if nobody else refers to it."""
    references = databases["references"]
    txn.delete(by_session(session_id, digest), db=references)
    txn.delete(by_digest(digest, session_id), db=references)
    if next(keys_under(txn, references, by_digest(digest)), None) is None:
        txn.delete(digest, db=databases["payloads"])


def digests_of(txn: Transaction, databases: Databases, session_id: str) -> list[bytes]:
    """Return the digests of all payloads a session refers to."""
    keys = keys_under(txn, databases["references"], by_session(session_id))
    return [key[-DIGEST_BYTES:] for key in keys]


class Payloads:
    """Read side of the payloads. Any thread."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def get(self, digest: bytes) -> bytes | None:
        """Return the content with this digest, verified; None if it is not stored.

        Raises:
            RecordDamaged: The content does not match its digest.
            StoreClosed: The store is closed.
        """
        sealed = self._rows.get("payloads", digest)
        if sealed is None:
            return None
        return unseal("payloads", digest, sealed, PAYLOAD_VERSION)[1]

    def require(self, digest: bytes) -> bytes:
        """Return the content with this digest, as `get`.

        Raises:
            NotFound: It is not stored; a record that names it would be damaged.
        """
        content = self.get(digest)
        if content is None:
            raise NotFound("payload", digest.hex())
        return content
