"""Tickets, written into the outbox by the very transition that tells what they are about.

Its fingerprint says which failure it is; see `posting`.
"""

from collections.abc import Iterable
from typing import Final

from maestro_actors.help.outbox import write_posting
from maestro_actors.help.posting import (
    COORDINATOR_FAILED,
    Ticket,
    TicketAttempt,
    posting_id_of,
    posting_id_of_session,
)
from maestro_actors.tasks.task import Task
from maestro_storage.records import AttemptRecord, SessionRecord, TaskRecord
from maestro_storage.transition import Transition

TICKET: Final = "ticket"
"""Kind of the outbox rows that hold tickets."""

ATTEMPTS_MAX: Final = 20
"""Attempts told in a ticket, the last ones."""

SENTENCE_CHARS_MAX: Final = 500
"""Longest sentence of evidence told in a ticket, in characters."""


def write_ticket(
    draft: Transition,
    task: Task,
    ended: TaskRecord,
    attempts: list[AttemptRecord],
    now_ms: int,
    *,
    healing: tuple[str, ...] = (),
) -> None:
    """Add the outbox row of a task's final failure to the draft that ends it.

    Args:
        draft: The closing transition.
        task: Whose it is.
        ended: The record with which the task ends.
        attempts: All of the task as they were before this transition; one that was still open is
            the one that ended it.
        now_ms: Wall clock.
        healing: What was repaired after the attempt that was still open.
    """
    told = [_told(attempt, ended, attempts, healing) for attempt in attempts[-ATTEMPTS_MAX:]]
    ticket = Ticket(
        session_id=ended.session_id,
        task_id=ended.task_id,
        contract=task.contract.name,
        phase=ended.phase,
        persona_id=ended.persona_id,
        engine=ended.engine,
        state=ended.state,
        failure=ended.failure,
        evidence=_cut(ended.evidence),
        tokens_used=ended.tokens_used,
        attempt_count=len(attempts),
        attempts=tuple(told),
        at_ms=now_ms,
    )
    write_posting(draft, TICKET, posting_id_of(ended), ticket, task.assignment.epoch)


def write_session_ticket(
    draft: Transition, session: SessionRecord, tasks: Iterable[TaskRecord], now_ms: int
) -> None:
    """Add the outbox row of a session that is set aside to the draft that does so.

    Args:
        draft: That transition.
        session: The record with which it is set aside.
        tasks: Theirs.
        now_ms: Wall clock.
    """
    ticket = Ticket(
        session_id=session.session_id,
        task_id="",
        contract="",
        phase="",
        persona_id="",
        engine="",
        state="help_needed",
        failure=COORDINATOR_FAILED,
        evidence=(session.pause_reason,),
        tokens_used=sum(task.tokens_used for task in tasks),
        attempt_count=0,
        attempts=(),
        at_ms=now_ms,
    )
    write_posting(draft, TICKET, posting_id_of_session(session), ticket, session.epoch)


def _told(
    attempt: AttemptRecord,
    ended: TaskRecord,
    attempts: list[AttemptRecord],
    healing: tuple[str, ...],
) -> TicketAttempt:
    """Return what a ticket tells of an attempt; of the open one, what `ended` says about it."""
    is_open = attempt.state == "open"
    earlier_tokens = sum(row.tokens for row in attempts if row.state != "open")
    return TicketAttempt(
        round=attempt.round,
        attempt=attempt.attempt,
        failure=ended.failure if is_open else attempt.failure,
        evidence=_cut(ended.evidence if is_open else attempt.evidence),
        delay_ms=attempt.delay_ms,
        tokens=ended.tokens_used - earlier_tokens if is_open else attempt.tokens,
        healing=healing if is_open else attempt.healing,
    )


def _cut(evidence: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sentence[:SENTENCE_CHARS_MAX] for sentence in evidence)
