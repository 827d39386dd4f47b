"""What has come over the socket, in numbers."""

from collections import Counter
from typing import Final


class Traffic:
    """Counts for all connections of a gate. Changed on their loop, read anywhere: a glance."""

    def __init__(self) -> None:
        self.connections = 0
        """Clients that are there now."""
        self.connections_total = 0
        self.requests = 0
        """Taken or refused."""
        self.refusals: Final[Counter[str]] = Counter()
        """Requests and connections that were answered by an error, by its class."""

    def connected(self) -> None:
        """Count a client that has come."""
        self.connections += 1
        self.connections_total += 1

    def gone(self) -> None:
        """Count a client that has gone."""
        self.connections -= 1

    def refused(self, error: BaseException) -> None:
        """Count an error that is told to a client."""
        self.refusals[type(error).__name__] += 1
