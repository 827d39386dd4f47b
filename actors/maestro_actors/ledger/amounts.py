"""What a call takes from budgets, in each of the ways a budget can count it."""

from typing import TYPE_CHECKING, Final, Literal, NamedTuple, get_args

if TYPE_CHECKING:
    # At run time the engine imports the team, the team its budgets, and those this module.
    from maestro_actors.engine import Usage
    from maestro_storage.bookings import Hold

Metric = Literal["total", "fresh", "output", "requests", "money"]
"""total: input and output tokens. fresh: the same without what came from the provider's cache.
output: output tokens. requests: requests to the provider. money: nano-USD (1e-9 USD)."""

LostPolicy = Literal["reservation", "floor", "zero"]
"""What a call is booked with when nobody can tell what it used: all that was reserved for it, the
fewest tokens it could have done with, or nothing."""

LOST_POLICIES: Final[tuple[LostPolicy, ...]] = get_args(LostPolicy)

METRICS: Final[tuple[Metric, ...]] = get_args(Metric)


class Amounts(NamedTuple):
    """One integer for each metric, in the order of `METRICS`."""

    total: int = 0
    fresh: int = 0
    output: int = 0
    requests: int = 0
    money: int | None = 0
    """Nano-USD; None if there is no price, which is not the same as free."""


def reserved(tokens: int, money: int | None) -> Amounts:
    """Return what a call of at most `tokens` may take: any of them may be fresh, or output."""
    return Amounts(tokens, tokens, tokens, 1, money)


def used(usage: "Usage", money: int | None) -> Amounts:
    """Return what a call has taken."""
    total = usage.input_tokens + usage.output_tokens
    return Amounts(
        total, total - usage.cache_read_tokens, usage.output_tokens, usage.requests, money
    )


def lost_amount(hold: "Hold", policy: LostPolicy) -> int:
    """Return what a lost call is booked with in one counter."""
    return {"reservation": hold.amount, "floor": hold.floor, "zero": 0}[policy]
