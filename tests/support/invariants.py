"""The invariants of the design, checked on a state directory against records kept outside it."""

from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from belongings import belongings
from billed_engine import UNREACHED
from crash_team import Run
from deliveries import check_deliveries
from family import Family
from maestro_runtime.cli._event_line import EventLine
from maestro_storage import StateView, Store
from maestro_storage.records import TASK_FINAL, TASK_PASSED, AttemptRecord, EventRecord

if TYPE_CHECKING:
    from maestro_storage.bookings import CounterKey


@dataclass
class Observed:
    """What was seen from outside before the process was killed."""

    acknowledged: list[EventLine] = field(default_factory=list)
    """Events the process printed, so they had been durable."""
    runs: list[Run] = field(default_factory=list)
    """Runs of the engine."""
    attempts_max: int = 3
    """Attempts in a round that the team allows."""
    rounds_max: int = 2
    """Rounds of a task that the team allows."""
    removed: frozenset[str] = frozenset()
    """Sessions of which nothing is left but what they have used."""


def check_state(state_dir: Path, observed: Observed) -> None:
    """Check what must hold at any moment, whatever the process was doing when it died."""
    if not (state_dir / "data").exists():
        # It died before there was a state.
        assert observed.acknowledged == []
        assert observed.runs == []
        return
    check_private(state_dir)
    # It verifies everything, and refuses what is damaged outside of all sessions.
    with Store.inspect(state_dir) as store:
        assert not store.quarantined
        sessions = {session.session_id for session in store.sessions.scan()}
        assert {line.session_id for line in observed.acknowledged} <= sessions
        check_sessions(store, observed)
        check_books(store, observed)
        family = Family(store)
        family.check()
        _check_attempts(store, observed, family)


def check_private(state_dir: Path) -> None:
    """Check that nobody else can look into a state."""
    for path in (state_dir, *state_dir.rglob("*")):
        assert path.stat().st_mode & 0o077 == 0, f"{path} is open to others"


def check_sessions(store: StateView, observed: Observed) -> None:
    """Check what must hold of the sessions there are, whatever has become of others."""
    for session_id in belongings(store):
        _check_history(store, session_id, observed)
        _check_ledger(store, session_id)
        _check_tasks(store, session_id)
        check_deliveries(store, session_id)
        session = store.require_session(session_id)
        assert not session.set_aside or session.state == "paused"


def check_books(store: StateView, observed: Observed) -> None:
    """Check what is kept over all sessions, those that are removed included."""
    _check_counters(store, observed)
    _check_usage(store, observed)
    _check_alerts(store, observed)
    _check_epochs(store)


Task = tuple[str, str]
"""Its session, and its id."""


def done_tasks(state_dir: Path) -> frozenset[Task]:
    """Return the tasks that are done."""
    if not (state_dir / "data").exists():
        return frozenset()
    with Store.inspect(state_dir) as store:
        return frozenset(
            (task.session_id, task.task_id) for task in store.tasks.scan() if task.state == "done"
        )


def check_end(state_dir: Path, observed: Observed, done_before: frozenset[Task]) -> None:
    """Check a session that was resumed to its end, and whose every task went well.

    Args:
        state_dir: Of the session.
        observed: Everything seen from outside, before the kill and after it.
        done_before: Tasks that were done, and so acknowledged, when the process was killed.
    """
    [states] = check_over(state_dir, observed, done_before).values()
    assert set(states.values()) == {"done"}


def check_over(
    state_dir: Path, observed: Observed, done_before: frozenset[Task]
) -> dict[str, dict[str, str]]:
    """Check sessions that have ended, well or not; return the state of each task of each."""
    check_state(state_dir, observed)
    with Store.inspect(state_dir) as store:
        assert all(call.state != "open" for call in store.calls.scan())
        assert all(budget.held_tokens == 0 for budget in store.budgets.scan())
        members = Family(store).members
        for session_id, task_id in done_before:
            assert task_id in members[session_id].lineage.ever_done
        for member in members.values():
            assert member.lineage.cancelled or not member.lineage.is_to_rerun
        return {session_id: _states_at_end(store, session_id) for session_id in members}


