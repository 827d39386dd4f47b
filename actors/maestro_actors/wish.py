"""What is asked of a session from outside, and what becomes durable when it is granted.

Pure functions from the record of a session to the transition that follows. A wish is durable before
anything is done about it, so a crash in between leaves it to whoever takes the session up next.
"""

import msgspec

from maestro_storage.records import SessionRecord
from maestro_storage.transition import Event, Transition


def paused(session: SessionRecord, reason: str, now_ms: int, epoch: int) -> Transition:
    """Return the transition by which a session pauses; its wish, if it had one, is fulfilled by it.

    Nothing of the session is in flight when it is written. Its tasks keep their records, deadlines
    and all. It goes on when it is resumed by name.

    Args:
        session: As its record stands.
        reason: Why, in one line; not empty.
        now_ms: Wall clock.
        epoch: Start of the state directory that writes the record.
    """
    draft = Transition()
    draft.put(
        msgspec.structs.replace(
            session,
            state="paused",
            wish="run",
            wish_deadline_ms=None,
            pause_reason=reason,
            finished_ms=None,
            updated_ms=now_ms,
            epoch=epoch,
        )
    )
    draft.event(Event(session.session_id, "session_paused", now_ms, data={"reason": reason}))
    return draft
