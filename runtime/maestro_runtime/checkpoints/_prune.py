"""Pruning: which checkpoints of a session nobody needs any more, and dropping them."""

import msgspec

from maestro_storage import Store
from maestro_storage.records import SESSION_FINAL, CheckpointRecord
from maestro_storage.transition import Event, Transition


class Pruned(msgspec.Struct, frozen=True, kw_only=True):
    """What was dropped, and what was kept, by number."""

    session_id: str
    dropped: tuple[int, ...]
    kept: tuple[int, ...]


def prune(store: Store, session_id: str, now_ms: int) -> Pruned:
    """Drop the checkpoints of a session that nobody needs; durable on return.

    The first and the last one stay, those that a fork began with, and those that somebody asked
    for. A session that has not ended
    needs all of them, because they say which of its phases are over.

    Raises:
        NotFound: There is no such session.
        SessionQuarantined: A record of it is damaged.
        StorageError: The change could not be written.
    """
    session = store.require_session(session_id)
    records = list(store.checkpoints.scan(session_id))
    needed = {records[0].number, records[-1].number}
    needed |= {record.number for record in records if record.on_demand}
    needed |= {
        other.origin_checkpoint
        for other in store.sessions.scan()
        if other.origin_session == session_id != other.session_id
    }
    if session.state not in SESSION_FINAL:
        needed = {record.number for record in records}
    kept = [record for record in records if record.number in needed]
    dropped = [record for record in records if record.number not in needed]
    if dropped:
        store.journal.commit(_dropping(session_id, dropped, kept, now_ms)).result()
    return Pruned(
        session_id=session_id,
        dropped=tuple(record.number for record in dropped),
        kept=tuple(record.number for record in kept),
    )


def _dropping(
    session_id: str, dropped: list[CheckpointRecord], kept: list[CheckpointRecord], now_ms: int
) -> Transition:
    draft = Transition()
    for record in dropped:
        draft.delete(record)
    # Checkpoints with the same summary share its payload.
    for summary in {record.summary for record in dropped} - {record.summary for record in kept}:
        draft.release(session_id, summary)
    draft.event(Event(session_id, "checkpoints_pruned", now_ms, data={"checkpoints": len(dropped)}))
    return draft
