"""Work that is done again because somebody says so: a failed task, or a phase and all after it.

Pure functions from records to the transition that follows. A task that is tried again begins
another round, so that no call has the id of an old one, and nothing is booked under it twice.
"""

from collections.abc import Collection, Iterable

import msgspec

from maestro_actors.errors import VerbRefused
from maestro_actors.team import Team
from maestro_storage.errors import NotFound
from maestro_storage.records import CheckpointRecord, SessionRecord, TaskRecord
from maestro_storage.transition import Event, Transition

_Data = dict[str, str | int | float | bool | None]


def next_round(task: TaskRecord, epoch: int) -> TaskRecord:
    """Return a task that is tried again, whatever the limit of its rounds."""
    return msgspec.structs.replace(
        task,
        state="queued",
        waits_for="slot",
        # Another round: the ids of its calls must not be those of old ones.
        round=task.round + (task.attempt > 0),
        attempt=0,
        deadline_ms=None,
        finished_ms=None,
        # What was changed since then may not show in the files.
        findings=b"",
        epoch=epoch,
    )


def retried(  # noqa: PLR0917 - all of them are needed, and there is one for each
    session: SessionRecord,
    tasks: Collection[TaskRecord],
    team: Team,
    task_id: str,
    now_ms: int,
    epoch: int,
) -> tuple[list[TaskRecord], Transition]:
    """Return the tasks that change when a failed one is tried again, that one first, and the draft.

    What was blocked by the failure is queued. A session that had failed is running after it, and
    goes on when it is resumed; a paused one stays paused.

    Raises:
        NotFound: There is no such task.
        VerbRefused: The task has not failed, or its session is being cancelled.
    """
    task = next((item for item in tasks if item.task_id == task_id), None)
    if task is None:
        raise NotFound("task", f"{session.session_id}/{task_id}")
    if task.state == "help_needed":
        rule = "it must have failed; one that needs help is to be answered"
        raise VerbRefused("retry", session.session_id, task.state, rule, task_id)
    if session.wish == "cancel" or session.state == "cancelled":
        rule = "its session must not be cancelled"
        raise VerbRefused("retry", session.session_id, task.state, rule, task_id)
    if task.state != "failed":
        raise VerbRefused("retry", session.session_id, task.state, "it must have failed", task_id)
    behind = _behind(team, task_id)
    changed = [next_round(task, epoch)]
    changed += [
        msgspec.structs.replace(
            item, state="queued", waits_for="contract", finished_ms=None, epoch=epoch
        )
        for item in tasks
        if item.state == "blocked" and item.task_id in behind
    ]
    draft = Transition()
    for item in changed:
        draft.put(item)
    if session.state == "failed":
        draft.put(_running(session, now_ms, epoch))
    data: _Data = {"persona_id": task.persona_id, "unblocked": len(changed) - 1}
    draft.event(Event(session.session_id, "task_retried", now_ms, task_id, data))
    return changed, draft


class Rerun(msgspec.Struct, frozen=True, kw_only=True):
    """What runs again from a phase on, and what stays."""

    session_id: str
    from_phase: str
    phases: tuple[str, ...]
    """That one and all after it, in the order of the team."""
    tasks: tuple[str, ...]
    tasks_kept: tuple[str, ...]
    """Those that are done or skipped, and stay so."""
    tokens_again: int
    """What the tasks that run again have used so far: a guess at what they will use."""
    tokens_kept: int
    checkpoints_dropped: tuple[int, ...]


