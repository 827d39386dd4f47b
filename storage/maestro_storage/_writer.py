"""Writing a batch: many transitions, one LMDB transaction."""

import time
from collections import defaultdict
from collections.abc import Sequence
from typing import Final

import msgspec

from maestro_storage import _payloads, _retention
from maestro_storage._environment import Environment, Transaction
from maestro_storage._ports import CommitObserver
from maestro_storage._repository import Decoder
from maestro_storage._seal import sealer
from maestro_storage._tidying import Tidying, tidy
from maestro_storage._watch import Noted, Watch
from maestro_storage.records import SESSION_FINAL, EventRecord, SessionRecord, key_of
from maestro_storage.transition import Change, Event, Transition

SEQUENCES_MAX: Final = 8192
"""Sessions whose last event is kept in mind; of others it is looked up."""

_EVENTS: Final = EventRecord.DATABASE
_SESSIONS: Final = SessionRecord.DATABASE

_encode = msgspec.msgpack.Encoder().encode
_decode_session: Final = Decoder(SessionRecord)


class Removal(msgspec.Struct, frozen=True):
    """Work for the writer: drop all of a session, if it is final."""

    session_id: str
    along: Transition
    """Written with it; not, if it is not final."""


Work = Transition | Removal | Tidying

Rows = defaultdict[str, dict[bytes, Change]]
"""What a transaction still has to write, by database and key. Of the changes of one key only the
last is written: a counter that all of a batch has moved becomes one row."""


class Writer:
    """Writes batches and numbers the events in them. One thread at a time."""

    def __init__(
        self, environment: Environment, epoch: int, observer: CommitObserver | None
    ) -> None:
        self._environment = environment
        self._epoch = epoch
        self._observer = observer
        self._commit_count = 0
        self.sync_seconds = 0.0
        """How long the last commit took to become durable, once all was written."""
        self._sequences: dict[str, int] = {}
        """Last durable event of sessions that have been written to of late."""
        self._watches: tuple[Watch, ...] = ()
        self._noted: list[tuple[Watch, Noted | None]] = []
        """What they have noted of the batch that is being written."""

    def add_watch(self, watch: Watch) -> None:
        """Tell a watch of every batch from the next one on. Any thread."""
        self._watches += (watch,)

    def write(self, batch: Sequence[Work]) -> list[EventRecord]:
        """Write a batch durably and return its events; or raise, and leave no trace of it.

        Raises:
            OwnerFenced: Another owner has raised the epoch.
            lmdb.Error: As LMDB raised it.
        """
        environment, observer = self._environment, self._observer
        number = self._commit_count + 1
        sequences: dict[str, int] = {}
        with environment.env.begin(write=True) as txn:
            environment.check_epoch(txn, self._epoch)
            transaction = txn.id()
            self._noted = [(watch, watch.begun()) for watch in self._watches]
            events = self._written(txn, batch, sequences)
            if observer is not None:
                observer.before_commit(number)
            written_seconds = time.monotonic()
        self.sync_seconds = time.monotonic() - written_seconds
        # Only now: an aborted transaction must not leave a gap in a history.
        self._sequences.update(sequences)
        self._commit_count = number
        for watch, noted in self._noted:
            watch.tell(transaction, noted)
        self._noted = []
        if observer is not None:
            observer.after_commit(number)
        return events

    def _written(
        self, txn: Transaction, batch: Sequence[Work], sequences: dict[str, int]
    ) -> list[EventRecord]:
        """Write all of a batch, and return its events."""
        events: list[EventRecord] = []
        rows: Rows = defaultdict(dict)
        for work in batch:
            if isinstance(work, Transition):
                for change in work.changes:
                    rows[change.database][change.key] = change
                if work.payloads or work.releases:
                    self._refer(txn, work, rows)
                if work.events:
                    events += self._numbered(txn, work.events, sequences, rows[_EVENTS])
            elif isinstance(work, Removal):
                self._put(txn, rows)
                self._remove(txn, work, rows, sequences)
            else:
                self._put(txn, rows)
                for change in tidy(txn, self._environment.databases, work):
                    rows[change.database][change.key] = change
        self._put(txn, rows)
        return events

    def _put(self, txn: Transaction, rows: Rows) -> None:
        """Write the rows, in the order of their keys, and forget them."""
        for name, changes in rows.items():
            for watch, noted in self._noted:
                if noted is not None:
                    watch.note(txn, noted, name, changes)
            database, seal = self._environment.databases[name], sealer(name)
            # By keys alone: pairs are compared by both of their parts.
            ordered = sorted(changes)
            sealed = [
                (key, seal(key, change.version, change.body))
                for key in ordered
                if (change := changes[key]).body is not None
            ]
            if len(sealed) < len(ordered):
                for key in ordered:
                    if changes[key].body is None:
                        txn.delete(key, db=database)
            if sealed:
                txn.cursor(db=database).putmulti(sealed)
        rows.clear()

    def _refer(self, txn: Transaction, work: Transition, rows: Rows) -> None:
        """Keep the payloads of a transition, and let go of those that it names no more."""
        databases = self._environment.databases
        for payload in work.payloads:
            for change in _payloads.kept(txn, databases, payload):
                rows[change.database][change.key] = change
        if work.releases:
            # Whether a payload goes depends on the references that are there.
            self._put(txn, rows)
        for gone in work.releases:
            _payloads.drop(txn, databases, gone.session_id, gone.digest)

    def _numbered(
        self,
        txn: Transaction,
        events: Sequence[Event],
        sequences: dict[str, int],
        rows: dict[bytes, Change],
    ) -> list[EventRecord]:
        """Give events their places at the end of their sessions' histories; add their rows."""
        records = []
        for event in events:
            last = sequences.get(event.session_id)
            if last is None:
                last = self._last_sequence(txn, event.session_id)
            sequences[event.session_id] = last + 1
            record = event.numbered(last + 1, self._epoch)
            key = record.key
            rows[key] = Change(_EVENTS, key, EventRecord.VERSION, _encode(record))
            records.append(record)
        return records

    def _last_sequence(self, txn: Transaction, session_id: str) -> int:
        """Return the sequence of a session's last durable event, 0 if it has none."""
        known = self._sequences.get(session_id)
        if known is not None:
            return known
        if len(self._sequences) >= SEQUENCES_MAX:
            self._sequences.clear()
        cursor = txn.cursor(db=self._environment.databases[_EVENTS])
        beyond = cursor.set_range(key_of(session_id, (1 << 64) - 1))
        found = cursor.prev() if beyond else cursor.last()
        if not found or not cursor.key().startswith(key_of(session_id)):
            return 0
        return int.from_bytes(cursor.key()[-8:], "big")

    def _remove(
        self, txn: Transaction, work: Removal, rows: Rows, sequences: dict[str, int]
    ) -> None:
        """Delete a session, unless it is live again."""
        databases, key = self._environment.databases, key_of(work.session_id)
        sealed = txn.get(key, db=databases[_SESSIONS])
        if sealed is not None and _decode_session(key, sealed).state in SESSION_FINAL:
            for name, row in _retention.rows_of(txn, databases, work.session_id):
                rows[name][row] = Change(name, row)
            _payloads.release(txn, databases, work.session_id)
            sequences[work.session_id] = 0
            for change in work.along.changes:
                rows[change.database][change.key] = change
