"""How a session comes to its end: the one transition that says why nothing more runs in it."""

from collections.abc import Mapping

import msgspec

from maestro_actors.sessions.blockers import Entry
from maestro_storage.records import TASK_FINAL, SessionRecord, SessionState
from maestro_storage.transition import Event, Transition


def session_end(
    session: SessionRecord,
    entries: Mapping[str, Entry],
    now_ms: int,
    epoch: int,
    *,
    finished: bool,
) -> Transition:
    """Return the end a session comes to by itself: done, in need of a person, or failed.

    Args:
        session: As its record stands.
        entries: Where its tasks stand; those that can never start are blocked by it.
        now_ms: Wall clock.
        epoch: Start of the state directory that writes the records.
        finished: Whether every phase has its checkpoint.
    """
    states = {entry.state for entry in entries.values()}
    state: SessionState = "failed"
    if finished:
        state = "done"
    elif "help_needed" in states:
        state = "help_needed"
    draft = Transition()
    if state == "failed":
        _block_rest(draft, session, entries, now_ms, epoch)
    error = _error(state, entries)
    draft.put(
        msgspec.structs.replace(
            session,
            state=state,
            wish="run",
            wish_deadline_ms=None,
            pause_reason="",
            rerun_from="",
            updated_ms=now_ms,
            finished_ms=None if state == "help_needed" else now_ms,
            error=error,
            epoch=epoch,
        )
    )
    draft.event(Event(session.session_id, f"session_{state}", now_ms, data={"error": error}))
    return draft


def _block_rest(
    draft: Transition,
    session: SessionRecord,
    entries: Mapping[str, Entry],
    now_ms: int,
    epoch: int,
) -> None:
    """End the tasks that can never start because one before them failed."""
    for task_id, entry in entries.items():
        if entry.state not in TASK_FINAL:
            entry.state = "blocked"
            draft.put(
                msgspec.structs.replace(
                    entry.record,
                    state="blocked",
                    waits_for="nothing",
                    finished_ms=now_ms,
                    epoch=epoch,
                )
            )
            draft.event(Event(session.session_id, "task_blocked", now_ms, task_id))


def _error(state: SessionState, entries: Mapping[str, Entry]) -> str:
    culprit = {"failed": "failed", "help_needed": "help_needed"}.get(state)
    names = [task_id for task_id, entry in entries.items() if entry.state == culprit]
    if not names:
        return ""
    what = "failed" if state == "failed" else "need a person"
    return f"{len(names)} of {len(entries)} tasks {what}: {', '.join(names[:5])}"
