"""The ticket of a final failure: what a person is told, and the names that keep it a single one.

A ticket is written into the outbox by the very transition that ends the task. Its fingerprint says
which failure it is; a task that fails for good again, in the same way, gets another posting of the
same ticket, which a sink adds to the first as a comment.
"""

import hashlib
import re
from typing import Final

import msgspec

from maestro_actors.identity import HELP_DESK_ADDRESS
from maestro_actors.messages import PostingWritten, encode
from maestro_actors.proxy import encoded
from maestro_actors.task import Task
from maestro_storage.records import AttemptRecord, OutboxRecord, TaskRecord, TaskState
from maestro_storage.transition import Transition

TICKET: Final = "ticket"
"""Kind of the outbox rows that hold tickets."""

ATTEMPTS_MAX: Final = 20
"""Attempts told in a ticket, the last ones."""

SENTENCE_CHARS_MAX: Final = 500
"""Longest sentence of evidence told in a ticket, in characters."""

_VARIABLE: Final = re.compile(r"0x[0-9a-f]+|\b[0-9a-f]{8,}\b|\d+")
"""What differs between two occurrences of the same failure: numbers, addresses, digests."""


class TicketAttempt(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt that did not do it."""

    round: int
    attempt: int
    """1-based, within the round."""
    failure: str
    evidence: tuple[str, ...]
    delay_ms: int | None
    """Pause decided after it; None if none followed."""
    tokens: int
    healing: tuple[str, ...] = ()
    """What was repaired in its files, and decided for the attempt after it."""


class Ticket(msgspec.Struct, frozen=True, kw_only=True):
    """What a person is told about a final failure."""

    session_id: str
    task_id: str
    contract: str
    phase: str
    persona_id: str
    engine: str
    state: TaskState
    """ "help_needed": the task waits for an answer. "failed": it has been given up."""
    failure: str
    evidence: tuple[str, ...]
    tokens_used: int
    attempt_count: int
    attempts: tuple[TicketAttempt, ...]
    """The last ones, oldest first."""
    at_ms: int

    @property
    def summary(self) -> str:
        """The ticket in one line."""
        reason = self.evidence[0] if self.evidence else "no evidence"
        return f"{self.session_id}/{self.task_id}: {self.failure}: {reason}"


class Posting(msgspec.Struct, frozen=True, kw_only=True):
    """One delivery of a ticket to the sink."""

    posting_id: str
    """The same for every try to deliver it: a receiver can tell a repetition by it."""
    fingerprint: str
    ticket: Ticket
    reference: str
    """Of the ticket that this posting repeats; empty if no earlier one was delivered."""
    doubtful: bool
    """An earlier try may have arrived without our knowing."""

    @property
    def session_id(self) -> str:
        """Whose outbox it stands in."""
        return self.ticket.session_id


decode_ticket = msgspec.msgpack.Decoder(Ticket).decode
"""Decode a ticket from the payload of its outbox row."""


def fingerprint_of(record: TaskRecord) -> str:
    """Return the name of a task's failure, 32 hex digits.

    Two failures of the same class in the same place are the same if the first sentences of their
    evidence differ only in case, spaces, numbers and digests.
    """
    evidence = record.evidence[0] if record.evidence else ""
    normal = " ".join(_VARIABLE.sub("#", evidence.casefold()).split())
    parts = (record.session_id, record.phase, record.task_id, record.persona_id, record.failure)
    text = "\0".join((*parts, normal)).encode()
    return hashlib.blake2b(text, digest_size=16, person=b"maestro.ticket").hexdigest()


def posting_id_of(record: TaskRecord) -> str:
    """Return the id of the outbox row for the final failure that `record` tells of."""
    return f"{fingerprint_of(record)}-{record.tickets}"


def fingerprint_in(posting_id: str) -> str:
    """Return the fingerprint that a posting id contains."""
    return posting_id.rpartition("-")[0]


def write_ticket(
    draft: Transition,
    task: Task,
    ended: TaskRecord,
    attempts: list[AttemptRecord],
    now_ms: int,
    *,
    healing: tuple[str, ...] = (),
) -> None:
    """Add the outbox row of a final failure to the draft that ends the task.

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
    row = OutboxRecord(
        session_id=ended.session_id,
        outbox_id=posting_id_of(ended),
        kind=TICKET,
        state="pending",
        payload=draft.payload(ended.session_id, encode(ticket)),
        created_ms=now_ms,
        epoch=task.assignment.epoch,
    )
    draft.put(row)
    written = PostingWritten(session_id=row.session_id, posting_id=row.outbox_id)
    draft.then(HELP_DESK_ADDRESS, encoded(written))


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
