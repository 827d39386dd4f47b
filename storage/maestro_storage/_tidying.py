"""What outlives its session and still gets old: usage by the hour, counters of ended windows.

The cells of a day are added up into one after some days: the sums stay what they were. Cells of
days, counters and alerts go when nobody asks for them any more, and orders that were carried out
when nobody sends them again.
"""

from collections.abc import Iterator
from itertools import chain, islice
from typing import Final

import msgspec

from maestro_storage._environment import Transaction, keys_under
from maestro_storage._payloads import Databases
from maestro_storage._repository import Decoder
from maestro_storage._retention import DAY_MS, RetentionPolicy
from maestro_storage._seal import HEADER_BYTES
from maestro_storage.records import (
    AlertRecord,
    CounterRecord,
    RequestRecord,
    UsageRecord,
    key_of,
)
from maestro_storage.transition import Change

ROWS_MAX: Final = 512
"""Rows that one step of tidying looks after, so that no commit waits for long."""

WINDOW_DAYS_MAX: Final = 31
"""No window that has a start is longer; the storage does not know how long each of them is."""

REQUEST_DAYS: Final = 1
"""How long it is known which orders were carried out."""

_encode = msgspec.msgpack.Encoder().encode
_decode_cell: Final = Decoder(UsageRecord)
_decode_counter: Final = Decoder(CounterRecord)

_SESSIONLESS: Final = key_of("")
_HOUR: Final = slice(len(_SESSIONLESS), len(_SESSIONLESS) + 8)
"""Where the key of a cell has its hour."""
_STARTS: Final = {CounterRecord.DATABASE: slice(-8, None), AlertRecord.DATABASE: slice(-32, -24)}
"""Where a key has the start of the window."""


class Tidying(msgspec.Struct):
    """Work for the writer: one step, of at most `ROWS_MAX` rows."""

    policy: RetentionPolicy
    now_ms: int
    since_ms: int
    """Cells of hours before it have been added up already."""
    reached_ms: int = 0
    """Hour of the last cell that the step has added up."""
    rows: int | None = None
    """Rows that the step has looked after; None before it is durable."""

    @property
    def until_ms(self) -> int:
        """Begin of the first day whose hours are kept apart."""
        cutoff_ms = self.now_ms - round(self.policy.hour_cells_days * DAY_MS)
        return max(0, cutoff_ms - cutoff_ms % DAY_MS)

    @property
    def forgotten_ms(self) -> int:
        """Cells before it are not kept at all."""
        return max(0, self.now_ms - round(self.policy.day_cells_days * DAY_MS))

    @property
    def is_last(self) -> bool:
        """Whether nothing more is to be done for now."""
        return self.rows is not None and self.rows < ROWS_MAX


def is_due(txn: Transaction, databases: Databases, work: Tidying) -> bool:
    """Whether a step would find anything to look after."""
    found = chain(_gone(txn, databases, work), _old_hours(txn, databases, work))
    return next(iter(found), None) is not None


def tidy(txn: Transaction, databases: Databases, work: Tidying) -> list[Change]:
    """Return what one step is to write, and note in `work` how far it comes."""
    doomed = list(islice(_gone(txn, databases, work), ROWS_MAX))
    hours = list(islice(_old_hours(txn, databases, work), ROWS_MAX - len(doomed)))
    work.rows = len(doomed) + len(hours)
    work.reached_ms = hours[-1].hour_ms if hours else work.since_ms
    changes = [Change(name, key) for name, key in doomed]
    changes += (Change(UsageRecord.DATABASE, cell.key) for cell in hours)
    for key, day in _days(txn, databases, hours).items():
        changes.append(Change(UsageRecord.DATABASE, key, UsageRecord.VERSION, _encode(day)))
    return changes


def _gone(txn: Transaction, databases: Databases, work: Tidying) -> Iterator[tuple[str, bytes]]:
    """Yield what nobody asks for any more: databases and keys."""
    age_ms = round((WINDOW_DAYS_MAX + work.policy.windows_days) * DAY_MS)
    yield from _forgotten_cells(txn, databases, work)
    yield from _old_requests(txn, databases, work.now_ms - REQUEST_DAYS * DAY_MS)
    for name in _STARTS:
        yield from _dead(txn, databases, name, work.now_ms - age_ms)


def _forgotten_cells(
    txn: Transaction, databases: Databases, work: Tidying
) -> Iterator[tuple[str, bytes]]:
    """Yield the cells that are too old to be kept."""
    name = UsageRecord.DATABASE
    cutoff_ms = work.forgotten_ms
    for key in keys_under(txn, databases[name], _SESSIONLESS):
        if int.from_bytes(key[_HOUR], "big") >= cutoff_ms:
            return
        yield name, key


def _old_requests(
    txn: Transaction, databases: Databases, cutoff_ms: int
) -> Iterator[tuple[str, bytes]]:
    """Yield the orders that nobody sends again; their keys begin with their age."""
    name = RequestRecord.DATABASE
    for key in keys_under(txn, databases[name], b""):
        if int.from_bytes(key[:6], "big") >= cutoff_ms:
            return
        yield name, key


def _dead(
    txn: Transaction, databases: Databases, name: str, cutoff_ms: int
) -> Iterator[tuple[str, bytes]]:
    """Yield what belongs to windows that began before the cutoff; nothing if they do not begin."""
    for key in keys_under(txn, databases[name], _SESSIONLESS):
        start_ms = int.from_bytes(key[_STARTS[name]], "big")
        if 0 < start_ms < cutoff_ms and not _is_held(txn, databases, name, key):
            yield name, key


def _is_held(txn: Transaction, databases: Databases, name: str, key: bytes) -> bool:
    """Whether a counter still holds something for an open call."""
    if name != CounterRecord.DATABASE:
        return False
    return _decode_counter(key, txn.get(key, b"", db=databases[name])).held != 0


def _old_hours(txn: Transaction, databases: Databases, work: Tidying) -> Iterator[UsageRecord]:
    """Yield the cells of hours that are to be added up, oldest first."""
    cursor = txn.cursor(db=databases[UsageRecord.DATABASE])
    if not cursor.set_range(key_of("", max(work.since_ms, work.forgotten_ms))):
        return
    until_ms = work.until_ms
    for key, sealed in cursor:
        if int.from_bytes(key[_HOUR], "big") >= until_ms:
            return
        # At each start there are the cells of days of a year; only what is moved is verified again.
        if _decode_cell.decode(key, sealed[HEADER_BYTES:]).hours == 1:
            yield _decode_cell(key, sealed)


def _days(
    txn: Transaction, databases: Databases, hours: list[UsageRecord]
) -> dict[bytes, UsageRecord]:
    """Return the cells of days by their keys, with those of their hours added to them."""
    database = databases[UsageRecord.DATABASE]
    days: dict[bytes, UsageRecord] = {}
    for cell in hours:
        day = msgspec.structs.replace(
            cell, hour_ms=cell.hour_ms - cell.hour_ms % DAY_MS, hours=24, correction="", part=0
        )
        key = day.key
        known = days.get(key)
        if known is None and (sealed := txn.get(key, db=database)) is not None:
            known = _decode_cell(key, sealed)
        if known is not None:
            sums = {name: getattr(known, name) + getattr(cell, name) for name in cell.FIGURES}
            day = msgspec.structs.replace(known, **sums, epoch=max(known.epoch, cell.epoch))
        days[key] = day
    return days
