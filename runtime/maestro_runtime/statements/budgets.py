"""Budgets as they stand: what is left in the running window, and when that will be used up."""

from typing import Final, NamedTuple

import msgspec

from maestro_actors.ledger.budget import HOUR_MS
from maestro_actors.ledger.counter import Counter
from maestro_runtime.statements.booked import booked, cost_of_call
from maestro_runtime.statements.counters import (
    CounterBook,
    counter_book,
    metric_of,
    resets_at_ms,
    window_of,
)
from maestro_storage import Records
from maestro_storage.bookings import CounterKey
from maestro_storage.records import SESSION_FINAL

BURN_MS_MIN: Final = 60_000
"""A shorter burst counts as if it had taken a minute: an hour says nothing about it."""


class BudgetState(msgspec.Struct, frozen=True, kw_only=True):
    """One counter of one budget. Figures are in units of the metric, money in nano-USD."""

    budget_id: str
    """That of a persona's `token_budget` is "persona/" and the persona."""
    window: str
    metric: str
    subject: str
    """Whom it counts; empty for a global budget."""
    session_id: str
    """Empty unless the window is the session."""
    start_ms: int
    """Of the window; 0 for a session, for ever, and for a rolling one."""
    resets_at_ms: int | None
    """When the window ends, or a rolling one forgets its oldest part; None: never."""
    limit: int
    """With what was topped up in this window."""
    topped_up: int
    spent: int
    unpriced_calls: int
    """Calls of the window without a price, while the budget counts money: they are not in `spent`.
    Only those of running windows, and of sessions that are kept; of a rolling window, all."""
    held: int
    """Reserved by open calls."""
    left: int
    """Neither spent nor held; never below 0, though calls may take more than they reserved."""
    spent_permille: int
    """Share of the limit, rounded down; above 1000 if it is overdrawn."""
    alerts_permille: tuple[int, ...]
    """Shares at which an alert was raised, whatever the limit was then."""
    burn_per_hour: int
    """Average over the hours looked back at, or since the first call in them, but over a minute at
    least; rounded down."""
    exhausted_at_ms: int | None
    """When nothing is left, if it goes on like this; now, if nothing is. None: not before the
    window ends, or nothing was used lately."""


class _Calls(NamedTuple):
    """What was read of the calls that one counter counts."""

    burnt: int = 0
    """Booked lately."""
    since_ms: int = 0
    """When "lately" began, or the first of these calls in it."""
    unpriced: int = 0


def budgets(
    store: Records,
    now_ms: int,
    burn_hours: int,
    *,
    budget_id: str | None = None,
    session_id: str | None = None,
) -> list[BudgetState]:
    """Read the budgets of running windows, by id, or every window of one budget.

    Args:
        store: Read once as a whole: every call is looked at.
        now_ms: Wall clock.
        burn_hours: How far back the burn rate looks, at least 1.
        budget_id: Of this budget only; windows that have ended are there too.
        session_id: Of budgets whose window is the session, only those of this one.
    """
    book = counter_book(store, now_ms)
    counters = book.recorded | book.running
    calls = _calls(store, book, now_ms - burn_hours * HOUR_MS)
    return [
        _state(counters[key], calls.get(key, _Calls()), now_ms)
        for key in sorted(counters, key=_place)
        if budget_id == key.budget_id or (budget_id is None and _is_listed(key, book))
        if session_id is None or key.session_id in ("", session_id)
    ]


def _is_listed(key: CounterKey, book: CounterBook) -> bool:
    """Return whether a counter is of interest to somebody who does not ask for its budget."""
    return key in book.running and (
        key in book.recorded
        or any(item.session.state not in SESSION_FINAL for item in book.counted[key])
    )


def _place(key: CounterKey) -> tuple[str, str, str, str, int]:
    return (key.budget_id, key.session_id, key.rule, key.subject, key.start_ms)


def _state(counter: Counter, calls: _Calls, now_ms: int) -> BudgetState:
    key = counter.key
    left = max(0, counter.limit - counter.spent - counter.held)
    ends_ms = resets_at_ms(counter)
    elapsed_ms = max(BURN_MS_MIN, now_ms - calls.since_ms)
    exhausted_ms = None
    if not left:
        exhausted_ms = now_ms
    elif calls.burnt > 0:
        exhausted_ms = now_ms + left * elapsed_ms // calls.burnt
        if ends_ms is not None and exhausted_ms >= ends_ms:
            exhausted_ms = None
    return BudgetState(
        budget_id=key.budget_id,
        window=window_of(key),
        metric=metric_of(key),
        subject=key.subject,
        session_id=key.session_id,
        start_ms=key.start_ms,
        resets_at_ms=ends_ms,
        limit=counter.limit,
        topped_up=counter.topped_up,
        spent=counter.spent,
        unpriced_calls=calls.unpriced,
        held=counter.held,
        left=left,
        spent_permille=counter.spent * 1000 // counter.limit,
        alerts_permille=tuple(sorted({fired.permille for fired in counter.fired})),
        burn_per_hour=calls.burnt * HOUR_MS // elapsed_ms,
        exhausted_at_ms=exhausted_ms,
    )


def _calls(store: Records, book: CounterBook, since_ms: int) -> dict[CounterKey, _Calls]:
    """Read every closed call once, for all counters."""
    found: dict[CounterKey, _Calls] = {}
    priced = _priced_by(book)
    for call in store.calls.scan():
        if call.closed_ms is None:
            continue
        if call.closed_ms >= since_ms:
            opened_ms = max(since_ms, call.opened_ms)
            for key, amount in booked(call):
                before = found.get(key, _Calls(since_ms=opened_ms))
                found[key] = before._replace(
                    burnt=before.burnt + amount, since_ms=min(before.since_ms, opened_ms)
                )
        if cost_of_call(call) is None:
            for key in priced.get((call.session_id, call.task_id), ()):
                # A call without a price holds nothing in such a counter, not even its key.
                if call.opened_ms >= key.start_ms:
                    before = found.get(key, _Calls())
                    found[key] = before._replace(unpriced=before.unpriced + 1)
    return found


def _priced_by(book: CounterBook) -> dict[tuple[str, str], list[CounterKey]]:
    """Return the running counters of money that count a contract, by session and contract."""
    keys: dict[tuple[str, str], list[CounterKey]] = {}
    for key, counted in book.counted.items():
        if metric_of(key) == "money":
            for item in counted:
                place = (item.caller.session_id, item.caller.contract_id)
                keys.setdefault(place, []).append(key)
    return keys
