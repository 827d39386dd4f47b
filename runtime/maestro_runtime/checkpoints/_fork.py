"""A fork: a new session that begins with a checkpoint of another, which stays as it is."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from maestro_actors.receipt import Receipt, put_receipt
from maestro_actors.sessions.session import NewSession, Origin, Particulars, opening_transition
from maestro_actors.team import Team
from maestro_runtime.checkpoints._files import content_of, fill
from maestro_runtime.checkpoints._report import (
    CheckpointReport,
    checkpoint_report,
    find_checkpoint,
    latest_files,
)
from maestro_runtime.errors import SessionExists, SessionNameInvalid
from maestro_runtime.recorded import recorded_team
from maestro_runtime.reports.session import session_versions
from maestro_runtime.session import SESSION_ID
from maestro_runtime.starting.directories import own_workspace, usable_input
from maestro_runtime.workspace import Workspace
from maestro_storage import Records, Store
from maestro_storage.records import TaskRecord

SCHEMA: Final = "maestro.fork/1"
"""Name and version of the JSON shape; a field is only ever added."""

BASE_CHARACTERS_MAX: Final = 50
"""So much of the name of the original is in the name of a fork that is given none."""


@dataclass(frozen=True, slots=True)
class ForkOrder:
    """What a fork is to be."""

    session_id: str
    """The original."""
    checkpoint: str | None = None
    """A phase, or the number of a checkpoint; None: the last."""
    new_id: str | None = None
    """None: the first of `<original>-fork-1`, `-2` ... that is free."""
    output_dir: Path | None = None
    """The workspace, with nothing else in it; None: `maestro-output/<new id>` under `base_dir`."""
    requirement: str | None = None
    """Replaces that of the team for the tasks that run; None: it stays."""
    base_dir: Path | None = None
    """Where a workspace that is not named is made; None: the current directory."""


class PhaseAgain(msgspec.Struct, frozen=True, kw_only=True):
    """A phase that runs, or goes on, in a fork."""

    phase: str
    tasks: tuple[str, ...]
    """Those that are not kept."""
    tokens: int
    """What these have cost in the original so far: an estimate of what they will cost."""
    untried: int
    """How many of them have never been tried, so that nobody knows."""


class ForkPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What a fork keeps, and what it runs again."""

    schema: str
    session_id: str
    """Of the fork."""
    output_dir: str
    from_session: str
    from_checkpoint: int
    from_phase: str
    tasks_kept: tuple[str, ...]
    tokens_kept: int
    files: int
    """Artifacts that are copied."""
    again: tuple[PhaseAgain, ...]
    """In the order of the team; empty if nothing is left to run."""

    @property
    def tokens_again(self) -> int:
        """What the tasks that run have cost in the original so far."""
        return sum(phase.tokens for phase in self.again)


def fork_plan(store: Records, order: ForkOrder) -> ForkPlan:
    """Return what a fork would be; nothing is changed.

    Raises:
        NotFound: There is no such session or checkpoint.
        SessionExists: There is a session of the new name.
        SessionNameInvalid: The new name is not one.
        SessionQuarantined, RecordDamaged: Something of the original is damaged.
    """
    report, team = _original(store, order)
    kept = report.kept
    tasks = {task.task_id: task for task in store.tasks.scan(report.session_id)}
    session_id = _free_id(store, order)
    phases = (_again(phase.name, team, tasks, set(kept)) for phase in team.phases)
    return ForkPlan(
        schema=SCHEMA,
        session_id=session_id,
        output_dir=str(_place(order, session_id).absolute()),
        from_session=report.session_id,
        from_checkpoint=report.number,
        from_phase=report.phase,
        tasks_kept=tuple(kept),
        tokens_kept=sum(task.tokens_used for task in kept.values()),
        files=len(latest_files(kept)),
        again=tuple(phase for phase in phases if phase.tasks),
    )


def forked_team(store: Records, order: ForkOrder) -> Team:
    """Return the team that a fork runs. Raises as `fork_plan`, but for the new name."""
    return _original(store, order)[1]


class Forked(msgspec.Struct, frozen=True, kw_only=True):
    """A fork was created; durable."""

    session_id: str


def fork(store: Store, order: ForkOrder, now_ms: int, *, receipt: Receipt | None = None) -> str:
    """Create a fork, to be resumed, and return its session id; durable on return.

    The files are copied and verified first, the session follows in one transition: a kill in
    between leaves files and no session, and the same fork again uses them. Team and manifests are
    not stored again, but shared with the original, which may be running, and is not touched.

    Raises:
        ArtifactMismatch: A file of the original is not what the checkpoint has.
        DirectoryUnusable: The workspace cannot be used, or holds something else.
        QuotaExceeded: The state directory has no room for another session.
        StorageError: The session could not be written.
        NotFound, SessionExists, SessionNameInvalid, SessionQuarantined, RecordDamaged: As
            `fork_plan`.
    """
    report, team = _original(store, order)
    session_id = _free_id(store, order)
    store.check_room()
    original = store.require_session(report.session_id)
    input_dir = None if original.input_dir is None else usable_input(Path(original.input_dir))
    kept = report.kept
    files = latest_files(kept)
    workspace = Workspace(original.output_dir)
    contents = (
        (path, content_of(workspace, report.session_id, files[path])) for path in sorted(files)
    )
    new = NewSession(
        session_id=session_id,
        team=team,
        output_dir=fill(store, _place(order, session_id), session_id, files, contents),
        input_dir=input_dir,
        origin=Origin(
            session_id=report.session_id, phase=report.phase, number=report.number, tasks=kept
        ),
        particulars=Particulars(labels=original.labels, versions=session_versions(store, original)),
    )
    draft = opening_transition(new, now_ms, store.epoch)
    put_receipt(draft, receipt, store.epoch, Forked(session_id=session_id))
    store.journal.commit(draft).result()
    return session_id


def _original(store: Records, order: ForkOrder) -> tuple[CheckpointReport, Team]:
    """Return the checkpoint, and the team as the fork runs it."""
    session = store.require_session(order.session_id)
    report = checkpoint_report(store, find_checkpoint(store, order.session_id, order.checkpoint))
    team = recorded_team(store, session)
    if order.requirement is not None:
        team = msgspec.structs.replace(team, requirement=order.requirement)
    return report, team


def _free_id(store: Records, order: ForkOrder) -> str:
    if order.new_id is None:
        number = 1
        while _exists(store, name := f"{order.session_id[:BASE_CHARACTERS_MAX]}-fork-{number}"):
            number += 1
        return name
    if not SESSION_ID.fullmatch(order.new_id):
        raise SessionNameInvalid(order.new_id, SESSION_ID.pattern)
    if _exists(store, order.new_id):
        raise SessionExists(order.new_id)
    return order.new_id


def _exists(store: Records, session_id: str) -> bool:
    return session_id in store.quarantined or store.sessions.get(session_id) is not None


def _place(order: ForkOrder, session_id: str) -> Path:
    return order.output_dir or own_workspace(order.base_dir, session_id)


def _again(phase: str, team: Team, tasks: dict[str, TaskRecord], kept: set[str]) -> PhaseAgain:
    names = tuple(
        contract.id
        for contract in team.contracts
        if contract.phase == phase and contract.id not in kept
    )
    records = [tasks[name] for name in names]
    return PhaseAgain(
        phase=phase,
        tasks=names,
        tokens=sum(record.tokens_kept + record.tokens_used for record in records),
        untried=sum(record.ordinal == 0 and not record.tokens_kept for record in records),
    )
