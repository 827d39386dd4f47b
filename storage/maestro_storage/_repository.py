"""Reading records: one repository per kind, every record verified on its way out."""

from collections.abc import Iterator, Mapping
from typing import Final, Generic, TypeVar

import msgspec

from maestro_storage._seal import session_of, unseal
from maestro_storage.errors import RecordDamaged, SessionQuarantined
from maestro_storage.records import Record, key_of
from maestro_storage.rows import Rows

PAGE_RECORDS: Final = 256
"""Records read in one transaction; a slow reader holds no page back from reuse."""

R = TypeVar("R", bound=Record)
KeyPart = str | bytes | int


class Decoder(Generic[R]):
    """Turns stored values of one kind, of this and every earlier version, into records."""

    def __init__(self, kind: type[R]) -> None:
        self.kind = kind
        self._decode = msgspec.msgpack.Decoder(kind).decode

    def __call__(self, key: bytes, sealed: bytes) -> R:
        """Return the record that `sealed` holds.

        Raises:
            RecordDamaged: The digest does not match, or the body is not a record of this kind.
            RecordTooNew: It was written by a newer version.
        """
        return self.decode(key, unseal(self.kind.DATABASE, key, sealed, self.kind.VERSION)[1])

    def decode(self, key: bytes, body: bytes) -> R:
        """Return the record whose body has been unsealed; as a call, but for the digest."""
        try:
            return self._decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            database = self.kind.DATABASE
            session_id = session_of(database, key)
            raise RecordDamaged(session_id, database, key.hex(), str(error)) from error


class Repository(Generic[R]):
    """Read side of one kind of record. Any thread. Sees what is durable, nothing else.

    Key parts are given in the order of the record's key. A read that names a quarantined session
    raises SessionQuarantined; one that names no session leaves quarantined ones out. All reads
    raise RecordDamaged for a record damaged since the start, and StoreClosed after the end.
    """

    def __init__(
        self, rows: Rows, kind: type[R], quarantined: Mapping[str, tuple[str, ...]]
    ) -> None:
        self._rows = rows
        self._decode = Decoder(kind)
        self._database = kind.DATABASE
        self._quarantined = quarantined

    def get(self, *parts: KeyPart) -> R | None:
        """Return the record with exactly this key, None if there is none."""
        key = self._key(*parts)
        sealed = self._rows.get(self._database, key)
        return None if sealed is None else self._decode(key, sealed)

    def scan(
        self, *prefix: KeyPart, after: KeyPart | None = None, limit: int | None = None
    ) -> Iterator[R]:
        """Yield the records whose key begins with `prefix`, in the order of their keys.

        Records are read in pages, each a snapshot of its own, so no transaction stays open while
        the caller works. Takes effect from the first `next`.

        Args:
            prefix: Leading key parts; none for all records.
            after: Next key part; records under it and before it are left out.
            limit: Most records to yield; None for all.
        """
        begin = self._key(*prefix)
        position = begin if after is None else _successor(begin + key_of(after))
        left = limit
        while left is None or left > 0:
            wanted = PAGE_RECORDS if left is None else min(left, PAGE_RECORDS)
            page = self._rows.page(self._database, begin, position, wanted)
            for key, sealed in page:
                if prefix or session_of(self._database, key) not in self._quarantined:
                    yield self._decode(key, sealed)
                    left = None if left is None else left - 1
            if len(page) < wanted:
                return
            position = page[-1][0] + b"\0"

    def count(self, *prefix: KeyPart) -> int:
        """Return how many records have a key that begins with `prefix`, unverified."""
        return self._rows.count(self._database, self._key(*prefix))

    def _key(self, *parts: KeyPart) -> bytes:
        """Return the key of these parts; refuse a quarantined session."""
        if parts and isinstance(parts[0], str) and parts[0] in self._quarantined:
            raise SessionQuarantined(parts[0], self._quarantined[parts[0]])
        return key_of(*parts)


def _successor(prefix: bytes) -> bytes:
    """Return the first key that is above every key beginning with `prefix`."""
    return (int.from_bytes(prefix, "big") + 1).to_bytes(len(prefix), "big")
