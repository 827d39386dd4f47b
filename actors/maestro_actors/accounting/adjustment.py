"""What people change in the books: corrections of calls, and top-ups of budgets.

A correction says what a closed call has really used, and is an adjusting entry. Nothing that was
booked is rewritten: the call's row gains the correction, the counters of its windows the
difference, and the history a cell with the difference, in the hour of the call.
"""

from typing import Final, NamedTuple

import msgspec

from maestro_actors.engine import Usage
from maestro_actors.ledger.amounts import Amounts
from maestro_actors.ledger.errors import LedgerConflict
from maestro_actors.ledger.history import adjustment
from maestro_actors.ledger.ledger import Change, Ledger
from maestro_actors.ledger.prices import RateCard, cost_of
from maestro_actors.ledger.rows import booked, figures_of, holds_of, usage_of
from maestro_actors.messages import CorrectCall, ToppedUp, TopUp
from maestro_actors.text import storable
from maestro_storage.bookings import Correction
from maestro_storage.records import CallRecord
from maestro_storage.transition import Event, Transition

CORRECTIONS_MAX: Final = 100
"""Most corrections of one call: its row has them all."""

ID_CHARS_MAX: Final = 100
"""Longest id of a correction."""

REASON_CHARS_MAX: Final = 500
"""Longest reason of a correction."""


class Corrected(NamedTuple):
    """A correction that is to become durable."""

    call: CallRecord
    change: Change
    draft: Transition
    """Has the call, the cell of the history and the event; the counters are for the caller."""


def correct(
    ledger: Ledger, call: CallRecord, order: CorrectCall, card: RateCard | None, epoch: int
) -> Corrected | None:
    """Book what a call has really used; None if that has been done.

    Args:
        ledger: Changed in place, unless this raises.
        call: Its row, with every correction so far.
        order: What it used.
        card: The price of its model when it was opened. None: what was booked as its cost stays.
        epoch: Goes into every record.

    Raises:
        UsageInvalid: The figures cannot be.
        LedgerConflict: The call is open, or was never made, or has 100 corrections; or another one
            has this id; or id or reason break their rule.
    """
    order.usage.check()
    what = f"call {call.call_id.hex()}"
    # Nothing may be moved for a correction that cannot be stored.
    _check_words(what, order)
    if call.state not in ("settled", "lost"):
        raise LedgerConflict(what, f"is {call.state}, only a settled or lost one is corrected")
    for known in call.corrections:
        if known.correction_id == order.correction_id:
            if _same(known, order.usage):
                return None
            rule = f"has a correction {order.correction_id!r} with other figures"
            raise LedgerConflict(what, rule)
    if len(call.corrections) >= CORRECTIONS_MAX:
        raise LedgerConflict(what, f"has {CORRECTIONS_MAX} corrections, which is the most")
    corrected = msgspec.structs.replace(
        call,
        state="settled",
        corrections=(*call.corrections, _correction(call, order, card)),
        epoch=epoch,
    )
    after = booked(corrected)
    delta = Amounts(
        *((new or 0) - (old or 0) for old, new in zip(booked(call), after, strict=True))
    )
    change = ledger.correct(holds_of(call), delta)
    draft = Transition()
    draft.put(corrected)
    draft.put(adjustment(call, corrected, epoch))
    draft.event(_event(call, corrected, order))
    return Corrected(corrected, change, draft)


def _check_words(what: str, order: CorrectCall) -> None:
    name, reason = order.correction_id, order.reason
    if not name or name != storable(name, ID_CHARS_MAX):
        rule = f"needs an id for its correction, 1 to {ID_CHARS_MAX} characters"
        raise LedgerConflict(what, f"{rule}, got {name[: ID_CHARS_MAX + 1]!r}")
    if reason != storable(reason, REASON_CHARS_MAX):
        rule = f"needs a reason for its correction of at most {REASON_CHARS_MAX} characters"
        raise LedgerConflict(what, f"{rule}, got {reason[:80]!r}")


def _correction(call: CallRecord, order: CorrectCall, card: RateCard | None) -> Correction:
    usage, before = order.usage, figures_of(call)
    return Correction(
        correction_id=order.correction_id,
        reason=order.reason,
        at_ms=order.at_ms,
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        basis=usage.basis,
        requests=usage.requests,
        cache_read_tokens=usage.cache_read_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        reasoning_tokens=usage.reasoning_tokens,
        cost_nano_usd=before.cost_nano_usd if card is None else cost_of(usage, card),
        cost_basis=(before.cost_basis or "unpriced") if card is None else card.basis,
    )


def _same(known: Correction, usage: Usage) -> bool:
    return usage_of(known) == msgspec.structs.replace(usage, basis=Usage().basis)


def _event(before: CallRecord, after: CallRecord, order: CorrectCall) -> Event:
    return Event(
        after.session_id,
        "call_corrected",
        order.at_ms,
        after.task_id,
        {
            "persona_id": after.persona_id,
            "call_id": after.call_id.hex(),
            "correction_id": order.correction_id,
            "reason": order.reason,
            "tokens_before": usage_of(figures_of(before)).total,
            "tokens": usage_of(figures_of(after)).total,
        },
    )


def topped_up(ledger: Ledger, order: TopUp) -> tuple[Change, ToppedUp]:
    """Raise a limit; what follows from it is in the order, the counters are for the caller."""
    change = ledger.top_up(order.budget, order.caller, order.amount, order.at_ms)
    (counter,) = change.counters
    return change, ToppedUp(
        budget_id=counter.key.budget_id,
        metric=order.metric,
        subject=counter.key.subject,
        session_id=counter.key.session_id,
        limit=counter.limit,
        left=max(0, counter.limit - counter.spent - counter.held),
        retried=order.retried,
    )
