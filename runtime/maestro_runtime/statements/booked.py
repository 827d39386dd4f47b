"""What a call is booked with, as corrected, in each counter that counts it."""

from collections.abc import Iterator

from maestro_actors.ledger.rows import booked as amounts_of
from maestro_actors.ledger.rows import figures_of, holds_of, usage_of
from maestro_storage.bookings import CounterKey
from maestro_storage.records import CallRecord


def tokens_of(call: CallRecord) -> int:
    """Return the tokens of a call, input and output together."""
    return usage_of(figures_of(call)).total


def cost_of_call(call: CallRecord) -> int | None:
    """Return what a call has cost in nano-USD, None if it has no price."""
    figures = figures_of(call)
    return None if figures.cost_basis == "unpriced" else figures.cost_nano_usd


def booked(call: CallRecord) -> Iterator[tuple[CounterKey, int]]:
    """Yield every counter of a closed call with the amount it was booked with there."""
    amounts = amounts_of(call)
    for hold in holds_of(call):
        yield hold.key, amounts[hold.metric] or 0
