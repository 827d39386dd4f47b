"""One counter: what the calls of one budget have taken in one window, and what they still hold."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from maestro_actors.ledger.budget import Budget, rolling_ms, rolling_step_ms
from maestro_storage.bookings import CounterKey, Fired


class Alert(NamedTuple):
    """A counter has reached a share of its limit. Raised once for each (key, version, limit)."""

    key: CounterKey
    version: int
    limit: int
    permille: int
    spent: int


@dataclass(slots=True)
class Counter:
    """The counters of one window, and the rule they were last checked against."""

    key: CounterKey
    limit: int = 0
    """With what was topped up."""
    version: int = 1
    alert_permille: tuple[int, ...] = ()
    spent: int = 0
    """In the window: of a rolling one, what it has not forgotten yet."""
    held: int = 0
    """Reserved by open calls."""
    topped_up: int = 0
    fired: set[Fired] = field(default_factory=set)
    steps: dict[int, int] = field(default_factory=dict)
    """What was spent in each step of a rolling window, by the start of the step."""
    forgotten_ms: int = -1
    """Last start of a step that a rolling window has left behind."""

    def apply(self, budget: Budget) -> None:
        """Check against this budget from now on."""
        self.limit = budget.limit + self.topped_up
        self.version = budget.version
        self.alert_permille = budget.alert_permille

    def top_up(self, amount: int) -> None:
        """Raise the limit in this window."""
        self.topped_up += amount
        self.limit += amount

    def forget(self, now_ms: int) -> None:
        """Drop the steps that a rolling window has left behind."""
        length_ms = rolling_ms(self.key.rule.partition("/")[0])
        if not length_ms:
            return
        # A step counts until its last millisecond is too old: never too little is counted.
        self.forgotten_ms = now_ms - length_ms - rolling_step_ms(length_ms)
        for start_ms in [start_ms for start_ms in self.steps if start_ms <= self.forgotten_ms]:
            self.spent -= self.steps.pop(start_ms)

    def book(self, amount: int, step_ms: int | None) -> Iterator[Alert]:
        """Add to what was spent, and yield the alerts this raises.

        Args:
            amount: May be negative, to correct what was booked.
            step_ms: The step of a rolling window that the call was opened in; None for others.
        """
        before = self.spent
        if step_ms is not None:
            if step_ms <= self.forgotten_ms:
                return
            self.steps[step_ms] = self.steps.get(step_ms, 0) + amount
        self.spent += amount
        for permille in self.alert_permille:
            fired = Fired(self.version, self.limit, permille)
            crossed = before * 1000 < self.limit * permille <= self.spent * 1000
            # A correction can take the counter back below a share it has crossed before.
            if crossed and fired not in self.fired:
                self.fired.add(fired)
                yield Alert(self.key, *fired, self.spent)
