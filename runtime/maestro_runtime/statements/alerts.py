"""Alerts: which budgets have reached which share of their limit, and by whose call."""

import msgspec

from maestro_runtime.statements.counters import metric_of, window_of
from maestro_storage import Records
from maestro_storage.bookings import CounterKey


class AlertReport(msgspec.Struct, frozen=True, kw_only=True):
    """One alert. Figures are in units of the metric, money in nano-USD."""

    at_ms: int
    budget_id: str
    window: str
    metric: str
    subject: str
    """Whom the budget counts; empty for a global one."""
    start_ms: int
    """Of the window; 0 for a session, for ever, and for a rolling one."""
    permille: int
    """The share that was reached, in thousandths of the limit."""
    spent: int
    """With the call that reached it."""
    limit: int
    session_id: str
    """Of that call, like the next one."""
    persona_id: str


def alerts(store: Records, session_id: str | None = None) -> list[AlertReport]:
    """Read the alerts that calls of one session, or of all, have raised, oldest first."""
    found = [
        AlertReport(
            at_ms=alert.at_ms,
            budget_id=key.budget_id,
            window=window_of(key),
            metric=metric_of(key),
            subject=key.subject,
            start_ms=key.start_ms,
            permille=alert.permille,
            spent=alert.spent,
            limit=alert.limit,
            session_id=alert.session_id,
            persona_id=alert.persona_id,
        )
        for alert in store.alerts.scan()
        for key in (CounterKey(*alert.counter),)
        if session_id in (None, alert.session_id)
    ]
    return sorted(found, key=lambda alert: (alert.at_ms, alert.budget_id, alert.permille))
