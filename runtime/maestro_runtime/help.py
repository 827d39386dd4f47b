"""Tasks that wait for a person: what is known of them, and answers while nothing runs."""

import time

import msgspec

from maestro_actors.answer import Answer, answered, questions_of
from maestro_actors.ledger.budget import Caller
from maestro_actors.ledger.ledger import Ledger
from maestro_actors.ledger.rows import loader, persona_budget, row_of
from maestro_actors.posting import Posting, decode_ticket, fingerprint_of, posting_id_of
from maestro_runtime._memory import StoreMemory
from maestro_runtime.recorded import recorded_team
from maestro_runtime.report import TicketReport, ticket_report
from maestro_runtime.tickets.text import body_of
from maestro_storage import Records, Store
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
    task = _task(store, session_id, task_id)
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


def answer_at_rest(store: Store, session_id: str, task_id: str, answer: Answer) -> None:
    """Answer a task of a state directory that no runtime is open on; durable on return.

    The session goes on when it is resumed.

    Raises:
        NotFound: There is no such task.
        HelpNotAwaited: The task does not wait for a person.
        AnswerInvalid: The answer breaks a rule.
        SessionQuarantined: A record of the session is damaged.
        StorageError: The answer could not be written.
    """
    session = store.require_session(session_id)
    task = _task(store, session_id, task_id)
    team = recorded_team(store, session)
    questions = questions_of(team, task, store.payloads.require)
    now_ms = time.time_ns() // 1_000_000
    draft = answered(session, task, answer, now_ms, store.epoch, questions)
    if answer.add_tokens:
        limit_tokens = team.personas[task.persona_id].token_budget
        budget = persona_budget(task.persona_id, limit_tokens)
        ledger = Ledger(loader(StoreMemory(store).counter))
        caller = Caller(session_id, task.persona_id)
        for counter in ledger.top_up(budget, caller, answer.add_tokens, now_ms).counters:
            draft.put(row_of(counter, now_ms, store.epoch))
    store.journal.commit(draft).result()


def _task(store: Records, session_id: str, task_id: str) -> TaskRecord:
    task = store.tasks.get(store.require_session(session_id).session_id, task_id)
    if task is None:
        raise NotFound("task", f"{session_id}/{task_id}")
    return task


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
