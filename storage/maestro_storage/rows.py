"""Stored values as they lie: what repositories read, from wherever the state is open."""

from itertools import islice, takewhile
from typing import Final, Protocol

from maestro_storage._environment import Environment, keys_under

Row = tuple[bytes, bytes]
"""A key, and the sealed value under it."""


class Rows(Protocol):
    """Reads stored values by database. Any thread. What it returns is durable, and unverified.

    A state from before a kind of record existed has no database for it: that one reads as empty.

    Raises:
        StoreClosed: The state is not open any more.
    """

    def get(self, database: str, key: bytes) -> bytes | None:
        """Return the value under a key; None if there is none."""

    def page(self, database: str, prefix: bytes, position: bytes, limit: int) -> list[Row]:
        """Return the first rows, at most `limit`, under `prefix` at or after `position`.

        They are one snapshot. Fewer than `limit` are the last ones.
        """

    def count(self, database: str, prefix: bytes) -> int:
        """Return how many keys begin with `prefix`."""


class EnvironmentRows:
    """The rows of an environment that this process has open."""

    def __init__(self, environment: Environment) -> None:
        self._environment: Final = environment

    def get(self, database: str, key: bytes) -> bytes | None:
        """Return the value under a key; None if there is none."""
        handle = self._environment.databases.get(database)
        if handle is None:
            return None
        with self._environment.read() as txn:
            return txn.get(key, db=handle)

    def page(self, database: str, prefix: bytes, position: bytes, limit: int) -> list[Row]:
        """Return the first rows under `prefix` at or after `position`; one snapshot."""
        handle = self._environment.databases.get(database)
        if handle is None:
            return []
        with self._environment.read() as txn:
            cursor = txn.cursor(db=handle)
            if not cursor.set_range(position):
                return []
            # What follows may be other sessions, by the thousand: it is not even read.
            return list(islice(takewhile(lambda row: row[0].startswith(prefix), cursor), limit))

    def count(self, database: str, prefix: bytes) -> int:
        """Return how many keys begin with `prefix`."""
        handle = self._environment.databases.get(database)
        if handle is None:
            return 0
        with self._environment.read() as txn:
            if not prefix:
                return txn.stat(handle)["entries"]
            return sum(1 for _ in keys_under(txn, handle, prefix))
