"""What a state says of the world, held against what the world has seen: bills, tickets, words."""

from collections import Counter
from pathlib import Path
from typing import Final

from breaker_history import check_breaker
from family import Family
from maestro_actors.team import BreakerPolicy
from maestro_storage import StateView, Store
from maestro_storage.records import TASK_FINAL
from observer import Told
from outside import Seen
from posting_sink import Posted

ENGINE: Final = "billed"


def check_dealings(state_dir: Path, seen: Seen) -> None:
    """Check what must hold whenever no run is alive."""
    if not (state_dir / "data").exists():
        assert seen.is_nothing
        return
    with Store.inspect(state_dir) as store:
        family = Family(store)
        if not family.members:
            assert seen.is_nothing
            return
        _check_bills(store, seen)
        _check_postings(store, seen.posted, family)
        _check_files(family)
        for told in seen.told:
            if told.event is None:
                _check_result(store, told)
        team = next(iter(family.members.values())).team
        check_breaker(store, ENGINE, team.breaker_policy(ENGINE, BreakerPolicy()))


def check_all_settled(state_dir: Path, seen: Seen) -> None:
    """Check sessions that have ended: everything has arrived, and is known to have arrived."""
    check_dealings(state_dir, seen)
    with Store.inspect(state_dir) as store:
        told = {told.session_id: told.state for told in seen.told if told.event is None}
        assert told == {session.session_id: session.state for session in store.sessions.scan()}
        rows = list(store.outbox.scan())
        assert {row.state for row in rows} <= {"done"}
        assert {line.webhook_id for line in seen.posted} == {row.reference for row in rows}
        for session_id in told:
            of_session = [row for row in rows if row.session_id == session_id]
            failures = _failures(store, session_id).total()
            failures += store.require_session(session_id).tickets
            assert sum(row.kind == "ticket" for row in of_session) == failures
            kinds = Counter(event.kind for event in store.events.scan(session_id))
            assert kinds["ticket_filed"] == failures
            alerts = len(of_session) - failures
            assert kinds["alert_sent"] == kinds["budget_alert"] == alerts


def _check_bills(store: StateView, seen: Seen) -> None:
    """Invariant 2: what was billed is booked once; what nobody can tell is booked as reserved.

    In the session whose call it was, and in no other.
    """
    bills = {bill.call_id: bill for bill in seen.bills}
    assert len(bills) == len(seen.bills), "a call was billed twice"
    calls = list(store.calls.scan())
    rows = {call.call_id.hex(): call for call in calls}
    assert len(rows) == len(calls), "a call is booked in two sessions"
    assert set(bills) <= set(rows), "a bill is in no row"
    for call_id, row in rows.items():
        bill = bills.get(call_id)
        if row.state == "lost":
            assert not seen.provider_tells, f"{row} is lost"
            assert (row.input_tokens, row.basis) == (row.reserved_tokens, "reserved")
        elif row.state == "settled":
            billed = (bill.input_tokens, bill.output_tokens) if bill else (0, 0)
            assert (row.input_tokens, row.output_tokens) == billed, f"{row} is not {billed}"


def _check_postings(store: StateView, posted: list[Posted], family: Family) -> None:
    """Invariants 5 and 8: nothing was posted before its row was durable, and nothing in two forms.

    A posting may arrive twice; its receiver tells by the id that it is the same.
    """
    rows = {f"msg_{row.outbox_id}": row for row in store.outbox.scan()}
    bodies: dict[str, str] = {}
    for line in posted:
        assert line.webhook_id in rows, "a posting left before it was durable"
        assert bodies.setdefault(line.webhook_id, line.body) == line.body
    for webhook_id, row in rows.items():
        assert row.state != "done" or (webhook_id in bodies and row.reference == webhook_id)
    tickets = Counter(row.session_id for row in rows.values() if row.kind == "ticket")
    for session in store.sessions.scan():
        failures = _failures(store, session.session_id)
        assert tickets[session.session_id] == failures.total() + session.tickets
        events = store.events.scan(session.session_id)
        again = Counter(event.task_id for event in events if event.kind == "task_retried")
        again.update(name for name, _ in family.members[session.session_id].lineage.reruns)
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


def _check_files(family: Family) -> None:
    """Each task that is done has left the file of its last call, in whichever session that was."""
    for member in family.members.values():
        for task_id, result in family.results(member).items():
            if result.state == "done":
                file = Path(member.record.output_dir, f"{task_id}.txt")
                assert file.read_text() == result.call_id.hex(), f"{file} is of another call"


def _check_result(store: StateView, told: Told) -> None:
    """Invariant 1: the result that was told is the one on record, for ever."""
    assert store.require_session(told.session_id).state == told.state
    tasks = list(store.tasks.scan(told.session_id))
    assert {task.task_id: task.state for task in tasks} == told.tasks
    assert sum(task.tokens_used for task in tasks) == told.tokens_used
    assert set(told.tasks.values()) <= TASK_FINAL
