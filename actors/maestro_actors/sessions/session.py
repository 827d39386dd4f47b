"""A session before it is on record, and the transition that puts it there."""

from typing import Any

import msgspec

from maestro_actors.engine import Artifact
from maestro_actors.messages import encode
from maestro_actors.sessions.summary import INIT_PHASE, encode_decisions, record_checkpoint
from maestro_actors.team import Contract, Team
from maestro_actors.versions import Version
from maestro_storage.plan import Plan
from maestro_storage.records import (
    CheckpointRecord,
    SessionRecord,
    TaskRecord,
    TaskState,
)
from maestro_storage.transition import Event, Transition


class KeptTask(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A task that a new session need not run, because a checkpoint has it."""

    state: TaskState
    """One of `TASK_PASSED`."""
    tokens_used: int
    quality_score: float
    finished_ms: int
    artifacts: tuple[Artifact, ...]
    decisions: dict[str, Any] = {}
    """What its engine decided."""


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """The checkpoint that a new session begins with."""

    session_id: str
    """The name of the new session itself, if it is imported; empty if the tasks were not run but
    given by the caller."""
    phase: str
    """Of the checkpoint; of tasks that were given, the phase to start at."""
    number: int
    tasks: dict[str, KeptTask]
    """By task id; the others are queued."""
    given: str = ""
    """What tells the files that were given from others; empty if none were."""

    @property
    def tokens_kept(self) -> int:
        """What the kept tasks cost, booked where they ran."""
        return sum(task.tokens_used for task in self.tasks.values())


class Particulars(msgspec.Struct, frozen=True, kw_only=True):
    """What is noted of a session besides its team and its directories."""

    labels: dict[str, str] = {}
    idempotency_key: str = ""
    input_digest: bytes = b""
    """Of all else that an order with a key says; see `SessionRecord`."""
    versions: tuple[Version, ...] = ()
    """None if they are not known before it runs."""
    priority: int = 0
    """See `SessionRecord`."""


class NewSession(msgspec.Struct, frozen=True, kw_only=True):
    """A session before it is on record."""

    session_id: str
    """Must not exist yet; whoever makes it has looked."""
    team: Team
    """Validated; stored whole, so that a resume needs nothing but the session id."""
    output_dir: str
    """Absolute path of the workspace."""
    input_dir: str | None = None
    """Absolute path of the source tree to work on."""
    origin: Origin | None = None
    """The checkpoint it begins with; None to begin with nothing."""
    particulars: Particulars = Particulars()
    """What else is noted of it."""
    plan: Plan = ()
    """What it runs before it stops; it can be kept."""
    queued: bool = False
    """It waits for others to end before it runs."""


def opening_transition(new: NewSession, now_ms: int, epoch: int) -> Transition:
    """Return the one transition that creates a session with all its tasks.

    They are queued, but for those that its origin has. Those are as they were, with their
    artifacts, and what they cost is `tokens_kept`: the ledger of the session has only its own
    calls. The checkpoints of phases that are wholly kept are written when the session runs.

    Args:
        new: The session.
        now_ms: Wall clock.
        epoch: Start of the state directory that writes the records.
    """
    draft = Transition()
    team, origin, particulars = new.team, new.origin, new.particulars
    session = SessionRecord(
        session_id=new.session_id,
        state="queued" if new.queued else "running",
        team_name=team.name,
        team=draft.payload(new.session_id, encode(team)),
        output_dir=new.output_dir,
        input_dir=new.input_dir,
        created_ms=now_ms,
        updated_ms=now_ms,
        epoch=epoch,
        origin_session="" if origin is None else origin.session_id,
        origin_checkpoint=0 if origin is None else origin.number,
        labels=particulars.labels,
        idempotency_key=particulars.idempotency_key,
        input_digest=particulars.input_digest,
        versions=_kept_versions(draft, new.session_id, particulars.versions),
        plan=new.plan,
        priority=particulars.priority,
        queued_ms=now_ms if new.queued else None,
    )
    draft.put(session)
    _begin(draft, new, now_ms, epoch)
    return draft


def _begin(draft: Transition, new: NewSession, now_ms: int, epoch: int) -> None:
    """Add the tasks, what the history says of the beginning, and the first checkpoint."""
    session_id = new.session_id
    tasks = _first_tasks(draft, new, epoch)
    for task in tasks:
        draft.put(task)
    draft.event(Event(session_id, "session_started", now_ms, data=_started(new)))
    if new.queued:
        draft.event(Event(session_id, "session_queued", now_ms))
    record_checkpoint(
        draft,
        CheckpointRecord(
            session_id=session_id, number=1, phase=INIT_PHASE, at_ms=now_ms, epoch=epoch
        ),
        tasks,
    )


def _kept_versions(
    draft: Transition, session_id: str, versions: tuple[Version, ...]
) -> bytes | None:
    return draft.payload(session_id, encode(versions)) if versions else None


def _first_tasks(draft: Transition, new: NewSession, epoch: int) -> list[TaskRecord]:
    """Return the tasks as they begin; the manifests of those that are kept go into `draft`."""
    kept = {} if new.origin is None else new.origin.tasks
    tasks = []
    for contract in new.team.contracts:
        task = queued_task(new.session_id, new.team, contract, epoch)
        if contract.id in kept:
            task = _as_kept(draft, task, kept[contract.id])
        tasks.append(task)
    return tasks


def queued_task(session_id: str, team: Team, contract: Contract, epoch: int) -> TaskRecord:
    """Return the task of a contract before its first attempt."""
    first = any(phase.name == contract.phase and not phase.after for phase in team.phases)
    return TaskRecord(
        session_id=session_id,
        task_id=contract.id,
        phase=contract.phase,
        persona_id=contract.provider_persona_id,
        engine=team.personas[contract.provider_persona_id].engine,
        state="queued",
        waits_for="slot" if first and not contract.after else "contract",
        epoch=epoch,
    )


def _as_kept(draft: Transition, task: TaskRecord, kept: KeptTask) -> TaskRecord:
    manifest = None
    if kept.artifacts:
        manifest = draft.payload(task.session_id, encode(kept.artifacts))
    decisions = None
    if kept.decisions:
        decisions = draft.payload(task.session_id, encode_decisions(kept.decisions))
    return msgspec.structs.replace(
        task,
        state=kept.state,
        waits_for="nothing",
        quality_score=kept.quality_score,
        contract_fulfilled=kept.state == "done",
        artifacts=manifest,
        decisions=decisions,
        finished_ms=kept.finished_ms,
        tokens_kept=kept.tokens_used,
    )


def _started(new: NewSession) -> dict[str, str | int | float | bool | None]:
    """Return what the history says of the start."""
    team, origin, particulars = new.team, new.origin, new.particulars
    data: dict[str, str | int | float | bool | None] = {
        "team": team.name,
        "tasks": len(team.contracts),
        "phases": len(team.phases),
    }
    if origin is not None:
        data |= {
            "from_session": origin.session_id,
            "from_checkpoint": origin.number,
            "from_phase": origin.phase,
            "tasks_kept": len(origin.tasks),
            "tokens_kept": origin.tokens_kept,
        }
        if origin.given:
            data["given"] = origin.given
    if particulars.labels:
        labels = particulars.labels.items()
        data["labels"] = ", ".join(f"{key}={value}" for key, value in labels)
    if particulars.idempotency_key:
        data["idempotency_key"] = particulars.idempotency_key
    return data
