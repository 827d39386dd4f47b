"""What was used, by the hour: one cell for all calls of an hour that nothing tells apart."""

from typing import Final

import msgspec

from maestro_actors.ledger.budget import HOUR_MS
from maestro_actors.ledger.rows import figures_of
from maestro_storage.records import CallRecord, UsageRecord

CELLS_MAX: Final = 1024
"""Cells after which those that were not needed since as many were begun are forgotten."""


class History:
    """The cells of the running hour that were needed last.

    A cell that was forgotten is not read again, because it may not be durable yet: what comes to be
    known later is another part of it, under a key of its own. So no row is written by two starts,
    and nothing has to be read, neither at the start nor when there are many tasks.
    """

    def __init__(self) -> None:
        self._hour_ms = 0
        self._part = 1
        self._cells: dict[tuple[str, ...], UsageRecord] = {}
        self._older: dict[tuple[str, ...], UsageRecord] = {}
        """The next to be forgotten, but for those that are needed before."""

    def add(self, call: CallRecord, epoch: int) -> UsageRecord:
        """Return the cell of a closed call, with the call added to it."""
        closed_ms = call.closed_ms or call.opened_ms
        # A clock that steps back adds to the newest hour: the cells of the others are forgotten.
        hour_ms = max(self._hour_ms, closed_ms - closed_ms % HOUR_MS)
        if hour_ms != self._hour_ms:
            self._hour_ms, self._cells, self._older = hour_ms, {}, {}
        names = _names_of(call)
        cell = self._cells.get(names) or self._older.get(names)
        cell = cell or _empty(self._hour_ms, names, self._part)
        cell = msgspec.structs.replace(
            cell,
            calls=cell.calls + 1,
            requests=cell.requests + call.requests,
            input_tokens=cell.input_tokens + call.input_tokens,
            output_tokens=cell.output_tokens + call.output_tokens,
            cache_read_tokens=cell.cache_read_tokens + call.cache_read_tokens,
            cache_write_tokens=cell.cache_write_tokens + call.cache_write_tokens,
            reasoning_tokens=cell.reasoning_tokens + call.reasoning_tokens,
            cost_nano_usd=cell.cost_nano_usd + call.cost_nano_usd,
            unpriced_calls=cell.unpriced_calls + (call.cost_basis == "unpriced"),
            lost_calls=cell.lost_calls + (call.state == "lost"),
            duration_ms=cell.duration_ms + max(0, closed_ms - call.opened_ms),
            epoch=epoch,
        )
        self._cells[names] = cell
        if len(self._cells) >= CELLS_MAX:
            self._older, self._cells = self._cells, {}
            self._part += 1
        return cell


def adjustment(before: CallRecord, after: CallRecord, epoch: int) -> UsageRecord:
    """Return the cell that turns what the history says of a call into what its correction says."""
    closed_ms = after.closed_ms or after.opened_ms
    correction = after.corrections[-1]
    old, new = figures_of(before), figures_of(after)
    return msgspec.structs.replace(
        _empty(closed_ms - closed_ms % HOUR_MS, _names_of(after)),
        requests=new.requests - old.requests,
        input_tokens=new.input_tokens - old.input_tokens,
        output_tokens=new.output_tokens - old.output_tokens,
        cache_read_tokens=new.cache_read_tokens - old.cache_read_tokens,
        cache_write_tokens=new.cache_write_tokens - old.cache_write_tokens,
        reasoning_tokens=new.reasoning_tokens - old.reasoning_tokens,
        cost_nano_usd=new.cost_nano_usd - old.cost_nano_usd,
        unpriced_calls=(new.cost_basis == "unpriced") - (old.cost_basis == "unpriced"),
        lost_calls=(after.state == "lost") - (before.state == "lost"),
        epoch=epoch,
        correction=f"{after.call_id.hex()}/{correction.correction_id}",
    )


def _names_of(row: CallRecord | UsageRecord) -> tuple[str, ...]:
    return (
        row.session_id,
        row.phase,
        row.task_id,
        row.persona_id,
        row.engine,
        row.model,
        row.outcome,
    )


def _empty(hour_ms: int, names: tuple[str, ...], part: int = 0) -> UsageRecord:
    session_id, phase, task_id, persona_id, engine, model, outcome = names
    return UsageRecord(
        hour_ms=hour_ms,
        session_id=session_id,
        phase=phase,
        task_id=task_id,
        persona_id=persona_id,
        engine=engine,
        model=model,
        outcome=outcome,
        part=part,
    )
