"""What is kept of an order that must not be done twice."""

from typing import Final

import msgspec

from maestro_storage.records import RequestRecord
from maestro_storage.transition import Transition

REQUEST_ID_BYTES: Final = 16
"""Length of a request id: 6 bytes of wall clock in milliseconds, 10 that nobody else draws."""


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """Says of which order a transition is the doing; travels with it to whoever drafts that."""

    request_id: bytes
    """See `REQUEST_ID_BYTES`."""
    kind: str
    """What is ordered: the same id with another kind is somebody's mistake."""
    at_ms: int


def put_receipt(
    draft: Transition, receipt: Receipt | None, epoch: int, reply: msgspec.Struct | None = None
) -> None:
    """Add to a draft the row by which its order is known, with the answer; None: it has no id."""
    if receipt is not None:
        draft.put(
            RequestRecord(
                request_id=receipt.request_id,
                kind=receipt.kind,
                reply=b"" if reply is None else msgspec.msgpack.encode(reply),
                at_ms=receipt.at_ms,
                epoch=epoch,
            )
        )
