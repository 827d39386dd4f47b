"""What is written of a call when it is opened."""

import msgspec

from maestro_actors.ledger.amounts import METRICS
from maestro_actors.ledger.decision import Clamp, Grant
from maestro_actors.ledger.prices import RateCard, cost_at_most
from maestro_actors.messages import OpenCall
from maestro_storage.bookings import Hold
from maestro_storage.records import CallRecord
from maestro_storage.transition import Event


def row_of_opening(
    order: OpenCall, granted: Grant | Clamp, card: RateCard | None, epoch: int
) -> CallRecord:
    """Return the row of a call that the ledger has granted."""
    worst = 0 if card is None else cost_at_most(granted.tokens, card)
    # At most 15 fields: with more, CPython makes a dictionary of them first.
    row = CallRecord(
        session_id=order.session_id,
        call_id=order.call_id,
        task_id=order.task_id,
        persona_id=order.persona_id,
        engine=order.engine,
        round=order.round,
        attempt=order.attempt,
        state="open",
        reserved_tokens=granted.tokens,
        opened_ms=order.at_ms,
        epoch=epoch,
        phase=order.phase,
        model=order.model,
        cost_nano_usd=worst,
        cost_basis="unpriced" if card is None else card.basis,
    )
    # That of the persona comes first, and the row says it already.
    others = granted.holds[1:]
    if not others and not order.floor_tokens:
        return row
    return msgspec.structs.replace(
        row,
        cost_nano_usd=next((hold.amount for hold in others if _is_money(hold)), worst),
        holds=others,
        floor_tokens=min(order.floor_tokens, granted.tokens),
    )


def cut_down(order: OpenCall, granted: Clamp) -> Event:
    """Return what the history says of a call that was granted less than it needs."""
    return Event(
        order.session_id,
        "call_cut",
        order.at_ms,
        order.task_id,
        {
            "persona_id": order.persona_id,
            "needed_tokens": order.need_tokens,
            "reserved_tokens": granted.tokens,
        },
    )


def _is_money(hold: Hold) -> bool:
    return METRICS[hold.metric] == "money"
