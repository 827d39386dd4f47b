"""What a run has written, commit by commit, and the bare loop that writes it again.

The loop is the limit of the disk and of LMDB: the same keys and sealed values in the same batches,
each row once and in the order of the keys, with nothing to decide, encode or digest.
"""

import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
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
        return [_kept(itertools.chain.from_iterable(steps)) for steps in self._steps()]

    def attempts(self, count: int) -> list[list[Put]]:
        """Return what each of `count` attempts has put, made one after another by a session.

        The first transition begins the session; then one opens each attempt and one closes it.
        """
        steps = list(itertools.chain.from_iterable(self._steps()))[1 : 1 + 2 * count]
        return [
            _kept(opened) + _kept(closed)
            for opened, closed in zip(steps[::2], steps[1::2], strict=True)
        ]

    def _steps(self) -> list[list[list[Put]]]:
        """Return what each transition of each commit has put, and forget it."""
        commits, self._commits = self._commits, []
        seen: set[bytes] = set()
        return [list(_puts_of_each(batch, iter(events), seen)) for batch, events in commits]


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


def _kept(puts: Iterable[Put]) -> list[Put]:
    """Return rows in the order of their keys; of the values of one key only the last is read."""
    return sorted({put[:2]: put for put in puts}.values())


def _puts_of_each(
    batch: Sequence[Work], events: Iterator[EventRecord], seen: set[bytes]
) -> Iterator[list[Put]]:
    """Return what each transition of a commit has put; the events of the commit are in order."""
    for work in batch:
        if isinstance(work, Transition):
            told = itertools.islice(events, len(work.events))
            yield [
                *_puts_of(work, seen),
                *(_put(each.DATABASE, each.key, each.VERSION, _encode(each)) for each in told),
            ]


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
