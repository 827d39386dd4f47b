"""Sessions under control of a person: what can be done to their records while nothing runs them.

What also stops work in flight is a method of `Runtime`: `pause` and `cancel`.
"""

from collections.abc import Callable
from contextlib import suppress

from maestro_actors.errors import VerbRefused
from maestro_actors.receipt import Receipt, put_receipt
from maestro_actors.verbs.rework import Rerun, plan_rerun, rerun, rerun_asked, retried
from maestro_runtime.recorded import recorded_team
from maestro_storage import Records, Store
from maestro_storage.errors import StoreClosed
from maestro_storage.records import SESSION_FINAL
from maestro_storage.transition import Transition


def retry_at_rest(
    store: Store, session_id: str, task_id: str, now_ms: int, *, receipt: Receipt | None = None
) -> tuple[str, ...]:
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
    team = recorded_team(store, session)
    changed, draft = retried(session, tasks, team, (task_id,), now_ms, store.epoch)
    put_receipt(draft, receipt, store.epoch)
    store.journal.commit(draft).result()
    return tuple(task.task_id for task in changed[1:])


def rerun_plan(store: Records, session_id: str, phase: str) -> Rerun:
    """Say what a rerun from a phase would do; nothing is changed.

    Raises:
        NotFound: There is no such session or phase.
        VerbRefused: The session is cancelled, or is to run again from a phase that this one does
            not come after.
        SessionQuarantined: A record of the session is damaged.
    """
    session = store.require_session(session_id)
    tasks = list(store.tasks.scan(session_id))
    team = recorded_team(store, session)
    return plan_rerun(session, tasks, store.checkpoints.scan(session_id), team, phase)


def rerun_at_rest(
    store: Store, session_id: str, phase: str, now_ms: int, *, receipt: Receipt | None = None
) -> Rerun:
    """Queue a phase and all after it again, in a session that nobody runs; durable on return.

    Its tasks begin another round when the session is resumed; the results of other phases stay.
    Checkpoints of phases that run again are dropped. Files in the workspace are left as they are.
    If a call is open that a crash has left, that is settled first, when the session is resumed.

    Raises:
        NotFound, VerbRefused, SessionQuarantined: As `rerun_plan`.
        StorageError: It could not be written.
    """
    plan = rerun_plan(store, session_id, phase)
    session = store.require_session(session_id)
    tasks = list(store.tasks.scan(session_id))
    checkpoints = list(store.checkpoints.scan(session_id))
    if any(task.state == "running" for task in tasks):
        _, draft = rerun_asked(session, plan.from_phase, now_ms, store.epoch)
        put_receipt(draft, receipt, store.epoch, plan)
        store.journal.commit(draft).result()
        return plan
    draft = rerun(session, tasks, checkpoints, plan, now_ms, store.epoch)
    put_receipt(draft, receipt, store.epoch, plan)
    store.journal.commit(draft).result()
    return plan


def remove_at_rest(store: Store, session_id: str, *, receipt: Receipt | None = None) -> None:
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
    if _sends(store, session_id):
        rule = "its tickets and alerts must have been sent"
        raise VerbRefused("remove", session_id, session.state, rule)
    along = Transition()
    put_receipt(along, receipt, store.epoch)
    store.journal.remove(session_id, along).result()


def put_away(store: Store, session_id: str, now_ms: int, *, then: Callable[[str], object]) -> None:
    """Begin what follows the end of a session, for now or for good; do not wait.

    That is some tidying, and its removal if that was asked for before. One that still has something
    to send is removed by a later start of the store.

    Args:
        store: Has the session.
        session_id: Its end is durable.
        now_ms: Wall clock.
        then: Called with the session once it is durably removed; at once if it stays.
    """
    # While the store closes: then the next start does it.
    with suppress(StoreClosed):
        store.tidy(now_ms)
        session = store.sessions.get(session_id)
        asked = session is not None and session.removal and session.state in SESSION_FINAL
        if asked and not _sends(store, session_id):
            store.journal.remove(session_id).add_done_callback(lambda _: then(session_id))
            return
    then(session_id)


def _sends(store: Store, session_id: str) -> bool:
    return any(row.state != "done" for row in store.outbox.scan(session_id))
