"""A ticket on its way: what a person is told about a final failure, and the names of it.

The fingerprint says which failure it is; a task that fails for good again, in the same way, gets
another posting of the same ticket, which a sink adds to the first as a comment. So does a session
that is set aside again.
"""

import hashlib
import re
from typing import Final

import msgspec

from maestro_storage.records import SessionRecord, TaskRecord, TaskState

COORDINATOR_FAILED: Final = "coordinator_failed"
"""The failure of a session that was set aside."""

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
    """What a person is told about a final failure, or about a session that was set aside."""

    session_id: str
    task_id: str
    """Empty if the session was set aside, like the next four."""
    contract: str
    phase: str
    persona_id: str
    engine: str
    state: TaskState
    """ "help_needed": the task waits for an answer, or the session to be resumed. "failed": it has
    been given up."""
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
        place = f"{self.session_id}/{self.task_id}" if self.task_id else self.session_id
        return f"{place}: {self.failure}: {reason}"


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
    place = (record.session_id, record.phase, record.task_id, record.persona_id)
    return _fingerprint(place, record.failure, evidence)


def _fingerprint(place: tuple[str, str, str, str], failure: str, evidence: str) -> str:
    normal = " ".join(_VARIABLE.sub("#", evidence.casefold()).split())
    text = "\0".join((*place, failure, normal)).encode()
    return hashlib.blake2b(text, digest_size=16, person=b"maestro.ticket").hexdigest()


def posting_id_of(record: TaskRecord) -> str:
    """Return the id of the outbox row for the final failure that `record` tells of."""
    return f"{fingerprint_of(record)}-{record.tickets}"


def posting_id_of_session(record: SessionRecord) -> str:
    """Return the id of the outbox row for a session that is set aside."""
    place = (record.session_id, "", "", "")
    return f"{_fingerprint(place, COORDINATOR_FAILED, record.pause_reason)}-{record.tickets}"


def fingerprint_in(posting_id: str) -> str:
    """Return the fingerprint that a posting id contains."""
    return posting_id.rpartition("-")[0]
