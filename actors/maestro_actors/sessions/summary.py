"""Checkpoints on record: each says which tasks have ended, and how."""

from collections.abc import Mapping
from typing import Any

import msgspec

from maestro_actors.messages import encode
from maestro_storage.records import TASK_FINAL, CheckpointRecord, TaskRecord, TaskState
from maestro_storage.transition import Event, Transition

INIT_PHASE = "init"
"""Name of the checkpoint that is written with the session itself."""


class FinishedTask(msgspec.Struct, frozen=True, kw_only=True):
    """One finished task in the summary of a checkpoint."""

    state: TaskState
    tokens_used: int
    """By all of its attempts, in whichever session they were made."""
    quality_score: float
    manifest: str | None
    """Hex digest of the payload with the manifest of the artifacts."""
    finished_ms: int = 0
    decisions: str | None = None
    """Hex digest of the payload with what its engine decided."""


decode_summary = msgspec.msgpack.Decoder(dict[str, FinishedTask]).decode
"""Decode what the summary of a checkpoint says, by task id."""


decode_decisions = msgspec.json.Decoder(dict[str, Any]).decode
"""Decode what an engine decided, from its payload."""


def encode_decisions(decisions: Mapping[str, Any]) -> bytes:
    """Return the one spelling of what an engine decided.

    Raises:
        TypeError: JSON cannot say it.
    """
    return msgspec.json.encode(decisions, order="sorted")


def finished_task(record: TaskRecord) -> FinishedTask:
    """Return what a checkpoint says of a finished task."""
    return FinishedTask(
        state=record.state,
        tokens_used=record.tokens_kept + record.tokens_used,
        quality_score=record.quality_score,
        manifest=None if record.artifacts is None else record.artifacts.hex(),
        finished_ms=record.finished_ms or 0,
        decisions=None if record.decisions is None else record.decisions.hex(),
    )


def record_checkpoint(
    draft: Transition, checkpoint: CheckpointRecord, tasks: list[TaskRecord]
) -> None:
    """Add a checkpoint over the tasks that have ended to `draft`, with its summary and event."""
    finished = [task for task in tasks if task.state in TASK_FINAL]
    summary = {record.task_id: finished_task(record) for record in finished}
    tokens_used = sum(task.tokens_used for task in summary.values())
    draft.put(
        msgspec.structs.replace(
            checkpoint,
            summary=draft.payload(checkpoint.session_id, encode(summary)),
            tokens_used=tokens_used,
            tasks_done=sum(record.state == "done" for record in finished),
        )
    )
    if checkpoint.phase == INIT_PHASE:
        return
    kind, what = ("phase_finished", "phase")
    if checkpoint.on_demand:
        kind, what = ("checkpoint_taken", "name")
    draft.event(
        Event(
            checkpoint.session_id,
            kind,
            checkpoint.at_ms,
            data={
                what: checkpoint.phase,
                "checkpoint": checkpoint.number,
                "tokens": tokens_used,
            },
        )
    )
