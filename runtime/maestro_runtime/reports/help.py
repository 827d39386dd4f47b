"""Tasks that wait for a person: what is known of them."""

import msgspec

from maestro_actors.help.posting import Posting, decode_ticket, fingerprint_of, posting_id_of
from maestro_runtime.reports.session import TicketReport, ticket_report
from maestro_runtime.tickets.text import body_of
from maestro_storage import Records
from maestro_storage.errors import NotFound
from maestro_storage.records import TaskRecord


class HelpRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One task that waits for a person."""

    session_id: str
    task_id: str
    phase: str
    persona_id: str
    failure: str
    evidence: tuple[str, ...]
    tokens_used: int
    since_ms: int | None
    ticket: TicketReport | None


def waiting_for_help(store: Records, session_id: str | None = None) -> list[HelpRequest]:
    """Read what waits for a person in one session, or in all, longest first.

    Raises:
        NotFound: There is no such session.
        SessionQuarantined: One of its records is damaged.
    """
    prefix = () if session_id is None else (store.require_session(session_id).session_id,)
    waiting = [task for task in store.tasks.scan(*prefix) if task.state == "help_needed"]
    waiting.sort(key=lambda task: task.finished_ms or 0)
    return [_request(store, task) for task in waiting]


def ticket_text(store: Records, session_id: str, task_id: str) -> str:
    """Return the ticket of a task that has failed for good, as a person reads it.

    Raises:
        NotFound: There is no such task, or it has no ticket.
        SessionQuarantined: A record of the session is damaged.
    """
    task = store.tasks.get(store.require_session(session_id).session_id, task_id)
    if task is None:
        raise NotFound("task", f"{session_id}/{task_id}")
    row = store.outbox.get(session_id, posting_id_of(task))
    if row is None:
        raise NotFound("ticket", f"{session_id}/{task_id}")
    posting = Posting(
        posting_id=row.outbox_id,
        fingerprint=fingerprint_of(task),
        ticket=decode_ticket(store.payloads.require(row.payload)),
        reference=row.reference,
        doubtful=False,
    )
    return body_of(posting)


def _request(store: Records, task: TaskRecord) -> HelpRequest:
    return HelpRequest(
        session_id=task.session_id,
        task_id=task.task_id,
        phase=task.phase,
        persona_id=task.persona_id,
        failure=task.failure,
        evidence=task.evidence,
        tokens_used=task.tokens_used,
        since_ms=task.finished_ms,
        ticket=ticket_report(store, task),
    )
