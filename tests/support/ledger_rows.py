"""Rows of a ledger, made by hand and written to a real store."""

from collections.abc import Iterable

import msgspec

from maestro_actors.ledger.history import History
from maestro_actors.sessions.session import NewSession, opening_transition
from maestro_actors.team import Team
from maestro_storage import Store
from maestro_storage.records import CallRecord, CallState, Record, UsageRecord
from maestro_storage.transition import Transition


def call(
    number: int,
    *,
    session: str = "s1",
    task: str = "c1",
    persona: str = "dev",
    state: CallState = "settled",
    closed_ms: int | None = None,
    **fields: object,
) -> CallRecord:
    """Return a call without a price that took a second; `number` tells it from others."""
    fields = {"phase": "build", "outcome": "ok", "requests": 1, "cost_basis": "unpriced"} | fields
    if closed_ms is not None:
        fields = {"opened_ms": max(0, closed_ms - 1_000)} | fields
    return CallRecord(
        session_id=session,
        call_id=number.to_bytes(16, "big"),
        task_id=task,
        persona_id=persona,
        engine="rehearsal",
        round=1,
        attempt=1,
        state=state,
        reserved_tokens=100,
        closed_ms=closed_ms,
        **fields,  # type: ignore[arg-type]
    )


def usage_cell(hour_ms: int, **fields: object) -> UsageRecord:
    """Return a cell of the history of usage, without figures."""
    blank = UsageRecord(
        part=1,
        hour_ms=hour_ms,
        session_id="s",
        phase="build",
        task_id="c1",
        persona_id="dev",
        engine="chat",
        model="",
        outcome="ok",
    )
    return msgspec.structs.replace(blank, **fields)


def write(store: Store, *records: Record) -> None:
    """Make records durable."""
    draft = Transition()
    for record in records:
        draft.put(record)
    store.journal.commit(draft).result()


def book(store: Store, calls: Iterable[CallRecord]) -> None:
    """Make closed calls durable, with the history that the accountant would write."""
    history = History()
    rows: list[Record] = []
    for row in calls:
        rows += [row, history.add(row, store.epoch)]
    write(store, *rows)


def begin(store: Store, session: str, team: Team, at_ms: int) -> None:
    """Make a session durable as it begins."""
    new = NewSession(session_id=session, team=team, output_dir="/out")
    draft = opening_transition(new, at_ms, store.epoch)
    store.journal.commit(draft).result()
