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
    caller = order.caller
    worst = 0 if card is None else cost_at_most(granted.tokens, card)
    # At most 15 fields: with more, CPython makes a dictionary of them first.
    row = CallRecord(
        session_id=caller.session_id,
        call_id=order.call_id,
        task_id=caller.contract_id,
        persona_id=caller.persona_id,
        engine=caller.engine,
        round=order.round,
        attempt=order.attempt,
        state="open",
        reserved_tokens=granted.tokens,
        opened_ms=order.at_ms,
        epoch=epoch,
        phase=caller.phase,
        model=caller.model,
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
        order.caller.session_id,
        "call_cut",
        order.at_ms,
        order.caller.contract_id,
        {
            "persona_id": order.caller.persona_id,
            "needed_tokens": order.need_tokens,
            "reserved_tokens": granted.tokens,
        },
    )


def _is_money(hold: Hold) -> bool:
    return METRICS[hold.metric] == "money"
