"""What a state says of the world, held against what the world has seen: bills, tickets, words."""

from collections import Counter
from pathlib import Path
from typing import Final

from maestro_actors.team import BreakerPolicy, decode_team
from maestro_storage import StateView, Store
from maestro_storage.records import TASK_FINAL
from observer import Told
from outside import Seen
from posting_sink import Posted
from session_model import ModelBreaker, ModelCall

ENGINE: Final = "billed"
ENGINE_FAULTS: Final = frozenset({"transient"})
"""Of the failures of the engine, those that the breaker counts."""


def check_dealings(state_dir: Path, session_id: str, seen: Seen) -> None:
    """Check what must hold whenever no run is alive."""
    if not (state_dir / "data").exists():
        assert seen.is_nothing
        return
    with Store.inspect(state_dir) as store:
        if store.sessions.get(session_id) is None:
            assert seen.is_nothing
            return
        _check_bills(store, session_id, seen)
        _check_postings(store, session_id, seen.posted)
        for told in seen.told:
            if told.event is None:
                _check_result(store, session_id, told)
        _check_breaker(store, session_id)


def check_all_settled(state_dir: Path, session_id: str, seen: Seen) -> None:
    """Check a session that has ended: everything has arrived, and is known to have arrived."""
    check_dealings(state_dir, session_id, seen)
    with Store.inspect(state_dir) as store:
        assert any(told.session == store.require_session(session_id).state for told in seen.told)
        rows = list(store.outbox.scan(session_id))
        assert {row.state for row in rows} <= {"done"}
        assert {line.webhook_id for line in seen.posted} == {row.reference for row in rows}
        failures = _failures(store, session_id).total()
        assert sum(row.kind == "ticket" for row in rows) == failures
        kinds = Counter(event.kind for event in store.events.scan(session_id))
        assert kinds["ticket_filed"] == failures
        assert kinds["alert_sent"] == kinds["budget_alert"] == len(rows) - failures


def _check_bills(store: StateView, session_id: str, seen: Seen) -> None:
    """Invariant 2: what was billed is booked once; what nobody can tell is booked as reserved."""
    bills = {bill.call_id: bill for bill in seen.bills}
    assert len(bills) == len(seen.bills), "a call was billed twice"
    rows = {call.call_id.hex(): call for call in store.calls.scan(session_id)}
    assert set(bills) <= set(rows), "a bill is in no row"
    for call_id, row in rows.items():
        bill = bills.get(call_id)
        if row.state == "lost":
            assert not seen.provider_tells, f"{row} is lost"
            assert (row.input_tokens, row.basis) == (row.reserved_tokens, "reserved")
        elif row.state == "settled":
            billed = (bill.input_tokens, bill.output_tokens) if bill else (0, 0)
            assert (row.input_tokens, row.output_tokens) == billed


def _check_postings(store: StateView, session_id: str, posted: list[Posted]) -> None:
    """Invariants 5 and 8: nothing was posted before its row was durable, and nothing in two forms.

    A posting may arrive twice; its receiver tells by the id that it is the same.
    """
    rows = {f"msg_{row.outbox_id}": row for row in store.outbox.scan(session_id)}
    bodies: dict[str, str] = {}
    for line in posted:
        assert line.webhook_id in rows, "a posting left before it was durable"
        assert bodies.setdefault(line.webhook_id, line.body) == line.body
    for webhook_id, row in rows.items():
        assert row.state != "done" or (webhook_id in bodies and row.reference == webhook_id)
    failures = _failures(store, session_id)
    tickets = [row for row in rows.values() if row.kind == "ticket"]
    assert len(tickets) == failures.total()
    events = store.events.scan(session_id)
    again = Counter(event.task_id for event in events if event.kind == "task_retried")
    for task_id, count in failures.items():
        assert count <= 1 + again[task_id], f"{task_id} has failed for good {count} times"


def _failures(store: StateView, session_id: str) -> Counter[str]:
    """Count how often each task has failed for good; giving up after that is no further failure."""
    failures: Counter[str] = Counter()
    answered = ""
    for event in store.events.scan(session_id):
        if event.kind in ("task_failed", "task_help_needed") and event.task_id != answered:
            failures[event.task_id] += 1
        answered = event.task_id if event.kind == "task_answered" else ""
    return failures


def _check_result(store: StateView, session_id: str, told: Told) -> None:
    """Invariant 1: the result that was told is the one on record, for ever."""
    assert store.require_session(session_id).state == told.session
    tasks = list(store.tasks.scan(session_id))
    assert {task.task_id: task.state for task in tasks} == told.tasks
    assert sum(task.tokens_used for task in tasks) == told.tokens_used
    assert set(told.tasks.values()) <= TASK_FINAL


def _check_breaker(store: StateView, session_id: str) -> None:
    """Invariant 4: replayed by the book, the history lets no call out while the breaker is open.

    Holds for a state with one session and one breaker, without jitter.
    """
    session = store.require_session(session_id)
    team = decode_team(store.payloads.require(session.team))
    model = ModelBreaker(team.breaker_policy(ENGINE, BreakerPolicy()))
    calls: dict[str, ModelCall] = {}
    due: str | None = None
    epoch = 0
    for event in store.events.scan(session_id):
        if event.kind.startswith("attempt_") or event.epoch != epoch:
            assert due is None, f"{due} is missing before {event}"
        if event.epoch != epoch:
            epoch = event.epoch
            model.restart()
        if event.kind.startswith("breaker_"):
            assert event.kind == due, f"{event} instead of {due}"
            due = None
        elif event.kind == "attempt_started":
            call = ModelCall(event.task_id, 0, 0, epoch)
            due = model.open_call(calls.setdefault(event.task_id, call), event.at_ms)
        elif event.kind in _ANSWERED:
            answered = _ANSWERED[event.kind]
            if event.kind == "attempt_failed":
                answered = event.data["failure"] not in ENGINE_FAULTS
            due = model.close_call(calls.pop(event.task_id), answered, event.at_ms)
    assert due is None, f"{due} is missing"
    record = store.breakers.get(ENGINE)
    if record is None:
        assert (model.state, model.failures) == ("closed", 0)
    else:
        # What was half open is so on record until the next call, whoever has died meanwhile.
        assert (record.state, record.failures) == (model.recorded, model.failures)


_ANSWERED: Final = {"attempt_succeeded": True, "attempt_failed": True, "attempt_interrupted": None}
