"""Work that is done again because somebody says so: a failed task, or a phase and all after it.

Pure functions from records to the transition that follows. A task that is tried again begins
another round, so that no call has the id of an old one, and nothing is booked under it twice.
"""

from collections.abc import Collection, Iterable

import msgspec

from maestro_actors.errors import VerbRefused
from maestro_actors.sessions.plan import joined
from maestro_actors.team import Team
from maestro_storage.errors import NotFound
from maestro_storage.plan import Plan
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


def retried(
    session: SessionRecord,
    tasks: Collection[TaskRecord],
    team: Team,
    task_ids: Collection[str],
    now_ms: int,
    epoch: int,
) -> tuple[list[TaskRecord], Transition]:
    """Return the tasks that change when failed ones are tried again, those first, and the draft.

    What was blocked by the failures is queued. A session that had failed is running after it, and
    goes on when it is resumed; a paused one stays paused.

    Raises:
        NotFound: There is no such task.
        VerbRefused: A task has not failed, or its session is being cancelled.
    """
    known = {task.task_id: task for task in tasks}
    draft = Transition()
    changed: dict[str, TaskRecord] = {}
    unblocked: dict[str, TaskRecord] = {}
    for task_id in task_ids:
        task = known.get(task_id)
        if task is None:
            raise NotFound("task", f"{session.session_id}/{task_id}")
        _require_failed(session, task)
        changed[task_id] = next_round(task, epoch)
        behind = _behind(team, task_id)
        freed = {
            item.task_id: msgspec.structs.replace(
                item, state="queued", waits_for="contract", finished_ms=None, epoch=epoch
            )
            for item in tasks
            if item.state == "blocked" and item.task_id in behind
        }
        unblocked |= freed
        data: _Data = {"persona_id": task.persona_id, "unblocked": len(freed)}
        draft.event(Event(session.session_id, "task_retried", now_ms, task_id, data))
    records = [*changed.values(), *unblocked.values()]
    for item in records:
        draft.put(item)
    if session.state == "failed":
        draft.put(_running(session, now_ms, epoch))
    return records, draft


def _require_failed(session: SessionRecord, task: TaskRecord) -> None:
    if task.state == "help_needed":
        rule = "it must have failed; one that needs help is to be answered"
    elif session.wish == "cancel" or session.state == "cancelled":
        rule = "its session must not be cancelled"
    elif task.state != "failed":
        rule = "it must have failed"
    else:
        return
    raise VerbRefused("retry", session.session_id, task.state, rule, task.task_id)


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
    """Return what a rerun from `phase` does, by what is on record now.

    Raises:
        NotFound: There is no such phase.
        VerbRefused: The session is cancelled, or is to run again from a phase that `phase` does not
            come after.
    """
    if phase not in {item.name for item in team.phases}:
        raise NotFound("phase", f"{session.session_id}/{phase}")
    if session.state == "cancelled" or session.wish == "cancel":
        raise VerbRefused("rerun", session.session_id, session.state, "it must not be cancelled")
    first = session.rerun_from or phase
    phases = _after(team, first)
    if phase not in phases:
        rule = f"it must not be about to run again from phase {first!r}"
        raise VerbRefused("rerun", session.session_id, session.state, rule)
    kept = [
        task for task in tasks if task.phase not in phases and task.state in ("done", "skipped")
    ]
    again = [task for task in tasks if task.phase in phases]
    return Rerun(
        session_id=session.session_id,
        from_phase=first,
        phases=tuple(item.name for item in team.phases if item.name in phases),
        tasks=tuple(task.task_id for task in again),
        tasks_kept=tuple(task.task_id for task in kept),
        tokens_again=sum(task.tokens_used for task in again),
        tokens_kept=sum(task.tokens_kept + task.tokens_used for task in kept),
        checkpoints_dropped=tuple(item.number for item in checkpoints if item.phase in phases),
    )


def rerun_asked(
    session: SessionRecord, phase: str, now_ms: int, epoch: int
) -> tuple[SessionRecord, Transition]:
    """Return the record of a session that runs again from a phase once it rests, and the draft.

    `plan_rerun` has been asked whether it may. What the session is to do else stays: one that runs
    goes on after it, one that is to pause does so.
    """
    after = msgspec.structs.replace(session, rerun_from=phase, updated_ms=now_ms, epoch=epoch)
    draft = Transition()
    draft.put(after)
    data: _Data = {"from_phase": phase}
    draft.event(Event(session.session_id, "rerun_asked", now_ms, data=data))
    return after, draft


def rerun(
    session: SessionRecord,
    tasks: Collection[TaskRecord],
    checkpoints: Collection[CheckpointRecord],
    plan: Rerun,
    now_ms: int,
    epoch: int,
) -> Transition:
    """Return the transition that does what `plan_rerun` has said of the same records.

    Nothing of the session is in flight when it is written. A plan that is left has the phases that
    were done, and run again, in its first stretch.

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
            session if session.state in ("paused", "queued") else running,
            checkpoints_made=max(last, session.checkpoints_made),
            plan=_plan_again(session, dropped),
            rerun_from="",
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


def _plan_again(session: SessionRecord, dropped: Iterable[CheckpointRecord]) -> Plan:
    return joined(session.plan, (item.phase for item in dropped)) if session.plan else ()


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
