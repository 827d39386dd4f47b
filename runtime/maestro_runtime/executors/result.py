"""What an execution comes to, in the words that callers of the executors know."""

from collections.abc import Sequence
from typing import Any

import msgspec

from maestro_runtime.reports.session import SessionReport, TaskReport
from maestro_storage.records import SessionState


class PersonaResult(msgspec.Struct, frozen=True, kw_only=True):
    """What one persona has done for its contract, or for all of its contracts together."""

    persona_id: str
    success: bool
    """Every contract is done."""
    state: SessionState
    """Of the session: "done", "failed", "help_needed", or ended by somebody before its end."""
    artifacts: list[str]
    """Files delivered, as seen on disk, relative to `output_dir`; each once."""
    quality_score: float
    """0.0 to 1.0; of several contracts the mean, each counting the same."""
    contract_fulfilled: bool
    """Every contract is fulfilled; False for one that a person let be skipped."""
    duration_seconds: float
    """From the first attempt's start to the last one's end, pauses included, process ends too."""
    tokens_used: int
    """By all attempts, failed ones included."""
    errors: list[str]
    """What was wrong with the last attempt of each contract that is not done."""
    failure: str
    """Class of the first of those failures; empty if there is none. "limit": out of budget."""
    attempts: int
    """Made over all rounds, in this process and in earlier ones."""
    session_id: str
    call_ids: list[str]
    """One for each attempt, as `maestro-runtime tokens` knows them."""
    output_dir: str


class ParallelResult(msgspec.Struct, frozen=True, kw_only=True):
    """What several personas have done together."""

    success: bool
    """Every persona has succeeded."""
    state: SessionState
    """See `PersonaResult.state`."""
    persona_results: dict[str, PersonaResult]
    """By persona id, in the order of the contracts."""
    duration_seconds: float
    """Of the session, from its creation to its end; 0.0 while it waits for a person."""
    tokens_used: int
    errors: list[str]
    session_id: str
    output_dir: str


def persona_result(report: SessionReport, persona_id: str) -> PersonaResult:
    """Return what a persona has done in a session."""
    tasks = [task for task in report.tasks if task.persona_id == persona_id]
    undone = [task for task in tasks if task.state != "done"]
    paths = (artifact.path for task in tasks for artifact in task.artifacts)
    attempts = [attempt for task in tasks for attempt in task.attempts]
    return PersonaResult(
        persona_id=persona_id,
        success=not undone,
        state=report.state,
        artifacts=list(dict.fromkeys(paths)),
        quality_score=sum(task.quality_score for task in tasks) / max(1, len(tasks)),
        contract_fulfilled=all(task.contract_fulfilled for task in tasks),
        duration_seconds=_duration_seconds(tasks),
        tokens_used=sum(task.tokens_used for task in tasks),
        errors=[line for task in undone for line in _errors(task)],
        failure=next((task.failure for task in undone if task.failure), ""),
        attempts=len(attempts),
        session_id=report.session_id,
        call_ids=[attempt.call_id for attempt in attempts],
        output_dir=report.output_dir,
    )


def parallel_result(report: SessionReport) -> ParallelResult:
    """Return what all personas have done in a session."""
    personas = dict.fromkeys(task.persona_id for task in report.tasks)
    results = {persona_id: persona_result(report, persona_id) for persona_id in personas}
    return ParallelResult(
        success=all(result.success for result in results.values()),
        state=report.state,
        persona_results=results,
        duration_seconds=report.duration_seconds or 0.0,
        tokens_used=report.tokens_used,
        errors=[line for result in results.values() for line in result.errors],
        session_id=report.session_id,
        output_dir=report.output_dir,
    )


def _duration_seconds(tasks: Sequence[TaskReport]) -> float:
    attempts = [attempt for task in tasks for attempt in task.attempts]
    ends = [attempt.finished_ms for attempt in attempts if attempt.finished_ms is not None]
    if not ends:
        return 0.0
    return max(0, max(ends) - min(attempt.started_ms for attempt in attempts)) / 1000


def _errors(task: TaskReport) -> list[str]:
    """Say why a task is not done, one line for each thing that was wrong."""
    waits = f"waits for {task.detail}" if task.detail else task.state
    reasons: tuple[Any, ...] = task.evidence or (task.failure or waits,)
    return [f"contract {task.task_id!r}: {reason}" for reason in reasons]
