"""The first transition of a session, and the checkpoints that follow it."""

import msgspec

from maestro_actors.messages import encode
from maestro_actors.team import Team
from maestro_storage.records import CheckpointRecord, SessionRecord, TaskRecord
from maestro_storage.transition import Event, Transition

INIT_PHASE = "init"
"""Name of the checkpoint that is written with the session itself."""


class FinishedTask(msgspec.Struct, frozen=True, kw_only=True):
    """One finished task in the summary of a checkpoint."""

    state: str
    tokens_used: int
    quality_score: float
    manifest: str | None
    """Hex digest of the payload with the manifest of the artifacts."""


def opening_transition(
    session_id: str,
    team: Team,
    *,
    output_dir: str,
    input_dir: str | None,
    now_ms: int,
    epoch: int,
) -> Transition:
    """Return the one transition that creates a session with all its tasks, queued.

    Args:
        session_id: Must not exist yet; the caller has looked.
        team: Validated; stored whole, so that a resume needs nothing but the session id.
        output_dir: Absolute path of the workspace.
        input_dir: Absolute path of the source tree to work on, or None.
        now_ms: Wall clock.
        epoch: Start of the state directory that writes the records.
    """
    draft = Transition()
    draft.put(
        SessionRecord(
            session_id=session_id,
            state="running",
            team_name=team.name,
            team=draft.payload(session_id, encode(team)),
            output_dir=output_dir,
            input_dir=input_dir,
            created_ms=now_ms,
            updated_ms=now_ms,
            epoch=epoch,
        )
    )
    starting = {phase.name for phase in team.phases if not phase.after}
    for contract in team.contracts:
        ready = contract.phase in starting and not contract.after
        draft.put(
            TaskRecord(
                session_id=session_id,
                task_id=contract.id,
                phase=contract.phase,
                persona_id=contract.provider_persona_id,
                engine=team.personas[contract.provider_persona_id].engine,
                state="queued",
                waits_for="slot" if ready else "contract",
                epoch=epoch,
            )
        )
    draft.event(
        Event(
            session_id,
            "session_started",
            now_ms,
            data={"team": team.name, "tasks": len(team.contracts), "phases": len(team.phases)},
        )
    )
    record_checkpoint(
        draft,
        CheckpointRecord(
            session_id=session_id, number=1, phase=INIT_PHASE, at_ms=now_ms, epoch=epoch
        ),
        [],
    )
    return draft


def record_checkpoint(
    draft: Transition, checkpoint: CheckpointRecord, finished: list[TaskRecord]
) -> None:
    """Add a checkpoint over the `finished` tasks to `draft`, with its summary and its event."""
    summary = {
        record.task_id: FinishedTask(
            state=record.state,
            tokens_used=record.tokens_used,
            quality_score=record.quality_score,
            manifest=None if record.artifacts is None else record.artifacts.hex(),
        )
        for record in finished
    }
    tokens_used = sum(record.tokens_used for record in finished)
    draft.put(
        msgspec.structs.replace(
            checkpoint,
            summary=draft.payload(checkpoint.session_id, encode(summary)),
            tokens_used=tokens_used,
            tasks_done=sum(record.state == "done" for record in finished),
        )
    )
    if checkpoint.phase != INIT_PHASE:
        draft.event(
            Event(
                checkpoint.session_id,
                "phase_finished",
                checkpoint.at_ms,
                data={
                    "phase": checkpoint.phase,
                    "checkpoint": checkpoint.number,
                    "tokens": tokens_used,
                },
            )
        )
