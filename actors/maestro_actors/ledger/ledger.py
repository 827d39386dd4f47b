"""The ledger: which calls may be made, and what they have taken from which budget.

Plain state, without time, threads or storage. Every operation says which counters it changed; who
keeps a ledger makes those rows durable, with the call, before anything follows from them. A ledger
made anew from the rows is the same ledger.
"""

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec

from maestro_actors.ledger.amounts import METRICS, Amounts, LostPolicy, Metric, lost_amount
from maestro_actors.ledger.budget import Budget, Caller, Span, rolling_ms, span_of, subject_of
from maestro_actors.ledger.counter import Alert, Counter
from maestro_actors.ledger.decision import Check, Clamp, Deny, Grant, Wait, cut_of, refusal
from maestro_actors.ledger.errors import LedgerConflict
from maestro_storage.bookings import CounterKey, Hold

OLDER_COUNTERS_MAX: Final = 1024
"""Counters of ended windows that are kept. One that so many others have followed is durable."""

Load = Callable[[CounterKey], Counter | None]
"""Returns the counter as its row says, None if there is no such row."""


class Change(msgspec.Struct, frozen=True, gc=False):
    """What an operation has changed."""

    counters: tuple[Counter, ...] = ()
    alerts: tuple[Alert, ...] = ()


Place = tuple[str, str, str, str]
"""The key of a counter without its window: session or none, budget, rule, subject."""


