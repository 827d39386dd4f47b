"""What a user sees of a checkpoint: frozen views with a stable JSON shape, read from the records.

Where the session stands now is a view of the same kind, so that both can be compared.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from maestro_actors.engine import Artifact
from maestro_actors.sessions.session import KeptTask
from maestro_actors.sessions.summary import (
    FinishedTask,
    decode_decisions,
    decode_summary,
    finished_task,
)
from maestro_runtime.recorded import recorded_team
from maestro_storage import Records
from maestro_storage.errors import NotFound
from maestro_storage.records import TASK_FINAL, TASK_PASSED, CheckpointRecord, TaskState

SCHEMA: Final = "maestro.checkpoint-report/1"
"""Name and version of the JSON shape; a field is only ever added."""

_decode_manifest: Final = msgspec.msgpack.Decoder(tuple[Artifact, ...]).decode


class CheckpointTask(msgspec.Struct, frozen=True, kw_only=True):
    """One finished task, as a checkpoint has it."""

    task_id: str
    phase: str
    state: TaskState
    tokens_used: int
    """By all of its attempts, in whichever session they were made."""
    quality_score: float
    finished_ms: int
    """0 if the checkpoint is of a version that did not note it."""
    artifacts: tuple[Artifact, ...]
    decisions: dict[str, Any] = {}
    """What its engine decided."""


class CheckpointReport(msgspec.Struct, frozen=True, kw_only=True):
    """One checkpoint, whole."""

    schema: str
    session_id: str
    number: int
    """1-based; 0 for where the session stands now."""
    phase: str
    at_ms: int
    tokens_used: int
    tasks: tuple[CheckpointTask, ...]
    """In the order of the team."""
    unfinished: tuple[str, ...]
    """Tasks that had not ended by then."""
    on_demand: bool = False
    """Somebody asked for it, and `phase` is its name: no phase ends with it."""

    @property
    def files(self) -> dict[str, Artifact]:
        """The artifacts by path; of a file that several tasks delivered, what the last one left."""
        return latest_files({task.task_id: task for task in self.tasks})

    @property
    def kept(self) -> dict[str, KeptTask]:
        """The tasks that need not run again in a session that begins with this checkpoint."""
        return {
            task.task_id: KeptTask(
                state=task.state,
                tokens_used=task.tokens_used,
                quality_score=task.quality_score,
                finished_ms=task.finished_ms,
                artifacts=task.artifacts,
                decisions=task.decisions,
            )
            for task in self.tasks
            if task.state in TASK_PASSED
        }


def latest_files(tasks: Mapping[str, CheckpointTask | KeptTask]) -> dict[str, Artifact]:
    """Return the artifacts of tasks by path: what the task that ended last has left."""
    in_order = sorted(tasks, key=lambda task_id: (tasks[task_id].finished_ms, task_id))
    return {file.path: file for task_id in in_order for file in tasks[task_id].artifacts}


def find_checkpoint(store: Records, session_id: str, which: str | None) -> CheckpointRecord:
    """Return a checkpoint by its phase, else by its number; the last one for None.

    Raises:
        NotFound: There is no such session or checkpoint.
        SessionQuarantined: A record of the session is damaged.
    """
    records = list(store.checkpoints.scan(store.require_session(session_id).session_id))
    for record in reversed(records):
        if which is None or record.phase == which:
            return record
    for record in records:
        if which == str(record.number):
            return record
    raise NotFound("checkpoint", f"{session_id}/{which}")


def checkpoint_report(store: Records, record: CheckpointRecord) -> CheckpointReport:
    """Read one checkpoint whole.

    Raises:
        NotFound, RecordDamaged: A payload of it is missing, or does not match its digest.
    """
    finished = decode_summary(store.payloads.require(record.summary))
    return _report(store, record, finished)


def report_of_now(store: Records, session_id: str) -> CheckpointReport:
    """Read where a session stands, as if it were a checkpoint.

    Raises:
        NotFound: There is no such session.
        SessionQuarantined, RecordDamaged: Something of it is damaged.
    """
    session = store.require_session(session_id)
    finished = {
        task.task_id: finished_task(task)
        for task in store.tasks.scan(session_id)
        if task.state in TASK_FINAL
    }
    now = CheckpointRecord(
        session_id=session_id,
        number=0,
        phase="now",
        at_ms=session.updated_ms,
        tokens_used=sum(task.tokens_used for task in finished.values()),
    )
    return _report(store, now, finished)


def _report(
    store: Records, record: CheckpointRecord, finished: dict[str, FinishedTask]
) -> CheckpointReport:
    session = store.require_session(record.session_id)
    team = recorded_team(store, session)
    ended = (contract for contract in team.contracts if contract.id in finished)
    return CheckpointReport(
        schema=SCHEMA,
        session_id=record.session_id,
        number=record.number,
        phase=record.phase,
        at_ms=record.at_ms,
        tokens_used=record.tokens_used,
        tasks=tuple(
            CheckpointTask(
                task_id=contract.id,
                phase=contract.phase,
                state=finished[contract.id].state,
                tokens_used=finished[contract.id].tokens_used,
                quality_score=finished[contract.id].quality_score,
                finished_ms=finished[contract.id].finished_ms,
                artifacts=_artifacts(store, finished[contract.id].manifest),
                decisions=_decisions(store, finished[contract.id].decisions),
            )
            for contract in ended
        ),
        unfinished=tuple(item.id for item in team.contracts if item.id not in finished),
        on_demand=record.on_demand,
    )


def _artifacts(store: Records, manifest: str | None) -> tuple[Artifact, ...]:
    if manifest is None:
        return ()
    return _decode_manifest(store.payloads.require(bytes.fromhex(manifest)))


def _decisions(store: Records, decisions: str | None) -> dict[str, Any]:
    if decisions is None:
        return {}
    return decode_decisions(store.payloads.require(bytes.fromhex(decisions)))