def _states_at_end(store: StateView, session_id: str) -> dict[str, str]:
    states: dict[str, str] = {task.task_id: task.state for task in store.tasks.scan(session_id)}
    assert set(states.values()) <= TASK_FINAL
    state = store.require_session(session_id).state
    if state == "cancelled":
        assert any(event.kind == "cancel_asked" for event in store.events.scan(session_id))
    else:
        well = set(states.values()) <= TASK_PASSED
        assert state == ("done" if well else "failed")
        assert "cancelled" not in states.values()
    return states


def _check_history(store: StateView, session_id: str, observed: Observed) -> None:
    """Invariant 1: what was acknowledged is there, and the history has no gap."""
    events = list(store.events.scan(session_id))
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    for line in observed.acknowledged:
        if line.session_id != session_id:
            continue
        assert line.sequence <= len(events), f"acknowledged event {line} is lost"
        assert as_line(events[line.sequence - 1]) == line


def as_line(event: EventRecord) -> EventLine:
    """Return the event as the command line prints it."""
    return EventLine(
        schema="maestro.event/1",
        session_id=event.session_id,
        sequence=event.sequence,
        at_ms=event.at_ms,
        kind=event.kind,
        task_id=event.task_id,
        data=event.data,
    )


def _check_ledger(store: StateView, session_id: str) -> None:
    """Invariant 2: the counters are the sum of the calls, and no call is there twice."""
    spent: Counter[str] = Counter()
    held: Counter[str] = Counter()
    for call in store.calls.scan(session_id):
        spent[call.persona_id] += call.input_tokens + call.output_tokens
        held[call.persona_id] += call.reserved_tokens if call.state == "open" else 0
    for budget in store.budgets.scan(session_id):
        assert budget.spent_tokens == spent.pop(budget.persona_id)
        assert budget.held_tokens == held.pop(budget.persona_id)
        assert budget.spent_tokens + budget.held_tokens <= budget.limit_tokens
    assert not +spent
    assert not +held
    used = sum(task.tokens_used for task in store.tasks.scan(session_id))
    closed = [call for call in store.calls.scan(session_id) if call.state != "open"]
    assert used == sum(call.input_tokens + call.output_tokens for call in closed)


def _check_counters(store: StateView, observed: Observed) -> None:
    """Invariant 2, for the budgets of the team."""
    spent: Counter[CounterKey] = Counter()
    held: Counter[CounterKey] = Counter()
    for call in store.calls.scan():
        total = call.input_tokens + call.output_tokens
        # Nobody can tell how much of a lost call was output: all of it is held to be.
        output = total if call.state == "lost" else call.output_tokens
        figures = (total, total - call.cache_read_tokens, output, call.requests)
        for hold in call.holds:
            spent[hold.key] += 0 if call.state == "open" else figures[hold.metric]
            held[hold.key] += hold.amount if call.state == "open" else 0
    rows = {row.counter: row for row in store.counters.scan()}
    for row in rows.values():
        # One that only warns may be passed.
        assert row.spent + row.held <= row.limit or row.counter.budget_id == "watched"
    assert +Counter({key: row.held for key, row in rows.items()}) == +held
    if observed.removed:
        assert all(rows[key].spent >= count for key, count in spent.items())
    else:
        assert {key: row.spent for key, row in rows.items()} == spent


def _check_usage(store: StateView, observed: Observed) -> None:
    """Invariant 2, for the history by the hour."""
    there = {session.session_id for session in store.sessions.scan()}
    assert {cell.session_id for cell in store.usage.scan()} <= there | observed.removed
    cells = [cell for cell in store.usage.scan() if cell.session_id in there]
    closed = [call for call in store.calls.scan() if call.state != "open"]
    assert sum(cell.calls for cell in cells) == len(closed)
    assert sum(cell.input_tokens for cell in cells) == sum(call.input_tokens for call in closed)
    assert sum(cell.lost_calls for cell in cells) == sum(call.state == "lost" for call in closed)


def _check_epochs(store: StateView) -> None:
    """Nothing is of an owner that has not been."""
    kinds = (
        *(store.sessions, store.tasks, store.attempts, store.calls, store.budgets, store.events),
        *(store.counters, store.alerts, store.usage, store.breakers, store.checkpoints),
        store.outbox,
    )
    for kind in kinds:
        assert all(1 <= record.epoch <= store.epoch for record in kind.scan())


