"""How tickets and alerts come into the outbox, from which the help desk sends them."""

from typing import TYPE_CHECKING

from maestro_actors.identity import HELP_DESK_ADDRESS
from maestro_actors.messages import PostingWritten, encode
from maestro_actors.proxy import encoded
from maestro_storage.records import OutboxRecord
from maestro_storage.transition import Transition

if TYPE_CHECKING:
    from maestro_actors.help.alert import BudgetAlert
    from maestro_actors.help.posting import Ticket


def write_posting(
    draft: Transition, kind: str, posting_id: str, told: "Ticket | BudgetAlert", epoch: int
) -> None:
    """Add an outbox row to the draft of what it tells of; the help desk hears of it after that.

    Args:
        draft: The transition.
        kind: Of the row, see `OutboxRecord`.
        posting_id: Names the row within its session.
        told: What is sent.
        epoch: Start of the state directory that writes the row.
    """
    row = OutboxRecord(
        session_id=told.session_id,
        outbox_id=posting_id,
        kind=kind,
        state="pending",
        payload=draft.payload(told.session_id, encode(told)),
        created_ms=told.at_ms,
        epoch=epoch,
    )
    draft.put(row)
    written = PostingWritten(session_id=row.session_id, posting_id=row.outbox_id)
    draft.then(HELP_DESK_ADDRESS, encoded(written))
