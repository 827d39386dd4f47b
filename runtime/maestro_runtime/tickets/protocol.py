"""What a ticket sink is: the seam between the help desk and whoever reads tickets."""

from typing import Protocol

from maestro_actors.ticket import Posting


class TicketSink(Protocol):
    """Delivers tickets. Called on a thread of its own, one posting at a time; it may block.

    Attributes:
        name: For messages.
        secrets: Values that are cut out of every text that comes from the sink.
    """

    name: str
    secrets: tuple[str, ...]

    def post(self, posting: Posting) -> str:
        """Deliver one posting and return what a person finds it by, in one line.

        Make one try, within bounded time. The same posting may come again: if it is `doubtful`, it
        may have been delivered before, and must not become a second ticket.

        Raises:
            TicketNotDelivered: It was not delivered, or nobody knows whether it was. Every other
                exception counts as the latter.
        """
