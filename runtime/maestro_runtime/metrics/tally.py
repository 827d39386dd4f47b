"""What is on record, added up: from all records, or kept up with what changes of them."""

from collections import Counter
from collections.abc import Iterable
from itertools import chain
from typing import Final, NamedTuple, TypeAlias

from maestro_actors.ledger.budget import DAY_MS
from maestro_runtime.metrics.exposition import LABEL_VALUES_MAX
from maestro_storage import Records, Store
from maestro_storage.records import (
    SESSION_FINAL,
    AlertRecord,
    OutboxRecord,
    Record,
    SessionRecord,
    UsageRecord,
)

KINDS: Final = (SessionRecord, UsageRecord, OutboxRecord, AlertRecord)
"""What is added up."""

_FIGURES: Final = UsageRecord.FIGURES
Figures: TypeAlias = list[int]
"""As `UsageRecord.FIGURES` names them."""


class Group(NamedTuple):
    """What tells attempts apart, as far as metrics do."""

    persona: str
    engine: str
    outcome: str


class Tally:
    """Sums over the records that were added to it."""

    def __init__(self, records: Iterable[Record] = ()) -> None:
        self.sessions: Final = Counter[str]()
        """By state."""
        self.set_aside = 0
        """Sessions that are."""
        self.unended: Final = set[str]()
        """Sessions that have not ended."""
        self.postings: Final = Counter[tuple[str, str]]()
        """By kind and state."""
        self.alerts: Final = Counter[int]()
        """By share of the limit, in thousandths."""
        self._usage: Final = dict[Group, Figures]()
        self._personas: Final = dict[str, int]()
        """The first day of each."""
        self._engines: Final = dict[str, int]()
        for record in records:
            self.add(record, 1)

    @property
    def usage(self) -> dict[Group, Figures]:
        """What was used by group; groups of which nothing is on record any more are left out."""
        return {group: figures for group, figures in self._usage.items() if any(figures)}

    @property
    def personas(self) -> frozenset[str]:
        """The personas that are told apart: those that worked first.

        Whoever comes later takes no place away: a counter would start anew under each change.
        """
        return _first(self._personas)

    @property
    def engines(self) -> frozenset[str]:
        """The engines that are told apart, as `personas`."""
        return _first(self._engines)

    def add(self, record: Record, sign: int) -> None:
        """Add a record, or with a sign of -1 take it away again."""
        match record:
            case UsageRecord():
                self._add_usage(record, sign)
            case SessionRecord():
                self.sessions[record.state] += sign
                self.set_aside += sign * record.set_aside
                if sign < 0:
                    self.unended.discard(record.session_id)
                elif record.state not in SESSION_FINAL:
                    self.unended.add(record.session_id)
            case OutboxRecord():
                self.postings[record.kind, record.state] += sign
            case AlertRecord():
                self.alerts[record.permille] += sign

    def _add_usage(self, cell: UsageRecord, sign: int) -> None:
        group = Group(cell.persona_id, cell.engine, cell.outcome)
        figures = self._usage.setdefault(group, [0] * len(_FIGURES))
        for index, name in enumerate(_FIGURES):
            figures[index] += sign * getattr(cell, name)
        # By the day, which is what is left of the hours later.
        day = cell.hour_ms // DAY_MS
        for first, name in ((self._personas, cell.persona_id), (self._engines, cell.engine)):
            first[name] = min(day, first.get(name, day))


class LiveTally:
    """The tally of a store that is written to. One thread at a time.

    The first look reads all records, and so does one before which nobody had looked for thousands
    of changes; else a look costs what has changed since the last one.
    """

    def __init__(self, store: Store) -> None:
        self._watch: Final = store.watch(*KINDS)
        self._tally: Tally | None = None

    def look(self) -> Tally:
        """Return the tally as of now; it is changed by the next look.

        Raises:
            StorageError: As the reads of a `Repository`.
        """
        # Not kept while it is changed: half of the changes would be lost with an error.
        tally, self._tally = self._tally, None
        changes = None if tally is None else self._watch.changes()
        if tally is None or changes is None:
            tally = Tally(self._watch.records())
        else:
            for before, after in changes:
                if before is not None:
                    tally.add(before, -1)
                if after is not None:
                    tally.add(after, 1)
        self._tally = tally
        return tally


def tally_of(store: Records) -> Tally:
    """Return the tally of all that is on record."""
    repositories = (store.sessions, store.usage, store.outbox, store.alerts)
    return Tally(chain.from_iterable(repository.scan() for repository in repositories))


def _first(days: dict[str, int]) -> frozenset[str]:
    names = sorted(days, key=lambda name: (days[name], name))
    return frozenset(names[:LABEL_VALUES_MAX])
