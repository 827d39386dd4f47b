"""64 personas race on one budget: real actors, lanes, records; the judge sees every commit."""

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Final

import msgspec
import pytest

from maestro_actors.engine import CallOrder, Outcome, Usage
from maestro_actors.kernel import AsyncLane, Lane, ThreadLane, VirtualClock
from maestro_actors.ledger.budget import Budget, Caller
from maestro_actors.team import BreakerPolicy, Team
from maestro_storage import _journal
from maestro_storage.bookings import CounterKey
from maestro_storage.records import CallRecord, CounterRecord, EventRecord
from staging import (
    BOUND_SECONDS,
    MALFORMED,
    NO_WAIT,
    OK,
    SESSION,
    TRANSIENT,
    Stage,
    changed_retry,
    contract,
    open_stage,
    team,
)

WORKERS: Final = 64
NEED: Final = 100
"""Tokens that each call reserves."""


class Judge:
    """Reads the records at every commit, and adds up for itself what the budgets may say."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.topped_up = 0
        self.stage: Stage | None = None
        self.commits = 0
        self.refused: list[str] = []
        """Rules that a commit has broken."""
        self._opened: set[bytes] = set()
        self._breaker = "closed"

    def before_commit(self, number: int) -> None:
        """Nothing is durable yet."""

    def after_commit(self, number: int) -> None:
        """Judge what has become durable."""
        if self.stage is not None:
            self.commits = number
            try:
                self._judge(self.stage)
            except AssertionError as error:
                self.refused.append(f"commit {number}: {error}")

    def _judge(self, stage: Stage) -> None:
        calls = list(stage.store.calls.scan(SESSION))
        rows = {row.counter: row for row in stage.store.counters.scan()}
        spent, held = _sums(calls)
        assert {key: row.spent for key, row in rows.items()} == spent
        assert {key: row.held for key, row in rows.items()} == held
        opened = {call.call_id for call in calls} - self._opened
        self._opened |= opened
        new = [call for call in calls if call.call_id in opened]
        for key in {hold.key for call in new for hold in call.holds}:
            limit = self.limit + rows[key].topped_up
            assert rows[key].topped_up in (0, self.topped_up)
            assert spent[key] + held[key] <= limit, (
                f"{spent[key]} spent and {held[key]} reserved of {limit}"
            )
        self._judge_breaker(stage, new)

    def _judge_breaker(self, stage: Stage, new: list[CallRecord]) -> None:
        """While the breaker is open nothing leaves but one probe, which half opens it."""
        before = self._breaker
        row = stage.store.breakers.get("scripted")
        self._breaker = now = "closed" if row is None else row.state
        if new and before != "closed":
            assert (before, now, len(new)) == ("open", "half_open", 1)


def _sums(calls: list[CallRecord]) -> tuple[Counter[CounterKey], Counter[CounterKey]]:
    """Add up what each counter must have spent and reserved."""
    spent: Counter[CounterKey] = Counter()
    held: Counter[CounterKey] = Counter()
    for call in calls:
        is_open = call.state == "open"
        for hold in call.holds:
            spent[hold.key] += 0 if is_open else call.input_tokens + call.output_tokens
            held[hold.key] += call.reserved_tokens if is_open else 0
    return spent, held


class Crowd:
    """64 threads that end calls as they come; the first ones all at the same instant."""

    def __init__(self, stage: Stage, together: int, end_of: Callable[[CallOrder], Outcome]) -> None:
        stage.engines.held = True
        self._engines = stage.engines
        self._end_of = end_of
        self._barrier = threading.Barrier(together)
        self._together = together
        self._taken = 0
        self._over = False
        self._threads = [threading.Thread(target=self._work) for _ in range(WORKERS)]
        for thread in self._threads:
            thread.start()

    def _work(self) -> None:
        engines = self._engines
        while True:
            with engines.arrived:
                engines.arrived.wait_for(lambda: self._over or self._taken < len(engines.started))
                if self._over:
                    return
                place, self._taken = self._taken, self._taken + 1
                order = engines.started[place]
            if place < self._together:
                self._barrier.wait(BOUND_SECONDS)
            engines.finish(order.call_id, self._end_of(order))

    def close(self) -> None:
        """End the threads."""
        with self._engines.arrived:
            self._over = True
            self._engines.arrived.notify_all()
        self._barrier.abort()
        for thread in self._threads:
            thread.join(BOUND_SECONDS)


@pytest.fixture(params=["async", "threads"])
def lane(request: pytest.FixtureRequest) -> Iterator[Lane]:
    """Where the actors run: on one event loop, or on eight threads."""
    made: Lane = AsyncLane("race") if request.param == "async" else ThreadLane("race", threads=8)
    with closing(made):
        yield made


@pytest.fixture(autouse=True)
def _one_transition_a_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_journal, "BATCH_TRANSITIONS_MAX", 1)


@contextmanager
def racing(tmp_path: Path, lane: Lane, judge: Judge) -> Iterator[Stage]:
    stage = open_stage(tmp_path / "state", VirtualClock(1_000_000), actor_lane=lane, observer=judge)
    judge.stage = stage
    try:
        yield stage
    finally:
        stage.close()


def racers(budget: Budget) -> Team:
    """Return a team of 64 tasks that may all run at once, under one budget."""
    wanted = changed_retry(
        team(*(contract(f"c{number}") for number in range(WORKERS)), token_budget=10**9), NO_WAIT
    )
    return msgspec.structs.replace(wanted, budgets=(budget,), max_parallel_workers=WORKERS)


def ended(order: CallOrder, *, most: int, failed: Outcome = MALFORMED) -> Outcome:
    """Let a call use up to `most` tokens, always the same; a third of first attempts fails."""
    chance = random.Random(order.call_id)  # noqa: S311 - not for secrets
    outcome = failed if order.ordinal == 1 and chance.random() < 1 / 3 else OK
    tokens = chance.randint(0, most)
    return msgspec.structs.replace(outcome, usage=Usage(input_tokens=tokens))


def counters(stage: Stage) -> list[CounterRecord]:
    return list(stage.store.counters.scan())


def wait_until_spent(stage: Stage, tokens: int) -> None:
    """Wait until the calls that have ended used so many tokens in all."""

    def spent() -> int:
        return sum(int(event.data.get("tokens") or 0) for event in attempts())

    def attempts() -> list[EventRecord]:
        kinds = ("attempt_succeeded", "attempt_failed")
        return [event for event in stage.events if event.kind in kinds]

    with stage.changed:
        assert stage.changed.wait_for(lambda: spent() >= tokens, BOUND_SECONDS), spent()


def check_told_why(stage: Stage) -> None:
    """Check that every task is done, or says which budget could not pay for it."""
    for task in stage.store.tasks.scan(SESSION):
        if task.state != "done":
            assert (task.state, task.failure) == ("failed", "limit")
            assert "budget 'tight' cannot pay" in task.evidence[0]
    assert all(call.state == "settled" for call in stage.store.calls.scan(SESSION))


def test_64_racing_personas_are_never_admitted_past_a_budget(tmp_path: Path, lane: Lane) -> None:
    judge = Judge(limit=2_550)
    with racing(tmp_path, lane, judge) as stage:
        wanted = racers(Budget(id="tight", window="forever", limit=judge.limit))
        stage.create(wanted)
        with closing(Crowd(stage, judge.limit // NEED, partial(ended, most=NEED))):
            stage.run(wanted)
            stage.wait_for("session_failed")

        assert judge.refused == []
        assert judge.commits > WORKERS
        (row,) = counters(stage)
        assert judge.limit - NEED < row.spent <= judge.limit
        check_told_why(stage)
        assert len({task.state for task in stage.store.tasks.scan(SESSION)}) == 2


def test_calls_that_use_more_than_they_reserved_stop_the_race_at_once(
    tmp_path: Path, lane: Lane
) -> None:
    judge = Judge(limit=2_550)
    with racing(tmp_path, lane, judge) as stage:
        wanted = racers(Budget(id="tight", window="forever", limit=judge.limit))
        stage.create(wanted)
        with closing(Crowd(stage, judge.limit // NEED, partial(ended, most=4 * NEED))):
            stage.run(wanted)
            stage.wait_for("session_failed")

        assert judge.refused == []
        assert counters(stage)[0].spent > judge.limit
        check_told_why(stage)


def test_64_personas_race_through_several_windows_of_a_budget_and_all_end(
    tmp_path: Path, lane: Lane
) -> None:
    """Engines fail, too: while the breaker is open no call is admitted but its probe."""
    judge = Judge(limit=1_250)
    with racing(tmp_path, lane, judge) as stage:
        wanted = racers(Budget(id="tight", window="hour", limit=judge.limit, action="park"))
        stage.create(wanted)
        end = partial(ended, most=NEED, failed=TRANSIENT)
        with closing(Crowd(stage, judge.limit // NEED, end)):
            stage.run(wanted, BreakerPolicy(failures_max=2))
            stage.advance_until("session_done")

        assert judge.refused == []
        rows = counters(stage)
        assert len({row.counter.start_ms for row in rows}) == len(rows) >= 3
        assert all(row.spent <= judge.limit for row in rows)
        assert stage.store.breakers.get("scripted") is not None


def test_a_top_up_in_the_middle_of_the_race_lets_on_what_it_pays_for_and_no_more(
    tmp_path: Path, lane: Lane
) -> None:
    judge = Judge(limit=1_050)
    budget = Budget(id="tight", window="day", limit=judge.limit, action="park")
    caller = Caller(SESSION, "dev", engine="scripted")
    once = iter([900])
    lock = threading.Lock()

    def end(order: CallOrder) -> Outcome:
        with lock:
            due = len(stage.engines.started) > judge.limit // NEED and next(once, None)
        if due:
            judge.topped_up = due
            stage.top_up(budget, caller, 900)
        return ended(order, most=NEED)

    with racing(tmp_path, lane, judge) as stage:
        wanted = racers(budget)
        stage.create(wanted)
        with closing(Crowd(stage, judge.limit // NEED, end)):
            stage.run(wanted)
            # Only then may a new day begin: nothing is left for a further call of this one.
            wait_until_spent(stage, judge.limit + 900 - NEED + 1)
            stage.advance_until("session_done")

        assert judge.refused == []
        today, *others = sorted(counters(stage), key=lambda row: row.counter.start_ms)
        assert today.topped_up == 900
        assert judge.limit < today.spent <= judge.limit + 900
        assert all(row.spent <= judge.limit for row in others)