def plan_rerun(
    session: SessionRecord,
    tasks: Collection[TaskRecord],
    checkpoints: Iterable[CheckpointRecord],
    team: Team,
    phase: str,
) -> Rerun:
    """Return what a rerun from `phase` would do.

    Raises:
        NotFound: There is no such phase.
        VerbRefused: The session runs, has a call that nobody has settled, or was cancelled.
    """
    if phase not in {item.name for item in team.phases}:
        raise NotFound("phase", f"{session.session_id}/{phase}")
    if session.state == "cancelled" or session.wish == "cancel":
        raise VerbRefused("rerun", session.session_id, session.state, "it must not be cancelled")
    if any(task.state == "running" for task in tasks):
        rule = "nothing of it must be in flight: pause it first"
        raise VerbRefused("rerun", session.session_id, session.state, rule)
    phases = _after(team, phase)
    kept = [
        task for task in tasks if task.phase not in phases and task.state in ("done", "skipped")
    ]
    again = [task for task in tasks if task.phase in phases]
    return Rerun(
        session_id=session.session_id,
        from_phase=phase,
        phases=tuple(item.name for item in team.phases if item.name in phases),
        tasks=tuple(task.task_id for task in again),
        tasks_kept=tuple(task.task_id for task in kept),
        tokens_again=sum(task.tokens_used for task in again),
        tokens_kept=sum(task.tokens_kept + task.tokens_used for task in kept),
        checkpoints_dropped=tuple(item.number for item in checkpoints if item.phase in phases),
    )


def rerun(  # noqa: PLR0917 - all of them are needed, and there is one for each
    session: SessionRecord,
    tasks: Collection[TaskRecord],
    checkpoints: Collection[CheckpointRecord],
    plan: Rerun,
    now_ms: int,
    epoch: int,
) -> Transition:
    """Return the transition that does what `plan_rerun` has said of the same records.

    Checkpoints of phases that run again are gone with it; their numbers are not used again. Files
    in the workspace stay, and so do manifests that an earlier checkpoint may name.
    """
    draft = Transition()
    for task in tasks:
        if task.task_id in plan.tasks:
            draft.put(_afresh(next_round(task, epoch)))
    dropped = [item for item in checkpoints if item.number in plan.checkpoints_dropped]
    for item in dropped:
        draft.delete(item)
    kept = {item.summary for item in checkpoints if item not in dropped}
    for summary in {item.summary for item in dropped} - kept:
        draft.release(session.session_id, summary)
    last = max((item.number for item in checkpoints), default=0)
    running = _running(session, now_ms, epoch)
    draft.put(
        msgspec.structs.replace(
            running if session.state != "paused" else session,
            checkpoints_made=max(last, session.checkpoints_made),
            # It was made for phases that were done by then.
            plan=(),
            updated_ms=now_ms,
            epoch=epoch,
        )
    )
    data: _Data = {
        "from_phase": plan.from_phase,
        "tasks": len(plan.tasks),
        "checkpoints": len(dropped),
    }
    draft.event(Event(session.session_id, "session_rerun", now_ms, data=data))
    return draft


def _afresh(task: TaskRecord) -> TaskRecord:
    """Return a task without what an earlier result of it was."""
    return msgspec.structs.replace(
        task,
        waits_for="contract",
        quality_score=0.0,
        contract_fulfilled=False,
        failure="",
        evidence=(),
        advice=(),
        scope=(),
        artifacts=None,
        decisions=None,
        checks=None,
        started_ms=None,
    )


def _running(session: SessionRecord, now_ms: int, epoch: int) -> SessionRecord:
    return msgspec.structs.replace(
        session, state="running", updated_ms=now_ms, finished_ms=None, error="", epoch=epoch
    )


def _after(team: Team, phase: str) -> set[str]:
    """Return a phase and all that come after it, directly or not."""
    found = {phase}
    while more := {
        item.name for item in team.phases if item.name not in found and found & set(item.after)
    }:
        found |= more
    return found


def _behind(team: Team, task_id: str) -> set[str]:
    """Return the tasks that cannot start before a task is done."""
    phase = next(item.phase for item in team.contracts if item.id == task_id)
    later = _after(team, phase) - {phase}
    found = {task_id}
    while more := {
        item.id for item in team.contracts if item.id not in found and found & set(item.after)
    }:
        found |= more
    return found | {item.id for item in team.contracts if item.phase in later}
