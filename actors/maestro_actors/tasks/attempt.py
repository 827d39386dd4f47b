"""An attempt that has ended: its record, and the line of history about it."""

import msgspec

from maestro_actors.engine import Outcome
from maestro_actors.tasks.diagnosis import Diagnosis
from maestro_storage.records import AttemptRecord, AttemptState, TaskRecord
from maestro_storage.transition import Transition


class Ending(msgspec.Struct, frozen=True, gc=False):
    """How the call of an attempt ended."""

    outcome: Outcome
    tokens: int
    """Tokens booked for it: what was used, or the reservation of a lost call."""
    started_ms: int


def closed(
    running: TaskRecord,
    ending: Ending,
    found: Diagnosis,
    draft: Transition,
    *,
    now_ms: int,
    epoch: int,
) -> AttemptRecord:
    """Return the attempt of `running` as it ended, without what follows it.

    The engine's closing words become a payload of the draft.
    """
    state: AttemptState = "ok" if found.failure is None else "failed"
    if found.failure == "interrupted":
        state = "interrupted"
    message = ending.outcome.message
    return AttemptRecord(
        session_id=running.session_id,
        task_id=running.task_id,
        ordinal=running.ordinal,
        round=running.round,
        attempt=running.attempt,
        call_id=running.call_id or b"",
        state=state,
        failure=found.failure or "",
        evidence=found.reasons,
        tokens=ending.tokens,
        message=draft.payload(running.session_id, message.encode()) if message else None,
        started_ms=ending.started_ms,
        finished_ms=now_ms,
        epoch=epoch,
        tokens_saved=ending.outcome.tokens_saved,
    )


def history_of(
    row: AttemptRecord,
) -> tuple[str, int, dict[str, str | int | float | bool | None]]:
    """Return kind, instant and data of the event that says how an attempt ended."""
    at_ms = row.finished_ms or 0
    data: dict[str, str | int | float | bool | None] = {
        "round": row.round,
        "attempt": row.attempt,
        "tokens": row.tokens,
        "failure": row.failure,
        "evidence": row.evidence[0] if row.evidence else "",
        "delay_ms": row.delay_ms,
        "duration_ms": at_ms - row.started_ms,
    }
    if row.healing:
        data["healing"] = "; ".join(row.healing)
    return f"attempt_{'succeeded' if row.state == 'ok' else row.state}", at_ms, data
