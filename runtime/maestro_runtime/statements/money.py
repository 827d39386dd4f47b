"""Money in words: exact, and never zero when there is no price."""

from maestro_actors.ledger.money import usd

UNPRICED = "unpriced"
"""Stands where there is no price: nobody may take that for 0."""


def cost_text(nano_usd: int | None, unpriced_calls: int = 0) -> str:
    """Return what calls have cost in USD, and how many of them have no price.

    Args:
        nano_usd: Of the calls that have a price; None: none has.
        unpriced_calls: Those that have none.
    """
    if nano_usd is None:
        return UNPRICED
    return usd(nano_usd) + (f" + {unpriced_calls} {UNPRICED}" if unpriced_calls else "")


def figure(amount: int, metric: str, unpriced_calls: int = 0) -> str:
    """Return an amount in units of a budget's metric: money in USD, with what is not in it."""
    return cost_text(amount, unpriced_calls) if metric == "money" else str(amount)
