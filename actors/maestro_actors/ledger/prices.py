"""What a call costs: rate cards in whole nano-USD (1e-9 USD), applied once for each call."""

from collections.abc import Callable
from typing import Final, Literal, NamedTuple

from maestro_actors.engine import Usage
from maestro_actors.ledger.budget import DAY_MS

TOKENS_PER_RATE: Final = 1_000_000

CostBasis = Literal["table", "list", "unpriced"]
"""Where a price comes from: an own table, a public price list, or nowhere."""


class RateCard(NamedTuple):
    """Nano-USD for one million tokens of each bucket."""

    input: int
    output: int
    cache_read: int
    cache_write: int
    reasoning: int
    basis: CostBasis = "table"


def cost_of(usage: Usage, card: RateCard) -> int:
    """Return the price of a call in nano-USD, rounded half up once."""
    fresh_tokens = usage.input_tokens - usage.cache_read_tokens - usage.cache_write_tokens
    sum_ = (
        fresh_tokens * card.input
        + usage.cache_read_tokens * card.cache_read
        + usage.cache_write_tokens * card.cache_write
        + (usage.output_tokens - usage.reasoning_tokens) * card.output
        + usage.reasoning_tokens * card.reasoning
    )
    return (sum_ + TOKENS_PER_RATE // 2) // TOKENS_PER_RATE


def cost_at_most(tokens: int, card: RateCard) -> int:
    """Return what `tokens` of the dearest bucket cost in nano-USD, rounded up."""
    return -(-tokens * max(card[:5]) // TOKENS_PER_RATE)


Resolve = Callable[[str, int], RateCard | None]
"""Finds the card of a model at an instant (wall-clock milliseconds), None if it has no price."""


TABLES_KEPT: Final = 16
"""Own tables that were in force, and by which older calls still are priced."""


class PriceBook:
    """The card of every model; an own table always wins. Any thread.

    The own table that was in force when a call began prices it to its end.

    A card is looked up once for each model and day (UTC), because public lists are slow and
    prices change by the day.
    """

    def __init__(self, table: dict[str, RateCard], resolve: Resolve | None = None) -> None:
        """Make a book from an own table, by model, and a list to fall back on."""
        self._tables: tuple[tuple[int, dict[str, RateCard]], ...] = ((0, table),)
        """Since when each is in force, the newest first."""
        self._resolve = resolve
        self._day = -1
        self._resolved: dict[str, RateCard | None] = {}

    def card(self, model: str, at_ms: int) -> RateCard | None:
        """Return the card of a model, None if it has no price: nobody may take that for 0."""
        since_ms, table = self._tables[0]
        if at_ms < since_ms:
            # What is older than all that are kept goes by the oldest.
            older = (table for since_ms, table in self._tables if at_ms >= since_ms)
            table = next(older, self._tables[-1][1])
        own = table.get(model)
        if own is not None or self._resolve is None:
            return own
        day = at_ms // DAY_MS
        if day != self._day:
            self._day, self._resolved = day, {}
        if model not in self._resolved:
            self._resolved[model] = self._resolve(model, at_ms)
        return self._resolved[model]

    def replace(self, table: dict[str, RateCard], since_ms: int) -> int:
        """Have another own table in force from an instant on; return in how many models it differs.

        A table that is the same changes nothing.
        """
        before = self._tables[0][1]
        models = before.keys() | table.keys()
        changed = sum(before.get(model) != table.get(model) for model in models)
        if changed:
            self._tables = ((since_ms, table), *self._tables[: TABLES_KEPT - 1])
        return changed
