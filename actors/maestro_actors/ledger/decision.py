"""What a ledger says to a call: granted, cut down, to wait, or denied; and how it comes to that."""

import msgspec

from maestro_actors.ledger.budget import Budget, Span, rolling_ms
from maestro_actors.ledger.counter import Counter
from maestro_storage.bookings import CounterKey, Hold


class Grant(msgspec.Struct, frozen=True, gc=False):
    """The call may be made, with everything it asked for."""

    tokens: int
    holds: tuple[Hold, ...]
    counters: tuple[Counter, ...]


class Clamp(msgspec.Struct, frozen=True, gc=False):
    """The call may be made if it takes no more than `tokens`: fewer than it asked for."""

    tokens: int
    holds: tuple[Hold, ...]
    counters: tuple[Counter, ...]


class Wait(msgspec.Struct, frozen=True, gc=False):
    """Only what other calls hold is in the way: ask again when this counter has room."""

    key: CounterKey
    amount: int
    """What has to be free in it, in units of its metric."""


class Deny(msgspec.Struct, frozen=True, gc=False):
    """This budget cannot pay for the call in its window."""

    budget: Budget
    key: CounterKey
    limit: int
    spent: int
    held: int
    need: int | None
    """In units of the metric. None: the call has no price, and the budget counts money."""
    resets_at_ms: int | None
    """When the next window begins, or a rolling one may have forgotten enough; None: never."""
    least: int = 0
    """What the call can do with, in units of the metric."""


class Check(msgspec.Struct, frozen=True, gc=False):
    """One budget that counts the call."""

    budget: Budget
    counter: Counter
    span: Span
    metric: int
    step_ms: int | None
    """Start of the step of a rolling window; None for other windows."""
    need: int
    floor: int

    @property
    def enforced(self) -> bool:
        """Whether the budget keeps a call from being made."""
        return self.budget.action != "warn"

    @property
    def fits(self) -> bool:
        """Whether the budget has room for all the call asks for."""
        counter = self.counter
        room = counter.limit - counter.spent - counter.held
        return self.need <= room or self.budget.action == "warn"

    @property
    def left(self) -> int:
        """What could be had if every open call gave back what it holds."""
        return self.counter.limit - self.counter.spent

    @property
    def free(self) -> int:
        """What can be had now."""
        return self.left - self.counter.held


def refusal(checks: list[Check], now_ms: int) -> Wait | Deny | None:
    """Return why a call that does not fit cannot be made, None if it can be cut down."""
    enforced = [check for check in checks if check.enforced]
    for check in enforced:
        if check.floor > check.left:
            counter = check.counter
            return Deny(
                check.budget,
                counter.key,
                counter.limit,
                counter.spent,
                counter.held,
                check.need,
                _resets_at_ms(check, now_ms),
                check.floor,
            )
    # A call is cut down to what is not spent; what is only held comes back, so it waits for that.
    whole_later = all(check.need <= check.left for check in enforced)
    for check in enforced:
        if (check.need if whole_later else check.floor) > check.free:
            return Wait(check.counter.key, check.need if whole_later else check.floor)
    return None


def cut_of(check: Check, spare: int) -> int:
    """Return how many tokens a call has to give up for one budget."""
    over = check.need - check.free
    if not check.enforced or over <= 0:
        return 0
    # Rounded up in tokens, so that what is held, rounded down, still fits.
    return -(-over * spare // (check.need - check.floor))


def _resets_at_ms(check: Check, now_ms: int) -> int | None:
    length_ms = rolling_ms(check.budget.window)
    if not length_ms:
        return check.span.end_ms
    if not check.counter.steps:
        return None
    # The oldest step is the first to be forgotten.
    step_ms = check.span.end_ms - check.span.start_ms if check.span.end_ms else 0
    return max(now_ms + 1, min(check.counter.steps) + length_ms + step_ms)
