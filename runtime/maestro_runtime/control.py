"""Sessions under control of a person: what can be done to their records while nothing runs them.

What also stops work in flight is a method of `Runtime`: `pause` and `cancel`.
"""

from maestro_actors.errors import VerbRefused
from maestro_actors.rework import Rerun, plan_rerun, rerun, retried
from maestro_actors.team import decode_team
from maestro_storage import Records, Store
from maestro_storage.records import SESSION_FINAL


def retry_at_rest(store: Store, session_id: str, task_id: str, now_ms: int) -> tuple[str, ...]:
    """Try a failed task of a session that nobody runs again; durable on return.

    It begins another round when the session is resumed, and so does what it had blocked.

    Returns:
        The tasks that were blocked by it and no longer are.

    Raises:
        NotFound: There is no such session or task.
        VerbRefused: The task has not failed, or its session is cancelled.
        SessionQuarantined: A record of the session is damaged.
        StorageError: It could not be written.
    """
    session = store.require_session(session_id)
    tasks = list(store.tasks.scan(session_id))
    team = decode_team(store.payloads.require(session.team))
    changed, draft = retried(session, tasks, team, task_id, now_ms, store.epoch)
    store.journal.commit(draft).result()
    return tuple(task.task_id for task in changed[1:])


def rerun_plan(store: Records, session_id: str, phase: str) -> Rerun:
    """Say what a rerun from a phase would do; nothing is changed.

    Raises:
        NotFound: There is no such session or phase.
        VerbRefused: Something of the session is in flight, or it was cancelled.
        SessionQuarantined: A record of the session is damaged.
    """
    session = store.require_session(session_id)
    tasks = list(store.tasks.scan(session_id))
    team = decode_team(store.payloads.require(session.team))
    return plan_rerun(session, tasks, store.checkpoints.scan(session_id), team, phase)


def rerun_at_rest(store: Store, session_id: str, phase: str, now_ms: int) -> Rerun:
    """Queue a phase and all after it again, in a session that nobody runs; durable on return.

    Its tasks begin another round when the session is resumed; the results of other phases stay.
    Checkpoints of phases that run again are dropped. Files in the workspace are left as they are.

    Raises:
        NotFound, VerbRefused, SessionQuarantined: As `rerun_plan`.
        StorageError: It could not be written.
    """
    plan = rerun_plan(store, session_id, phase)
    session = store.require_session(session_id)
    tasks = list(store.tasks.scan(session_id))
    checkpoints = list(store.checkpoints.scan(session_id))
    draft = rerun(session, tasks, checkpoints, plan, now_ms, store.epoch)
    store.journal.commit(draft).result()
    return plan


def remove_at_rest(store: Store, session_id: str) -> None:
    """Delete all records of a session that has ended, in one transition; durable on return.

    Files in its workspace are not touched. What it has used stays in the history of usage.

    Raises:
        NotFound: There is no such session.
        VerbRefused: It has not ended, or a ticket or an alert of it is not sent yet.
        SessionQuarantined: A record of it is damaged.
        StorageError: It could not be deleted.
    """
    session = store.require_session(session_id)
    if session.state not in SESSION_FINAL:
        raise VerbRefused("remove", session_id, session.state, "it must have ended")
    if any(row.state != "done" for row in store.outbox.scan(session_id)):
        rule = "its tickets and alerts must have been sent"
        raise VerbRefused("remove", session_id, session.state, rule)
    store.journal.remove(session_id).result()
