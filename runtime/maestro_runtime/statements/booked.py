"""What a call is booked with, in each counter that counts it."""

from collections.abc import Iterator

from maestro_actors.engine import Usage
from maestro_actors.ledger.amounts import used
from maestro_actors.ledger.rows import holds_of
from maestro_storage.bookings import CounterKey
from maestro_storage.records import CallRecord


def cost_of_call(call: CallRecord) -> int | None:
    """Return what a call has cost in nano-USD, None if it has no price."""
    return None if call.cost_basis == "unpriced" else call.cost_nano_usd


def booked(call: CallRecord) -> Iterator[tuple[CounterKey, int]]:
    """Yield every counter of a closed call with the amount it was booked with there."""
    usage = Usage(
        input_tokens=call.input_tokens,
        output_tokens=call.output_tokens,
        cache_read_tokens=call.cache_read_tokens,
        requests=call.requests,
    )
    amounts = used(usage, cost_of_call(call))
    for hold in holds_of(call):
        # Nobody knows which of its tokens a lost call would have been: all of them, in each.
        amount = hold.amount if call.state == "lost" else amounts[hold.metric] or 0
        yield hold.key, amount
