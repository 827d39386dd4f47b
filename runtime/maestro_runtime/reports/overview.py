"""What goes on in a state at a glance: what runs, what waits for what, what is nearly used up."""

from collections import Counter
from typing import Final

import msgspec

from maestro_runtime.reports.lookout import Lookout, Sight
from maestro_runtime.statements.counters import metric_of, running_counters, window_of
from maestro_storage import Records
from maestro_storage.records import (
    SESSION_FINAL,
    BreakerState,
    SessionRecord,
    SessionState,
    TaskRecord,
    TaskState,
    WaitsFor,
    Wish,
)

SCHEMA: Final = "maestro.overview/1"
"""Name and version of the JSON shape; a field is only ever added."""

ROWS_MAX: Final = 20
"""Most rows of each list."""

BUDGET_PERMILLE: Final = 500
"""Share of its limit from which on a budget is shown."""


class SessionLine(msgspec.Struct, frozen=True, kw_only=True):
    """One session that has not ended."""

    session_id: str
    state: SessionState
    wish: Wish
    """What is asked of it and not done yet: "run" if that is nothing else."""
    set_aside: bool
    """Whether it is paused because its coordinator has failed too often."""
    created_ms: int
    tasks: dict[TaskState, int]
    """How many are in each state; states without a task are left out."""
    tokens_used: int
    tokens_per_minute: int
    """Of the calls that ended in the last minute."""


class WaitLine(msgspec.Struct, frozen=True, kw_only=True):
    """One task that has begun, and waits."""

    session_id: str
    task_id: str
    persona_id: str
    engine: str
    waits_for: WaitsFor
    detail: str
    """The limit, in words, if it waits for one."""
    deadline_ms: int | None
    """When it goes on, if that is known."""
    attempt: int
    """Last attempt begun in its round, 1-based."""
    round: int


class BreakerLine(msgspec.Struct, frozen=True, kw_only=True):
    """One circuit breaker that is not closed."""

    name: str
    state: BreakerState
    failures: int
    next_probe_ms: int | None


class BudgetLine(msgspec.Struct, frozen=True, kw_only=True):
    """One budget of which half is spent, or more."""

    budget_id: str
    session_id: str
    """Empty unless its window is the session."""
    subject: str
    window: str
    metric: str
    limit: int
    spent: int
    held: int
    spent_permille: int


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    """A state at one moment. Lists have at most 20 rows; the sums are of all there is."""

    schema: str
    at_ms: int
    epoch: int
    sessions: dict[SessionState, int]
    """How many are in each state."""
    tasks: dict[TaskState, int]
    """The same of the tasks of sessions that have not ended."""
    waits: dict[WaitsFor, int]
    """What the tasks wait for that have begun."""
    tokens_per_minute: int
    rows: tuple[SessionLine, ...]
    """Sessions that have not ended: those that run first, and of these the busiest."""
    waiting: tuple[WaitLine, ...]
    """Who waits longest comes last; who waits for a person, first."""
    breakers: tuple[BreakerLine, ...]
    budgets: tuple[BudgetLine, ...]
    """The most used ones first."""


def overview(store: Records, now_ms: int, lookout: Lookout | None = None) -> Overview:
    """Look at a state; reads the record of every session, and more of those that have not ended.

    Args:
        store: Where to look.
        now_ms: On the wall clock.
        lookout: Who has looked before, and reads only what has changed since; None: nobody.
    """
    lookout = lookout or Lookout()
    sessions: Counter[SessionState] = Counter()
    tasks: Counter[TaskState] = Counter()
    waits: Counter[WaitsFor] = Counter()
    rows: list[SessionLine] = []
    waiting: list[WaitLine] = []
    for session in store.sessions.scan():
        sessions[session.state] += 1
        if session.state in SESSION_FINAL:
            continue
        found = lookout.sight(store, session, now_ms)
        rows.append(_session_line(session, found))
        tasks.update(task.state for task in found.tasks)
        begun = [task for task in found.tasks if _waits(task)]
        waits.update(task.waits_for for task in begun)
        waiting += (_wait_line(task) for task in begun)
    lookout.forget_others({row.session_id for row in rows})
    rows.sort(key=lambda row: (row.state != "running", -row.tokens_per_minute, -row.created_ms))
    waiting.sort(key=lambda line: (line.waits_for != "person", line.deadline_ms or 0))
    return Overview(
        schema=SCHEMA,
        at_ms=now_ms,
        epoch=store.epoch,
        sessions=dict(sessions),
        tasks=dict(tasks),
        waits=dict(waits),
        tokens_per_minute=sum(row.tokens_per_minute for row in rows),
        rows=tuple(rows[:ROWS_MAX]),
        waiting=tuple(waiting[:ROWS_MAX]),
        breakers=_breakers(store)[:ROWS_MAX],
        budgets=_budgets(store, now_ms)[:ROWS_MAX],
    )


def _session_line(session: SessionRecord, found: Sight) -> SessionLine:
    return SessionLine(
        session_id=session.session_id,
        state=session.state,
        wish=session.wish,
        set_aside=session.set_aside,
        created_ms=session.created_ms,
        tasks=dict(Counter(task.state for task in found.tasks)),
        tokens_used=sum(task.tokens_used for task in found.tasks),
        tokens_per_minute=found.tokens_per_minute,
    )


def _waits(task: TaskRecord) -> bool:
    return task.state in {"waiting", "help_needed"}


def _wait_line(task: TaskRecord) -> WaitLine:
    return WaitLine(
        session_id=task.session_id,
        task_id=task.task_id,
        persona_id=task.persona_id,
        engine=task.engine,
        waits_for=task.waits_for,
        detail=task.waits_on,
        deadline_ms=task.deadline_ms,
        attempt=task.attempt,
        round=task.round,
    )


def _breakers(store: Records) -> tuple[BreakerLine, ...]:
    return tuple(
        BreakerLine(
            name=record.engine,
            state=record.state,
            failures=record.failures,
            next_probe_ms=record.retry_at_ms,
        )
        for record in store.breakers.scan()
        if record.state != "closed"
    )


def _budgets(store: Records, now_ms: int) -> tuple[BudgetLine, ...]:
    lines = [
        BudgetLine(
            budget_id=counter.key.budget_id,
            session_id=counter.key.session_id,
            subject=counter.key.subject,
            window=window_of(counter.key),
            metric=metric_of(counter.key),
            limit=counter.limit,
            spent=counter.spent,
            held=counter.held,
            spent_permille=counter.spent * 1000 // counter.limit,
        )
        for counter in running_counters(store, now_ms)
    ]
    lines.sort(key=lambda line: (-line.spent_permille, line.budget_id, line.session_id))
    return tuple(line for line in lines if line.spent_permille >= BUDGET_PERMILLE)
