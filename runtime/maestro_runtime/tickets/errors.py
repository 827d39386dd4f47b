"""Errors of the ticket sinks."""


class TicketNotDelivered(Exception):
    """A sink could not deliver a posting; it is tried again later."""

    def __init__(self, sink: str, reason: str, *, doubtful: bool) -> None:
        # The fields are the args, so the error survives pickling.
        super().__init__(sink, reason, doubtful)
        self.sink = sink
        self.reason = reason
        self.doubtful = doubtful
        """It may have arrived all the same."""

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuilt, self.args)

    def __str__(self) -> str:
        certainty = "may not have been delivered" if self.doubtful else "was not delivered"
        return f"ticket {certainty} by sink {self.sink!r}: {self.reason}"


def _rebuilt(sink: str, reason: str, doubtful: bool) -> TicketNotDelivered:
    return TicketNotDelivered(sink, reason, doubtful=doubtful)
