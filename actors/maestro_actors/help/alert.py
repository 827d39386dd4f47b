"""Alerts of budgets: the row that keeps each a single one, and the outbox row that sends it out."""

import hashlib
from typing import Final

import msgspec

from maestro_actors.help.outbox import write_posting
from maestro_actors.ledger.counter import Alert
from maestro_storage.records import AlertRecord, CallRecord
from maestro_storage.transition import Event, Transition

ALERT: Final = "alert"
"""Kind of the outbox rows that hold alerts."""


class BudgetAlert(msgspec.Struct, frozen=True, kw_only=True):
    """What a person is told when a budget reaches a share of its limit."""

    session_id: str
    """Of the call that reached it, like persona and task."""
    persona_id: str
    task_id: str
    budget_id: str
    window: str
    metric: str
    subject: str
    """Whom the budget counts for; empty for a global one."""
    start_ms: int
    """Start of the window; 0 for a session, for ever and a rolling one."""
    permille: int
    """The share, in thousandths."""
    limit: int
    spent: int
    """Like the limit in units of the metric."""
    at_ms: int

    @property
    def summary(self) -> str:
        """The alert in one line."""
        return (
            f"budget {self.budget_id!r} has reached {self.permille / 10:g} % of its limit: "
            f"{self.spent} of {self.limit} ({self.metric}, {self.window})"
        )


class AlertPosting(msgspec.Struct, frozen=True, kw_only=True):
    """One delivery of an alert."""

    posting_id: str
    """The same for every try to deliver it: a receiver can tell a repetition by it."""
    alert: BudgetAlert
    doubtful: bool
    """An earlier try may have arrived without our knowing."""

    @property
    def session_id(self) -> str:
        """Whose outbox it stands in."""
        return self.alert.session_id


decode_alert = msgspec.msgpack.Decoder(BudgetAlert).decode
"""Decode an alert from the payload of its outbox row."""


def write_alert(draft: Transition, alert: Alert, call: CallRecord, at_ms: int, epoch: int) -> None:
    """Add an alert to the draft of what raised it: its row, its event, and what sends it out."""
    record = AlertRecord(
        counter=alert.key,
        version=alert.version,
        limit=alert.limit,
        permille=alert.permille,
        spent=alert.spent,
        session_id=call.session_id,
        persona_id=call.persona_id,
        at_ms=at_ms,
        epoch=epoch,
    )
    draft.put(record)
    window, _, metric = alert.key.rule.partition("/")
    told = BudgetAlert(
        session_id=call.session_id,
        persona_id=call.persona_id,
        task_id=call.task_id,
        budget_id=alert.key.budget_id,
        window=window,
        metric=metric,
        subject=alert.key.subject,
        start_ms=alert.key.start_ms,
        permille=alert.permille,
        limit=alert.limit,
        spent=alert.spent,
        at_ms=at_ms,
    )
    data = {"persona_id": call.persona_id, "budget_id": told.budget_id}
    figures = {"permille": alert.permille, "spent": alert.spent, "limit": alert.limit}
    draft.event(Event(call.session_id, "budget_alert", at_ms, call.task_id, {**data, **figures}))
    write_posting(draft, ALERT, _posting_id(record), told, epoch)


def _posting_id(record: AlertRecord) -> str:
    """Return the name of an alert: a fingerprint and, as for a ticket, its count, always 1."""
    digest = hashlib.blake2b(record.key, digest_size=16, person=b"maestro.alert").hexdigest()
    return f"{digest}-1"