def _check_alerts(store: StateView, observed: Observed) -> None:
    """Invariant 8: a share of a limit that is reached is one alert, and one line of history."""
    told = sorted(
        (event.data["budget_id"], event.data["permille"], event.data["spent"])
        for event in store.events.scan()
        if event.kind == "budget_alert"
    )
    alerts = list(store.alerts.scan())
    assert told == sorted(
        (row.counter.budget_id, row.permille, row.spent)
        for row in alerts
        if row.session_id not in observed.removed
    )
    personas = [
        (f"persona/{row.persona_id}", fired.permille)
        for row in store.budgets.scan()
        for fired in row.fired
    ]
    counted = [
        (row.counter.budget_id, fired.permille)
        for row in store.counters.scan()
        for fired in row.fired
    ]
    assert sorted(personas + counted) == sorted(
        (row.counter.budget_id, row.permille) for row in alerts
    )
    for row in store.counters.scan():
        reached = {
            permille for permille in row.alert_permille if row.spent * 1000 >= row.limit * permille
        }
        assert reached == {fired.permille for fired in row.fired}


def _check_attempts(store: StateView, observed: Observed, family: Family) -> None:
    """Invariants 3, 5 and 6: limits and deadlines hold, and nothing ran that was not durable."""
    attempts = list(store.attempts.scan())
    by_call = {attempt.call_id.hex(): attempt for attempt in attempts}
    assert len(by_call) == len(attempts)
    runs = Counter(run.call_id for run in observed.runs)
    assert set(runs) <= set(by_call), "an engine ran without a durable attempt"
    assert all(count == 1 for count in runs.values()), "a call ran twice"
    # What was settled with an answer did run; only an interrupted call may never have started.
    answered = {
        call
        for call, attempt in by_call.items()
        if attempt.state in ("ok", "failed") and not _not_begun(attempt)
    }
    assert answered <= set(runs)
    again = Counter(
        (event.session_id, event.task_id)
        for event in store.events.scan()
        if event.kind in ("task_retried", "task_answered")
    )
    reruns_of: dict[Task, list[int]] = {}
    for session_id, member in family.members.items():
        for task_id, at_ms in member.lineage.reruns:
            reruns_of.setdefault((session_id, task_id), []).append(at_ms)
    of_task: dict[Task, list[AttemptRecord]] = {}
    for attempt in attempts:
        of_task.setdefault((attempt.session_id, attempt.task_id), []).append(attempt)
    for task, rows in of_task.items():
        assert [row.ordinal for row in rows] == list(range(1, len(rows) + 1))
        assert max(row.attempt for row in rows) <= observed.attempts_max
        assert max(row.round for row in rows) <= observed.rounds_max
        for before, after in pairwise(rows):
            assert before.finished_ms is not None
            if any(
                before.finished_ms <= at_ms <= after.started_ms for at_ms in reruns_of.get(task, ())
            ):
                # It neither waits for what it had waited for, nor needs a reason.
                assert after.round > before.round
                continue
            if before.delay_ms is None:
                # Only because a person said so, and in another round.
                again[task] -= 1
                assert again[task] >= 0
                assert after.round > before.round
            assert after.started_ms >= before.finished_ms + (before.delay_ms or 0)


def _not_begun(attempt: AttemptRecord) -> bool:
    """Whether a call may have failed before its engine did anything."""
    evidence = "".join(attempt.evidence)
    return any(text in evidence for text in (UNREACHED, "can't start new thread", "MemoryError"))


def _check_tasks(store: StateView, session_id: str) -> None:
    """Invariant 7: whoever is not at an end says what it waits for."""
    for task in store.tasks.scan(session_id):
        assert (task.waits_for == "nothing") == (task.state in TASK_FINAL)
        if task.state == "running":
            assert task.call_id is not None
            call = store.calls.get(session_id, task.call_id)
            assert call is not None
            assert call.state == "open"
        if task.waits_for == "deadline":
            # Invariant 3: no crash has begun the pause anew, or cut it short.
            last = store.attempts.get(session_id, task.task_id, task.ordinal)
            assert last is not None
            assert last.finished_ms is not None
            assert last.delay_ms is not None
            assert task.deadline_ms == last.finished_ms + last.delay_ms
