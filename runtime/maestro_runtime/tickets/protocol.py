"""What a ticket sink is: the seam between the help desk and whoever reads tickets."""

from typing import Protocol, runtime_checkable

from maestro_actors.help.alert import AlertPosting
from maestro_actors.help.posting import Posting


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


@runtime_checkable
class AlertSink(Protocol):
    """Delivers the alerts of budgets, as a `TicketSink` its tickets. One sink may be both."""

    name: str
    secrets: tuple[str, ...]

    def post_alert(self, posting: AlertPosting) -> str:
        """Deliver one alert and return what a person finds it by, in one line.

        Make one try, within bounded time. One that is `doubtful` may have been delivered before,
        and must not be told twice.

        Raises:
            TicketNotDelivered: It was not delivered, or nobody knows whether it was. Every other
                exception counts as the latter.
        """
