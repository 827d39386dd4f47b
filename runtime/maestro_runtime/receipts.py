"""Orders that must not be done twice: their ids, and what is on record of them."""

import os
import time
from typing import Final, TypeVar

import msgspec

from maestro_actors.ledger.budget import DAY_MS
from maestro_actors.receipt import REQUEST_ID_BYTES, Receipt
from maestro_runtime.errors import RequestIdInvalid
from maestro_storage import Records
from maestro_storage.records import RequestRecord

_CLOCK_BYTES: Final = 6

ReplyT = TypeVar("ReplyT", bound=msgspec.Struct)


def new_request_id() -> bytes:
    """Draw the id of an order; the same id again is the same order, for a day."""
    clock = _now_ms().to_bytes(_CLOCK_BYTES, "big")
    return clock + os.urandom(REQUEST_ID_BYTES - _CLOCK_BYTES)


def receipt_of(request_id: bytes, kind: str) -> Receipt | None:
    """Return what makes an order known once it is done; None for one without an id.

    Raises:
        RequestIdInvalid: It does not have 16 bytes, or is too old.
    """
    if not request_id:
        return None
    if len(request_id) != REQUEST_ID_BYTES:
        raise RequestIdInvalid(request_id.hex(), f"must have {REQUEST_ID_BYTES} bytes")
    if is_too_old(request_id):
        # What was done under it may be forgotten.
        raise RequestIdInvalid(request_id.hex(), "must have been drawn within the last day")
    return Receipt(request_id=request_id, kind=kind, at_ms=_now_ms())


def is_too_old(request_id: bytes) -> bool:
    """Whether an id was drawn more than a day ago: then no order is accepted under it."""
    return _now_ms() - int.from_bytes(request_id[:_CLOCK_BYTES], "big") > DAY_MS


def carried_out(store: Records, receipt: Receipt | None) -> RequestRecord | None:
    """Return what is on record of an order; None if it has not been carried out.

    Raises:
        RequestIdInvalid: Another order has the id.
    """
    if receipt is None:
        return None
    row = store.requests.get(receipt.request_id)
    if row is not None and row.kind != receipt.kind:
        rule = f"must be of one order, a {row.kind}; got a {receipt.kind}"
        raise RequestIdInvalid(receipt.request_id.hex(), rule)
    return row


def answer_in(row: RequestRecord, reply: type[ReplyT]) -> ReplyT:
    """Return the first answer to an order."""
    return msgspec.msgpack.decode(row.reply, type=reply)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
