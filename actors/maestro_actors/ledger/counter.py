"""One counter: what the calls of one budget have taken in one window, and what they still hold."""

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

    rolling_ms: int = field(init=False)
    """Length of a rolling window, 0 for any other."""
    _told_by: tuple[int, int, tuple[int, ...]] | None = field(
        default=None, init=False, compare=False
    )
    """Version, limit and shares by which every share that is reached has been told, or is known."""

    def __post_init__(self) -> None:
        """Read the window once."""
        self.rolling_ms = rolling_ms(self.key.rule.partition("/")[0])

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
        length_ms = self.rolling_ms
        if not length_ms:
            return
        # A step counts until its last millisecond is too old: never too little is counted.
        self.forgotten_ms = now_ms - length_ms - rolling_step_ms(length_ms)
        for start_ms in [start_ms for start_ms in self.steps if start_ms <= self.forgotten_ms]:
            self.spent -= self.steps.pop(start_ms)

    def book(self, amount: int, step_ms: int | None) -> list[Alert]:
        """Add to what was spent, and return the alerts this raises.

        Args:
            amount: May be negative, to correct what was booked.
            step_ms: The step of a rolling window that the call was opened in; None for others.
        """
        before = self.spent
        if step_ms is not None:
            if step_ms <= self.forgotten_ms:
                return []
            self.steps[step_ms] = self.steps.get(step_ms, 0) + amount
        self.spent = spent = before + amount
        # Shares are thousandths, so amounts are compared as such.
        told, reached = before * 1000, spent * 1000
        limit, rule = self.limit, (self.version, self.limit, self.alert_permille)
        if rule != self._told_by:
            self._told_by = rule
            told = min(told, limit * self._told_permille())
        if told >= reached:
            return []
        return [
            alert
            for permille in self.alert_permille
            if told < limit * permille <= reached and (alert := self._raised(permille)) is not None
        ]

    def _told_permille(self) -> int:
        """Return the highest share that this version has told of, whatever the limit was then.

        Lower ones are no news, if nothing crosses them: a limit that was raised would tell them
        again.
        """
        return max(
            (fired.permille for fired in self.fired if fired.version == self.version), default=0
        )

    def _raised(self, permille: int) -> Alert | None:
        """Return the alert of a share that was reached, None if it has been raised before."""
        fired = Fired(self.version, self.limit, permille)
        # A correction can take the counter back below a share it has crossed before.
        if fired in self.fired:
            return None
        self.fired.add(fired)
        return Alert(self.key, *fired, self.spent)
