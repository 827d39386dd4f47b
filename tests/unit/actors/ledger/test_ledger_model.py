"""The ledger against a model that keeps every call and adds up anew for each question."""

import copy
import datetime as dt
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from maestro_actors.ledger.amounts import METRICS, Amounts
from maestro_actors.ledger.budget import Budget, Caller
from maestro_actors.ledger.decision import Clamp, Deny, Grant, Wait
from maestro_actors.ledger.ledger import Change, Ledger

if TYPE_CHECKING:
    from maestro_actors.ledger.counter import Alert, Counter
    from maestro_storage.bookings import CounterKey, Hold

START_MS = 1_700_000_000_000

Bucket = tuple[str, str, str, str]
"""Session, budget, subject, window in words."""


@dataclass
class Call:
    """One call, as the model remembers it."""

    call_id: bytes
    buckets: dict[str, tuple[Bucket, int]]
    """Where each budget counts it, and the step it was opened in."""
    reserved: Amounts
    floor: Amounts
    holds: "tuple[Hold, ...]"
    booked: Amounts | None = None


@dataclass
class Model:
    """Spec of the ledger: slow, and without counters."""

    budgets: list[Budget]
    calls: list[Call] = field(default_factory=list)
    now_ms: int = START_MS
    topped_up: dict[Bucket, int] = field(default_factory=dict)

    def hear(self, at_ms: int) -> None:
        """Learn the time, which only a call or a top-up brings; it never goes back."""
        self.now_ms = max(self.now_ms, at_ms)

    def bucket(self, budget: Budget, caller: Caller) -> Bucket | None:
        facts = {
            "global": "",
            "persona": caller.persona_id,
            "session": caller.session_id,
            "model": caller.model,
            "engine": caller.engine,
        }
        if budget.scope == "tag":
            subject = budget.value
            counted = budget.value in caller.tags
        else:
            subject = facts[budget.scope]
            counted = budget.scope == "global" or bool(subject)
            counted = counted and budget.value in ("", subject)
        if not counted:
            return None
        at = dt.datetime.fromtimestamp(self.now_ms / 1000, dt.UTC)
        words = {"hour": "%Y%m%d%H", "day": "%Y%m%d", "week": "%G-%V", "month": "%Y%m"}
        window = at.strftime(words[budget.window]) if budget.window in words else budget.window
        session = caller.session_id if budget.window == "session" else ""
        return session, budget.id, subject, window

    def step(self, budget: Budget) -> int:
        length_ms = int(budget.window.partition(":")[2] or 0) * 1000
        return self.now_ms // (length_ms // 60) if length_ms else 0

    def spent(self, budget: Budget, bucket: Bucket) -> int:
        length = 61 if budget.window.startswith("rolling") else 1 << 60
        return sum(
            amount(call.booked, budget)
            for call in self.calls
            if call.booked is not None
            and call.buckets.get(budget.id, (None, 0))[0] == bucket
            and call.buckets[budget.id][1] > self.step(budget) - length
        )

    def held(self, budget: Budget, bucket: Bucket) -> int:
        return sum(
            amount(call.reserved, budget)
            for call in self.calls
            if call.booked is None and call.buckets.get(budget.id, (None, 0))[0] == bucket
        )

    def limit(self, budget: Budget, bucket: Bucket) -> int:
        return budget.limit + self.topped_up.get(bucket, 0)

    def fits(self, caller: Caller, take: Amounts, *, held: bool) -> bool:
        return all(
            self.spent(budget, bucket) + held * self.held(budget, bucket) + amount(take, budget)
            <= self.limit(budget, bucket)
            for budget in self.budgets
            if budget.action != "warn" and (bucket := self.bucket(budget, caller)) is not None
        )

    def answer(self, caller: Caller, need: Amounts, floor: Amounts) -> str | Amounts:
        if self.fits(caller, need, held=True):
            return need
        if self.fits(caller, need, held=False):
            return "wait"
        spare = need.total - floor.total
        for cut in range(spare + 1 if self.fits(caller, floor, held=True) else 0):
            less = [wanted - cut * (wanted - least) // spare for wanted, least in both(need, floor)]
            if self.fits(caller, Amounts(*less), held=True):
                return Amounts(*less)
        return "wait" if self.fits(caller, floor, held=False) else "deny"


def both(need: Amounts, floor: Amounts) -> list[tuple[int, int]]:
    return [(wanted or 0, least or 0) for wanted, least in zip(need, floor, strict=True)]


def amount(amounts: Amounts, budget: Budget) -> int:
    return amounts[METRICS.index(budget.metric)] or 0


BUDGETS = [
    Budget(id="team", window="session", limit=300),
    Budget(id="dev", scope="persona", value="dev", window="session", limit=150),
    Budget(id="each-day", scope="persona", window="day", limit=250, action="park"),
    Budget(id="hourly", window="hour", metric="requests", limit=4),
    Budget(id="week", scope="model", window="week", metric="fresh", limit=500),
    Budget(id="month", window="month", metric="money", limit=2_000),
    Budget(id="rolling", scope="engine", window="rolling:600", metric="output", limit=120),
    Budget(id="urgent", scope="tag", value="urgent", window="forever", limit=200),
    Budget(id="seen", scope="session", window="day", limit=60, action="warn"),
]

CALLERS = st.builds(
    Caller,
    session_id=st.sampled_from(["s-1", "s-2"]),
    persona_id=st.sampled_from(["dev", "qa"]),
    engine=st.sampled_from(["chat", "agent"]),
    model=st.sampled_from(["", "m-1"]),
    tags=st.sampled_from([(), ("urgent",)]),
)


@st.composite
def figures(draw: st.DrawFn) -> Amounts:
    """Amounts that one call could really take."""
    output = draw(st.integers(0, 60))
    fresh = output + draw(st.integers(0, 40))
    total = fresh + draw(st.integers(0, 20))
    return Amounts(total, fresh, output, draw(st.integers(1, 2)), 3 * fresh + 4 * output)


class LedgerMachine(RuleBasedStateMachine):
    """Calls, corrections, top-ups, time, and crashes, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: dict[CounterKey, Counter] = {}
        self.latest_ms = 0
        self.alerts: list[Alert] = []

    @initialize(chosen=st.sets(st.sampled_from(range(len(BUDGETS))), min_size=1))
    def begin(self, chosen: set[int]) -> None:
        self.model = Model([BUDGETS[index] for index in sorted(chosen)])
        self.reopen()

    @rule()
    def reopen(self) -> None:
        """Crash: all that is left are the rows."""
        self.ledger = Ledger(lambda key: copy.deepcopy(self.rows.get(key)), self.latest_ms)
        self.model.now_ms = self.latest_ms
        for call in self.model.calls:
            if call.booked is None:
                self.ledger.adopt(call.call_id, call.holds)

    @rule(minutes=st.sampled_from([-90, -1, 1, 3, 11, 61, 60 * 25, 60 * 24 * 8, 60 * 24 * 32]))
    def pass_time(self, minutes: int) -> None:
        self.clock_ms = max(self.clock_ms, self.model.now_ms) + minutes * 60_000

    clock_ms = START_MS

    @rule(caller=CALLERS, need=figures(), spare=st.integers(0, 60))
    def reserve(self, caller: Caller, need: Amounts, spare: int) -> None:
        spare = min(spare, need.output)
        floor = Amounts(
            need.total - spare,
            need.fresh - spare,
            need.output - spare,
            need.requests,
            (need.money or 0) - 7 * spare,
        )
        self.model.hear(self.clock_ms)
        expected = self.model.answer(caller, need, floor)
        call_id = len(self.model.calls).to_bytes(16, "big")
        found = self.ledger.reserve(
            call_id, caller, self.model.budgets, need=need, floor=floor, at_ms=self.clock_ms
        )
        if not isinstance(found, Grant | Clamp):
            assert {Wait: "wait", Deny: "deny"}[type(found)] == expected
            return
        assert isinstance(expected, Amounts)
        assert found.tokens == expected.total
        assert isinstance(found, Clamp) == (expected.total < need.total)
        self.save(Change(found.counters))
        buckets = {
            budget.id: (bucket, self.model.step(budget))
            for budget in self.model.budgets
            if (bucket := self.model.bucket(budget, caller)) is not None
        }
        self.model.calls.append(Call(call_id, buckets, expected, floor, found.holds))

    def open_call(self, data: Any) -> Call:
        call: Call = data.draw(
            st.sampled_from([call for call in self.model.calls if call.booked is None])
        )
        return call

    def some_open(self) -> bool:
        return any(call.booked is None for call in self.model.calls)

    @precondition(some_open)
    @rule(data=st.data(), used=figures())
    def settle(self, data: Any, used: Amounts) -> None:
        call = self.open_call(data)
        self.book(call, used, self.ledger.settle(call.call_id, used))

    @precondition(some_open)
    @rule(data=st.data())
    def release(self, data: Any) -> None:
        call = self.open_call(data)
        self.book(call, Amounts(), self.ledger.release(call.call_id))

    @precondition(some_open)
    @rule(data=st.data(), policy=st.sampled_from(["reservation", "floor", "zero"]))
    def lose(self, data: Any, policy: Any) -> None:
        call = self.open_call(data)
        booked = {"reservation": call.reserved, "floor": call.floor, "zero": Amounts()}[policy]
        self.book(call, booked, self.ledger.lose(call.call_id, policy))

    @precondition(lambda self: any(call.booked for call in self.model.calls))
    @rule(data=st.data(), share=st.integers(-2, 2))
    def correct(self, data: Any, share: int) -> None:
        """Empty, halve, leave or double what a closed call was booked with."""
        call = data.draw(st.sampled_from([call for call in self.model.calls if call.booked]))
        delta = Amounts(*((value or 0) * share // 2 for value in call.booked))
        pairs = zip(call.booked, delta, strict=True)
        booked = Amounts(*((old or 0) + (more or 0) for old, more in pairs))
        self.book(call, booked, self.ledger.correct(call.holds, delta))

    @rule(caller=CALLERS, need=figures())
    def die_while_reserving(self, caller: Caller, need: Amounts) -> None:
        """Crash before the opening is durable: nobody has seen the call."""
        call_id = len(self.model.calls).to_bytes(16, "big")
        self.ledger.reserve(
            call_id, caller, self.model.budgets, need=need, floor=need, at_ms=self.clock_ms
        )
        self.reopen()

    @precondition(some_open)
    @rule(data=st.data(), used=figures())
    def die_while_settling(self, data: Any, used: Amounts) -> None:
        """Crash before the booking is durable: the call is open, no alert was raised."""
        self.ledger.settle(self.open_call(data).call_id, used)
        self.reopen()

    def book(self, call: Call, booked: Amounts, change: Change) -> None:
        """Compare the alerts of a booking with those of the model."""
        fixed = [
            budget
            for budget in self.model.budgets
            if budget.id in call.buckets and not budget.window.startswith("rolling")
        ]
        before = [self.model.spent(budget, call.buckets[budget.id][0]) for budget in fixed]
        call.booked = booked
        expected = set()
        for budget, old in zip(fixed, before, strict=True):
            bucket = call.buckets[budget.id][0]
            limit, new = self.model.limit(budget, bucket), self.model.spent(budget, bucket)
            expected |= {
                (bucket[:3], limit, permille)
                for permille in budget.alert_permille
                if old / limit < permille / 1000 <= new / limit
            }
        found = {
            ((*alert.key[:2], alert.key.subject), alert.limit, alert.permille)
            for alert in change.alerts
            if not alert.key.rule.startswith("rolling")
        }
        assert found <= expected
        keys = {(*counter.key[:2], counter.key.subject): counter.key for counter in change.counters}
        raised = {(alert.key, alert.limit, alert.permille) for alert in self.alerts}
        assert all((keys[name], *rest) in raised for name, *rest in expected - found)
        self.save(change)

    @rule(caller=CALLERS, data=st.data(), more=st.integers(1, 100))
    def top_up(self, caller: Caller, data: Any, more: int) -> None:
        budget = data.draw(st.sampled_from(self.model.budgets))
        if self.model.bucket(budget, caller) is not None:
            self.model.hear(self.clock_ms)
            bucket = self.model.bucket(budget, caller)
            assert bucket is not None
            self.save(self.ledger.top_up(budget, caller, more, self.clock_ms))
            self.model.topped_up[bucket] = self.model.topped_up.get(bucket, 0) + more

    def save(self, change: Change) -> None:
        """Make the rows durable that an operation has changed."""
        self.latest_ms = self.model.now_ms
        for counter in change.counters:
            self.rows[counter.key] = copy.deepcopy(counter)
        for alert in change.alerts:
            assert alert.spent * 1000 >= alert.limit * alert.permille
        self.alerts += change.alerts

    @invariant()
    def the_rows_are_the_sum_of_the_calls(self) -> None:
        for key, row in self.rows.items():
            holds = [
                hold
                for call in self.model.calls
                if call.booked is None
                for hold in call.holds
                if hold.key == key
            ]
            assert row.held == sum(hold.amount for hold in holds)

    @invariant()
    def nothing_is_spent_that_no_call_has_booked(self) -> None:
        for budget in self.model.budgets:
            if not budget.window.startswith("rolling"):
                rows = sum(row.spent for key, row in self.rows.items() if key[1] == budget.id)
                booked = sum(
                    amount(call.booked, budget)
                    for call in self.model.calls
                    if call.booked and budget.id in call.buckets
                )
                assert rows == booked

    @invariant()
    def an_alert_is_raised_once(self) -> None:
        names = [(alert.key, alert.version, alert.limit, alert.permille) for alert in self.alerts]
        assert len(names) == len(set(names))


TestLedger = LedgerMachine.TestCase
TestLedger.settings = settings(max_examples=60, stateful_step_count=40)