class Ledger:
    """Counters of budgets, and the open calls that hold a part of them. One thread."""

    def __init__(self, load: Load, latest_ms: int = 0) -> None:
        """Make a ledger over the rows that `load` reads.

        Args:
            load: Called once for each counter, when it is first needed.
            latest_ms: Latest instant the rows know of: windows before it are never opened again.
        """
        self._load = load
        self._latest_ms = latest_ms
        self._spans: dict[str, Span] = {}
        self._current: dict[Place, Counter] = {}
        """The newest window of each counter."""
        self._places: dict[str, list[Place]] = {}
        """Of the counters in it, by session: a thousand sessions must not be looked through for
        the end of one."""
        self._older: dict[CounterKey, Counter] = {}
        """Windows that have ended, those touched last at the end: open calls may hold a part of
        them, or corrections come."""
        self._open: dict[bytes, tuple[Hold, ...]] = {}

    def reserve(
        self,
        call_id: bytes,
        caller: Caller,
        budgets: Sequence[Budget],
        *,
        need: Amounts,
        floor: Amounts,
        at_ms: int,
    ) -> Grant | Clamp | Wait | Deny:
        """Hold what a call may take in all budgets that count it, or in none.

        Args:
            call_id: Not used by any other call.
            caller: Who makes the call.
            budgets: Budgets that may count it.
            need: The most it may take.
            floor: The least it can do with, at most `need` everywhere. What lies between the two
                are output tokens, which a smaller order saves.
            at_ms: Wall clock; fixes the windows for the rest of the call's life. An earlier
                instant than a former one counts as that one.

        Raises:
            LedgerConflict: The call is open.
        """
        if call_id in self._open:
            raise LedgerConflict(f"call {call_id.hex()}", "is open, it cannot be opened again")
        self._latest_ms = now_ms = max(self._latest_ms, at_ms)
        if need.total == floor.total:
            floor = need
        checks = []
        fits = True
        for budget in budgets:
            check = self._check(budget, caller, need, floor, now_ms)
            if isinstance(check, Deny):
                return check
            if check is not None:
                checks.append(check)
                fits = fits and check.fits
        spare = need.total - floor.total
        cut = 0
        if not fits:
            answer = refusal(checks, now_ms)
            if answer is not None:
                return answer
            cut = max(cut_of(check, spare) for check in checks)
        return self._hold(call_id, checks, need.total, spare, cut)

    def adopt(self, call_id: bytes, holds: Iterable[Hold]) -> None:
        """Take up an open call of another life, whose counters count its holds already."""
        self._open[call_id] = tuple(holds)

    def settle(self, call_id: bytes, used: Amounts) -> Change:
        """Book what a call has taken, in the windows it was opened in. It may exceed its holds.

        Raises:
            LedgerConflict: The call is not open.
        """
        holds = self._closed(call_id)
        return self._book([(hold, -hold.amount, used[hold.metric] or 0) for hold in holds])

    def release(self, call_id: bytes) -> Change:
        """Give back what a call held: it is certain that it was never made.

        Raises:
            LedgerConflict: The call is not open.
        """
        return self._book([(hold, -hold.amount, 0) for hold in self._closed(call_id)])

    def lose(self, call_id: bytes, policy: LostPolicy = "reservation") -> Change:
        """Book a call of which nobody knows what it took.

        Raises:
            LedgerConflict: The call is not open.
        """
        return self._book(
            [(hold, -hold.amount, lost_amount(hold, policy)) for hold in self._closed(call_id)]
        )

    def correct(self, holds: Iterable[Hold], delta: Amounts) -> Change:
        """Add to what a closed call was booked with; `holds` are those of its row.

        A counter that is no longer kept, because its window ended long ago, is passed over.
        """
        return self._book(
            [(hold, 0, delta[hold.metric] or 0) for hold in holds if self._is_kept(hold.key)]
        )

    def top_up(self, budget: Budget, caller: Caller, amount: int, at_ms: int) -> Change:
        """Raise a limit in the running window, for everyone the counter counts.

        Raises:
            LedgerConflict: The budget does not count this caller.
        """
        counter = self.counter(budget, caller, at_ms)
        counter.top_up(amount)
        return Change((counter,))

    def counter(self, budget: Budget, caller: Caller, at_ms: int) -> Counter:
        """Return the counter of a caller in the window of an instant; the caller only reads it.

        Raises:
            LedgerConflict: The budget does not count this caller.
        """
        self._latest_ms = now_ms = max(self._latest_ms, at_ms)
        check = self._check(budget, caller, Amounts(), Amounts(), now_ms)
        if not isinstance(check, Check):
            raise LedgerConflict(
                f"budget {budget.id!r}", f"does not count persona {caller.persona_id!r}"
            )
        return check.counter

    def govern(self, budgets: Iterable[Budget]) -> tuple[Counter, ...]:
        """Have running windows follow budgets that have changed; return their counters."""
        rules = {rule_of(budget): budget for budget in budgets}
        changed = []
        for counter in self._current.values():
            budget = rules.get((counter.key.budget_id, counter.key.rule))
            if budget is not None and counter.limit != budget.limit + counter.topped_up:
                counter.apply(budget)
                changed.append(counter)
        return tuple(changed)

    def standing(self, key: CounterKey) -> Counter:
        """Return the counter of a key; the caller only reads it."""
        return self._counter(key)

    def forget_session(self, session_id: str) -> None:
        """Put the counters aside whose window is this session; their rows stay."""
        for place in self._places.pop(session_id, ()):
            # A correction of one of its calls may not be durable yet.
            self._retire(self._current.pop(place))

    def counters(self, session_id: str) -> list[Counter]:
        """Return the counters whose window is this session, as far as they were needed."""
        return [self._current[place] for place in self._places.get(session_id, ())]

    def _check(
        self, budget: Budget, caller: Caller, need: Amounts, floor: Amounts, now_ms: int
    ) -> Check | Deny | None:
        """Look up what a budget says to a call; None if it does not count it."""
        subject = subject_of(budget, caller)
        if subject is None:
            return None
        window = budget.window
        span = self._span(window, now_ms)
        rule, metric, rolls = _rule(window, budget.metric)
        place = (caller.session_id if window == "session" else "", budget.id, rule, subject)
        start_ms = 0 if rolls else span.start_ms
        counter = self._current.get(place)
        if counter is None or counter.key.start_ms != start_ms:
            counter = self._counter(CounterKey(*place, start_ms))
        counter.apply(budget)
        counter.forget(now_ms)
        wanted, least = need[metric], floor[metric]
        if wanted is None or least is None:
            if budget.action == "warn":
                return None
            return Deny(budget, counter.key, counter.limit, counter.spent, counter.held, None, None)
        step_ms = span.start_ms if rolls else None
        return Check(budget, counter, span, metric, step_ms, wanted, least)

    def _hold(
        self, call_id: bytes, checks: list[Check], tokens: int, spare: int, cut: int
    ) -> Grant | Clamp:
        holds = []
        counters = []
        for check in checks:
            counter, need, floor = check.counter, check.need, check.floor
            amount = need - cut * (need - floor) // spare if cut else need
            counter.held += amount
            holds.append(Hold(counter.key, check.step_ms, check.metric, amount, floor))
            counters.append(counter)
        held = self._open[call_id] = tuple(holds)
        if cut:
            return Clamp(tokens - cut, held, tuple(counters))
        return Grant(tokens, held, tuple(counters))

    def _closed(self, call_id: bytes) -> tuple[Hold, ...]:
        holds = self._open.pop(call_id, None)
        if holds is None:
            raise LedgerConflict(f"call {call_id.hex()}", "is not open")
        return holds

    def _book(self, entries: list[tuple[Hold, int, int]]) -> Change:
        counters: list[Counter] = []
        alerts: list[Alert] = []
        for hold, held, spent in entries:
            counter = self._counter(hold.key)
            counter.held += held
            counter.forget(self._latest_ms)
            alerts += counter.book(spent, hold.step_ms)
            counters.append(counter)
        return Change(tuple(counters), tuple(alerts))

    def _span(self, window: str, now_ms: int) -> Span:
        span = self._spans.get(window)
        if span is None or (span.end_ms is not None and now_ms >= span.end_ms):
            span = self._spans[window] = span_of(window, now_ms)
        return span

    def _counter(self, key: CounterKey) -> Counter:
        place = key[:4]
        current = self._current.get(place)
        if current is not None and current.key == key:
            return current
        counter = self._older.pop(key, None) or self._load(key) or Counter(key)
        if current is not None and current.key.start_ms > key.start_ms:
            self._retire(counter)
            return counter
        self._current[place] = counter
        if current is None:
            self._places.setdefault(place[0], []).append(place)
        else:
            self._retire(current)
        return counter

    def _is_kept(self, key: CounterKey) -> bool:
        """Whether a counter is known, in memory or as a row."""
        current = self._current.get(key[:4])
        known = key in self._older or (current is not None and current.key == key)
        return known or self._load(key) is not None

    def _retire(self, counter: Counter) -> None:
        """Keep the counter of an ended window: its row may not be durable yet."""
        self._older[counter.key] = counter
        if len(self._older) > OLDER_COUNTERS_MAX:
            free = next((key for key, older in self._older.items() if not older.held), None)
            if free is not None:
                del self._older[free]


def rule_of(budget: Budget) -> tuple[str, str]:
    """Return what the keys of all counters of a budget have in common."""
    return budget.id, _rule(budget.window, budget.metric)[0]


@functools.lru_cache(maxsize=256)
def _rule(window: str, metric: Metric) -> tuple[str, int, bool]:
    """Return the rule in a counter's key, the place of the metric, and whether the window rolls."""
    return f"{window}/{metric}", METRICS.index(metric), rolling_ms(window) > 0
