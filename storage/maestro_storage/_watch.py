"""What has been written to records of some kinds, before and after, for who adds them up."""

import threading
from collections.abc import Iterable, Iterator
from typing import Final

from maestro_storage._environment import Environment, Transaction
from maestro_storage._repository import Decoder
from maestro_storage._seal import session_of
from maestro_storage.records import Record
from maestro_storage.transition import Change

CHANGES_MAX: Final = 8192
"""Records that may have changed since somebody looked; with more of them it has to begin anew."""

Noted = dict[tuple[str, bytes], tuple[bytes | None, bytes | None]]
"""By database and key: the sealed value that stood there first, and the body of the last one."""

Changed = tuple[Record | None, Record | None]
"""A record before and after; None where there was none."""


class Watch:
    """Follows the records of some kinds: first all of them, then what has changed. Any thread.

    It costs the writer nothing before somebody has looked, and nothing again once nobody has for so
    long that it had to forget.
    """

    def __init__(
        self, environment: Environment, kinds: Iterable[type[Record]], left_out: Iterable[str]
    ) -> None:
        """Used by `Store.watch`; the records of sessions in `left_out` are not there."""
        self._environment: Final = environment
        self._decoders: Final = {kind.DATABASE: Decoder(kind) for kind in kinds}
        self._left_out: Final = frozenset(left_out)
        self._lock = threading.Lock()
        self._is_asked = False
        """Batches are noted."""
        self._is_whole = False
        """All changes since the snapshot are known."""
        self._snapshot = 0
        """Number of the last transaction in it."""
        self._changes: Noted = {}

    def records(self) -> Iterator[Record]:
        """Yield every record of one snapshot; `changes` goes on from there.

        Until the last one is read, the pages of the snapshot are kept from reuse.

        Raises:
            RecordDamaged: One was damaged since the start; the rest is not read.
            StoreClosed: The store is closed.
        """
        with self._environment.read() as txn:
            with self._lock:
                self._is_asked = self._is_whole = True
                self._snapshot = txn.id()
                self._changes = {}
            for name, decode in self._decoders.items():
                for key, sealed in txn.cursor(db=self._environment.databases[name]):
                    if session_of(name, key) not in self._left_out:
                        yield decode(key, sealed)

    def changes(self) -> list[Changed] | None:
        """Return what has changed since this was asked last, durable; None: call `records` again.

        Each record is there once, however often it was written.
        """
        with self._lock:
            if not self._is_whole:
                return None
            changes, self._changes = self._changes, {}
        found: list[Changed] = []
        for (name, key), (before, after) in changes.items():
            decode = self._decoders[name]
            found.append(
                (
                    None if before is None else decode(key, before),
                    None if after is None else decode.decode(key, after),
                )
            )
        return found

    def begun(self) -> Noted | None:
        """Return where a batch is to be noted, at its beginning; None if nobody asks."""
        return {} if self._is_asked else None

    def note(self, txn: Transaction, noted: Noted, name: str, changes: dict[bytes, Change]) -> None:
        """Note what is about to be written to a database."""
        if name not in self._decoders:
            return
        database = self._environment.databases[name]
        for key, change in changes.items():
            known = noted.get((name, key))
            before = txn.get(key, db=database) if known is None else known[0]
            noted[name, key] = before, change.body

    def tell(self, number: int, noted: Noted | None) -> None:
        """Take over what was noted of a batch that has become durable, as this transaction."""
        with self._lock:
            if not self._is_whole or number <= self._snapshot:
                return
            if noted is None:
                # It had begun before anybody asked.
                self._forget()
                return
            changes = self._changes
            for key, (before, after) in noted.items():
                first = changes.get(key)
                before = before if first is None else first[0]  # noqa: PLW2901 - the first of all
                if before is None and after is None:
                    # It has come and gone.
                    changes.pop(key, None)
                else:
                    changes[key] = before, after
            if len(changes) > CHANGES_MAX:
                self._forget()
                self._is_asked = False

    def _forget(self) -> None:
        self._is_whole, self._changes = False, {}
