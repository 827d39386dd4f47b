"""What a run has written, commit by commit, and the bare loop that writes it again.

The loop is the limit of the disk and of LMDB: the same keys and sealed values in the same batches,
each row once and in the order of the keys, with nothing to decide, encode or digest.
"""

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

import lmdb
import msgspec

from maestro_storage._environment import DATABASES
from maestro_storage._payloads import (
    PAYLOAD_VERSION,
    REFERENCE_VERSION,
    by_digest,
    by_session,
)
from maestro_storage._seal import seal
from maestro_storage._writer import Work, Writer
from maestro_storage.records import EventRecord
from maestro_storage.transition import Payload, Transition, payload_digest

_encode = msgspec.msgpack.Encoder().encode

MAP_BYTES = 8 << 30


class Put(NamedTuple):
    """One value under its key."""

    database: str
    key: bytes
    value: bytes


class Recording:
    """The commits of a run, in order."""

    def __init__(self) -> None:
        self._commits: list[tuple[Sequence[Work], list[EventRecord]]] = []

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Note every commit of this process; costs the writer one append to a list."""
        write: Callable[[Writer, Sequence[Work]], list[EventRecord]] = Writer.write

        def noted(writer: Writer, batch: Sequence[Work]) -> list[EventRecord]:
            events = write(writer, batch)
            self._commits.append((batch, events))
            return events

        with patch.object(Writer, "write", noted):
            yield

    def batches(self) -> list[list[Put]]:
        """Return what each commit has put, and forget it."""
        commits, self._commits = self._commits, []
        seen: set[bytes] = set()
        every_put = [
            [
                *itertools.chain.from_iterable(
                    _puts_of(work, seen) for work in batch if isinstance(work, Transition)
                ),
                *(
                    _put(event.DATABASE, event.key, event.VERSION, _encode(event))
                    for event in events
                ),
            ]
            for batch, events in commits
        ]
        # Of the values of one key only the last is ever read.
        return [sorted({put[:2]: put for put in puts}.values()) for puts in every_put]

    def attempts(self, count: int) -> list[list[Put]]:
        """Return what each of `count` attempts has put, made one after another by a session.

        The first commit begins the session; then one opens each attempt and one closes it.
        """
        batches = self.batches()[1 : 1 + 2 * count]
        return [opened + closed for opened, closed in zip(batches[::2], batches[1::2], strict=True)]


def replay(directory: Path, batches: Sequence[Sequence[Put]]) -> list[float]:
    """Write batches, one commit each, into a fresh environment; return the seconds of each."""
    seconds = []
    with lmdb.open(str(directory), map_size=MAP_BYTES, max_dbs=len(DATABASES)) as env:
        databases = {name: env.open_db(name.encode()) for name in DATABASES}
        for batch in batches:
            rows = [
                (databases[name], [(put.key, put.value) for put in puts])
                for name, puts in itertools.groupby(batch, lambda put: put.database)
            ]
            before = time.perf_counter()
            with env.begin(write=True) as txn:
                for database, values in rows:
                    txn.cursor(db=database).putmulti(values)
            seconds.append(time.perf_counter() - before)
    return seconds


def _puts_of(transition: Transition, seen: set[bytes]) -> Iterator[Put]:
    for change in transition.changes:
        if change.body is not None:
            yield _put(change.database, change.key, change.version, change.body)
    for payload in transition.payloads:
        yield from _payload_puts(payload, seen)


def _payload_puts(payload: Payload, seen: set[bytes]) -> Iterator[Put]:
    """Return the rows of a payload that is not there yet."""
    digest = payload_digest(payload.content)
    reference = by_session(payload.session_id, digest)
    if reference in seen:
        return
    seen.add(reference)
    for key in (reference, by_digest(digest, payload.session_id)):
        yield _put("references", key, REFERENCE_VERSION, b"")
    if digest not in seen:
        seen.add(digest)
        yield _put("payloads", digest, PAYLOAD_VERSION, payload.content)


def _put(database: str, key: bytes, version: int, body: bytes) -> Put:
    return Put(database, key, seal(database, key, version, body))
