"""What is asked of a session from outside, and what becomes durable when it is granted.

Pure functions from the record of a session to the transition that follows. A wish is durable before
anything is done about it, so a crash in between leaves it to whoever takes the session up next.
"""

from collections.abc import Collection, Iterable
from typing import Final

import msgspec

from maestro_actors.errors import VerbRefused
from maestro_actors.receipt import Receipt, put_receipt
from maestro_actors.text import storable
from maestro_storage.records import (
    SESSION_FINAL,
    TASK_FINAL,
    TASK_PASSED,
    SessionRecord,
    TaskRecord,
    Wish,
)
from maestro_storage.transition import Event, Transition

REASON_CHARS_MAX: Final = 200
"""Longest reason that is kept, in characters; a longer one is cut."""

_VERBS: Final[dict[Wish, str]] = {"run": "resume", "pause": "pause", "cancel": "cancel"}
_KINDS: Final[dict[Wish, str]] = {
    "run": "session_resumed",
    "pause": "pause_asked",
    "cancel": "cancel_asked",
}


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody wants of a session."""

    wish: Wish
    reason: str = ""
    """Why, for the history; a pause keeps it."""
    interrupt: bool = False
    """Whether attempts in flight are to be cut short. A cancelled session does that anyway."""
    deadline_ms: int | None = None
    """When what has not stopped by then is killed, on the wall clock; None: never."""
    removal: bool = False
    """Whether it is deleted once it is cancelled."""
    receipt: Receipt | None = None


def intention(session: SessionRecord) -> str:
    """Return in words what a session is to do before anything else; empty if to run."""
    if session.wish == "run" and session.rerun_from:
        return f"run again from phase {session.rerun_from}"
    return "" if session.wish == "run" else session.wish


def stands(session: SessionRecord, wish: Wish) -> bool:
    """Whether a session has, or is about to come to, what a wish asks for.

    Raises:
        VerbRefused: It has ended otherwise, or is being cancelled.
    """
    if session.state in SESSION_FINAL:
        if wish == "cancel" and session.state == "cancelled":
            return True
        raise VerbRefused(_VERBS[wish], session.session_id, session.state, "it must not have ended")
    if session.wish == "cancel" and wish != "cancel":
        rule = "it must not be about to be cancelled"
        raise VerbRefused(_VERBS[wish], session.session_id, session.state, rule)
    if wish == "pause":
        return session.state == "paused"
    return wish == "run" and session.wish == "run" and session.state != "paused"


def wished(
    session: SessionRecord, asked: Asked, now_ms: int, epoch: int
) -> tuple[SessionRecord, Transition]:
    """Return the transition that makes a wish durable, and the session's record after it.

    Asked to run, a session that is paused is running, and one that is to pause goes on. Asked twice
    to be cancelled, it has the earlier of both deadlines. One that was set aside no longer is.

    Raises:
        VerbRefused: See `stands`.
    """
    stands(session, asked.wish)
    state, pause_reason = session.state, session.pause_reason
    deadline_ms = asked.deadline_ms
    reason = storable(asked.reason, REASON_CHARS_MAX)
    if asked.wish == "run":
        state, pause_reason = ("running" if state == "paused" else state), ""
    elif asked.wish == "pause":
        pause_reason = reason
    elif session.wish == "cancel" and session.wish_deadline_ms is not None:
        deadline_ms = min(session.wish_deadline_ms, deadline_ms or session.wish_deadline_ms)
    after = msgspec.structs.replace(
        session,
        state=state,
        wish=asked.wish,
        wish_deadline_ms=deadline_ms,
        pause_reason=pause_reason,
        set_aside=False,
        removal=session.removal or asked.removal,
        updated_ms=now_ms,
        epoch=epoch,
    )
    draft = Transition()
    draft.put(after)
    data: dict[str, str | int | float | bool | None] = {
        "reason": reason,
        "deadline_ms": deadline_ms,
    }
    draft.event(Event(session.session_id, _KINDS[asked.wish], now_ms, data=data))
    put_receipt(draft, asked.receipt, epoch)
    return after, draft


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


def stuck_because(tasks: list[str]) -> str:
    """Return why a session pauses in which nobody knows what these tasks wait for."""
    return f"stuck: nobody knows what these tasks wait for: {', '.join(tasks[:5])}"


def stuck_alarm(session_id: str, tasks: list[str], now_ms: int) -> Event:
    """Return what the history says when nobody knows what these tasks wait for."""
    reason = stuck_because(tasks)
    data: dict[str, str | int | float | bool | None] = {"tasks": ", ".join(tasks), "reason": reason}
    return Event(session_id, "session_stuck", now_ms, data=data)


def granted(
    session: SessionRecord,
    tasks: list[TaskRecord],
    ready: Collection[str],
    now_ms: int,
    epoch: int,
) -> Transition | None:
    """Return the transition that grants the wish of a session in which nothing is in flight.

    Args:
        session: As its record stands.
        tasks: Theirs.
        ready: Tasks that could begin now.
        now_ms: Wall clock.
        epoch: Start of the state directory that writes the records.

    Returns:
        None if all is done, or nothing could go on but for a wish to pause: then the session comes
        to its own end.
    """
    states = {task.state for task in tasks}
    if states <= TASK_PASSED:
        return None
    if session.wish == "cancel":
        return cancelled(session, tasks, now_ms, epoch)
    if ready or states & {"waiting", "help_needed"}:
        return paused(session, session.pause_reason, now_ms, epoch)
    return None


def cancelled(
    session: SessionRecord, tasks: Iterable[TaskRecord], now_ms: int, epoch: int
) -> Transition:
    """Return the transition that ends a session, and each of its tasks that has not ended.

    Nothing of it is in flight when it is written. Tickets it has filed are left to their readers.
    """
    draft = Transition()
    count = 0
    for task in tasks:
        if task.state in TASK_FINAL:
            continue
        count += 1
        draft.put(
            msgspec.structs.replace(
                task,
                state="cancelled",
                waits_for="nothing",
                deadline_ms=None,
                finished_ms=now_ms,
                epoch=epoch,
            )
        )
        draft.event(Event(session.session_id, "task_cancelled", now_ms, task.task_id))
    draft.put(
        msgspec.structs.replace(
            session,
            state="cancelled",
            wish="run",
            wish_deadline_ms=None,
            pause_reason="",
            rerun_from="",
            finished_ms=now_ms,
            updated_ms=now_ms,
            error="",
            epoch=epoch,
        )
    )
    draft.event(Event(session.session_id, "session_cancelled", now_ms, data={"tasks": count}))
    return draft
