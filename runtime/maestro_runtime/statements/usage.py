"""What was used, grouped by whom, by what and by when: a query over the hour cells.

The cells outlive their sessions, so this is the whole history, in steps of an hour; after some days
the cells of a day become one.
"""

import datetime as dt
from collections.abc import Callable, Iterable, Iterator
from typing import Final, Literal, get_args

import msgspec

from maestro_actors.ledger.budget import DAY_MS, HOUR_MS
from maestro_storage import Records
from maestro_storage.records import UsageRecord

Dimension = Literal[
    "session", "phase", "contract", "persona", "model", "engine", "outcome", "hour", "day"
]
"""What tells two groups apart. Hours and days are those of UTC in which the calls ended."""

DIMENSIONS: Final[tuple[Dimension, ...]] = get_args(Dimension)

_NAMES: Final[dict[Dimension, Callable[[UsageRecord], str]]] = {
    "session": lambda cell: cell.session_id,
    "phase": lambda cell: cell.phase,
    "contract": lambda cell: cell.task_id,
    "persona": lambda cell: cell.persona_id,
    "model": lambda cell: cell.model,
    "engine": lambda cell: cell.engine,
    "outcome": lambda cell: cell.outcome,
    # A day that has one cell only is no hour of its own.
    "hour": lambda cell: _utc(cell).strftime("%Y-%m-%dT%H:00Z" if cell.hours == 1 else "%Y-%m-%d"),
    "day": lambda cell: _utc(cell).strftime("%Y-%m-%d"),
}


class UsageQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which calls are added up, and in which groups."""

    by: tuple[Dimension, ...] = ()
    """None: all calls are one group."""
    session_id: str | None = None
    """None: of all sessions, also of those that are dropped."""
    since_ms: int | None = None
    """Calls that ended before the hour of this instant are left out; of a day that has one cell
    only, before the day."""
    until_ms: int | None = None
    """Calls that ended in an hour that begins at this instant or later are left out."""


class UsageRow(msgspec.Struct, frozen=True, kw_only=True):
    """What the closed calls of one group have used together."""

    group: dict[str, str]
    """The name of each dimension; empty where a call has none."""
    calls: int
    lost_calls: int
    """Nobody knows what they used: what they are booked with is in the figures."""
    requests: int
    tokens: int
    """Input and output together; the next two are its parts, the others parts of those."""
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int
    cost_nano_usd: int | None
    """Of the calls that have a price; None if none has."""
    unpriced_calls: int
    duration_ms: int


def usage(store: Records, query: UsageQuery) -> list[UsageRow]:
    """Add up what was used, by group; the rows are sorted by their groups.

    Cells are read one after the other: what is held is one row for each group.
    """
    sums: dict[tuple[str, ...], list[int]] = {}
    for cell in _cells(store, query):
        group = tuple(_NAMES[dimension](cell) for dimension in query.by)
        row = sums.setdefault(group, [0] * len(UsageRecord.FIGURES))
        for index, figure in enumerate(UsageRecord.FIGURES):
            row[index] += getattr(cell, figure)
    return [_row(dict(zip(query.by, group, strict=True)), sums[group]) for group in sorted(sums)]


def total(rows: Iterable[UsageRow]) -> UsageRow:
    """Return the sum of rows, as one group."""
    sums = [0] * len(UsageRecord.FIGURES)
    for row in rows:
        for index, figure in enumerate(UsageRecord.FIGURES):
            sums[index] += getattr(row, figure) or 0
    return _row({}, sums)


def _cells(store: Records, query: UsageQuery) -> Iterator[UsageRecord]:
    # A cell in which the time begins counts whole, be it that of an hour or of a day.
    since_ms = max(0, query.since_ms or 0)
    first_ms = since_ms - since_ms % DAY_MS
    for cell in store.usage.scan("", after=first_ms - 1 if first_ms else None):
        if query.until_ms is not None and cell.hour_ms >= query.until_ms:
            return
        if cell.hour_ms + cell.hours * HOUR_MS <= since_ms:
            continue
        if query.session_id in (None, cell.session_id):
            yield cell


def _utc(cell: UsageRecord) -> dt.datetime:
    return dt.datetime.fromtimestamp(cell.hour_ms / 1000, dt.UTC)


def _row(group: dict[str, str], sums: list[int]) -> UsageRow:
    figures: dict[str, int] = dict(zip(UsageRecord.FIGURES, sums, strict=True))
    cost_nano_usd = figures.pop("cost_nano_usd")
    # Without any call there is nothing whose price could be missing.
    unpriced = 0 < figures["calls"] == figures["unpriced_calls"]
    return UsageRow(
        group=group,
        tokens=figures["input_tokens"] + figures["output_tokens"],
        cost_nano_usd=None if unpriced else cost_nano_usd,
        **figures,
    )
