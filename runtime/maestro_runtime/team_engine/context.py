"""Where a session stands, as the programs of the Maestro platform carry it from phase to phase.

It is read from the durable records and never kept beside them, so it cannot contradict them.
"""

from typing import Any, Final, Self

import msgspec

from maestro_actors.engine import Artifact
from maestro_actors.sessions.plan import in_order, recorded_phases
from maestro_runtime.checkpoints import report_of_now
from maestro_runtime.recorded import recorded_team
from maestro_runtime.reports.session import SessionReport, TaskReport, session_report
from maestro_runtime.team_engine.errors import ContextTooNew, ContextUnreadable
from maestro_storage import Records
from maestro_storage.records import SessionState, TaskState

SCHEMA_VERSION: Final = 1
"""Of a context; grows when a field changes its meaning."""


class PhaseResult(msgspec.Struct, frozen=True, kw_only=True):
    """How a phase that has begun stands."""

    success: bool
    """It is done: all its tasks were done or skipped, and its checkpoint is durable."""
    checkpoint: int
    """Number of its checkpoint; 0 if it has none yet."""
    tasks: dict[str, TaskState]
    """By contract."""
    artifacts: tuple[str, ...]
    """Paths in the workspace."""
    tokens_used: int
    """In this session, by all attempts."""
    quality_score: float
    """Mean of its tasks, 0..1."""
    errors: tuple[str, ...]
    """What stopped it, one sentence each; empty unless a task failed or waits for a person."""


class TeamExecutionContext(msgspec.Struct, frozen=True, kw_only=True):
    """Where a session stands."""

    schema_version: int = SCHEMA_VERSION
    session_id: str
    team: str
    requirement: str
    state: SessionState
    stop: str
    """Why it is paused: what the plan says is to be done now. Empty if it is not."""
    current_phase: str
    """The first phase, in the order they run, that is not done; empty if all are."""
    artifacts: tuple[Artifact, ...]
    """Files of the tasks that have ended, by path; of one that several delivered, the last."""
    decisions: dict[str, dict[str, Any]]
    """What engines decided, by contract. They say so themselves: nobody can see it on disk."""
    phase_results: dict[str, PhaseResult]
    """Of the phases that have begun."""
    inputs: dict[str, Any]
    """What the session was given besides files."""

    @property
    def success(self) -> bool:
        """Whether every phase that has begun is done."""
        return all(result.success for result in self.phase_results.values())

    def to_json(self) -> bytes:
        """Return the one spelling of it: keys sorted, no spaces, UTF-8."""
        return msgspec.json.encode(self, order="sorted")

    @classmethod
    def from_json(cls, text: bytes | str) -> Self:
        """Read what `to_json` wrote.

        Raises:
            ContextUnreadable: It is not a context.
            ContextTooNew: A newer version wrote it.
        """
        try:
            version = msgspec.json.decode(text, type=_Version).schema_version
            if version > SCHEMA_VERSION:
                raise ContextTooNew(version, SCHEMA_VERSION)
            return msgspec.json.decode(text, type=cls)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ContextUnreadable(str(error)) from error


class _Version(msgspec.Struct):
    schema_version: int


def context_of(store: Records, session_id: str) -> TeamExecutionContext:
    """Read where a session stands.

    Raises:
        NotFound: There is no such session.
        SessionQuarantined, RecordDamaged: Something of it is damaged.
    """
    report = session_report(store, session_id)
    team = recorded_team(store, store.require_session(session_id))
    ended = report_of_now(store, session_id)
    rows = list(store.checkpoints.scan(session_id))
    done = recorded_phases(rows)
    numbers = {row.phase: row.number for row in rows if not row.on_demand}
    return TeamExecutionContext(
        session_id=session_id,
        team=report.team,
        requirement=report.requirement,
        state=report.state,
        stop=report.pause_reason,
        current_phase=next((name for name in in_order(team) if name not in done), ""),
        artifacts=tuple(ended.files[path] for path in sorted(ended.files)),
        decisions={task.task_id: task.decisions for task in ended.tasks if task.decisions},
        phase_results=_results(report, in_order(team), numbers),
        inputs=team.inputs,
    )


def _results(
    report: SessionReport, order: tuple[str, ...], numbers: dict[str, int]
) -> dict[str, PhaseResult]:
    results = {}
    for name in order:
        tasks = [task for task in report.tasks if task.phase == name]
        if name in numbers or any(task.state not in ("queued", "blocked") for task in tasks):
            results[name] = _result(tasks, numbers.get(name, 0))
    return results


def _result(tasks: list[TaskReport], checkpoint: int) -> PhaseResult:
    return PhaseResult(
        success=checkpoint > 0,
        checkpoint=checkpoint,
        tasks={task.task_id: task.state for task in tasks},
        artifacts=tuple(sorted({file.path for task in tasks for file in task.artifacts})),
        tokens_used=sum(task.tokens_used for task in tasks),
        quality_score=sum(task.quality_score for task in tasks) / max(1, len(tasks)),
        errors=tuple(
            f"{task.task_id}: {task.failure}: {sentence}"
            for task in tasks
            if task.state in ("failed", "help_needed")
            for sentence in task.evidence or ("no evidence",)
        ),
    )
