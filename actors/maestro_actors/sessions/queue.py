"""Sessions that wait until others have ended: their order, and how one comes into it and out."""

from collections.abc import Iterable

import msgspec

from maestro_actors.accounting.throttle import PRIORITY_POINT_MS
from maestro_storage.records import SessionRecord
from maestro_storage.transition import Event, Transition

Turn = tuple[int, str]
"""A place in the order, the least is next; of the session that is named last."""


def turn_of(session_id: str, priority: int, queued_ms: int) -> Turn:
    """Return the turn of a session; a priority counts as it does for calls."""
    return (queued_ms - priority * PRIORITY_POINT_MS, session_id)


def in_order(sessions: Iterable[SessionRecord]) -> list[SessionRecord]:
    """Return the queued ones among some sessions, the next one first."""
    waiting = (session for session in sessions if session.state == "queued")
    return sorted(
        waiting, key=lambda each: turn_of(each.session_id, each.priority, each.queued_ms or 0)
    )


def come_by(session: SessionRecord, now_ms: int) -> SessionRecord:
    """Return a session that came into the queue now, if it did so at an instant to come.

    The wall clock was set back since: all that come until then would go before it.
    """
    if session.queued_ms is None or session.queued_ms <= now_ms:
        return session
    return msgspec.structs.replace(session, queued_ms=now_ms)


def queued(session: SessionRecord, now_ms: int, epoch: int) -> Transition:
    """Return the transition by which a session comes into the queue."""
    draft = Transition()
    draft.put(
        msgspec.structs.replace(
            session, state="queued", queued_ms=now_ms, updated_ms=now_ms, epoch=epoch
        )
    )
    draft.event(Event(session.session_id, "session_queued", now_ms))
    return draft


def admitted(session: SessionRecord, now_ms: int, epoch: int) -> Transition:
    """Return the transition by which a session leaves the queue, and runs."""
    waited_ms = now_ms - (now_ms if session.queued_ms is None else session.queued_ms)
    draft = Transition()
    draft.put(
        msgspec.structs.replace(
            session, state="running", queued_ms=None, updated_ms=now_ms, epoch=epoch
        )
    )
    data: dict[str, str | int | float | bool | None] = {"waited_ms": waited_ms}
    draft.event(Event(session.session_id, "session_admitted", now_ms, data=data))
    return draft
