"""What is on record beside the sessions: circuit breakers, values of programs, orders."""

from typing import ClassVar, Literal

from maestro_storage.records._record import Record, key_of

BreakerState = Literal["closed", "open", "half_open"]


class BreakerRecord(Record, frozen=True, kw_only=True):
    """The circuit breaker of one engine; shared by all sessions."""

    DATABASE: ClassVar[str] = "breakers"

    engine: str
    state: BreakerState
    failures: int = 0
    """Consecutive failures that speak against the engine."""
    opened_count: int = 0
    """Times in a row it has opened without a success in between."""
    retry_at_ms: int | None = None
    """When an open breaker lets one probe through."""
    epoch: int = 0
    opened_total: int = 0
    """Times it has opened since there are records of it."""
    failed_total: int = 0
    """Calls that failed by the engine's fault, whatever the state was; exact."""
    refused_total: int = 0
    """Calls refused before this record was written: with the wait of each, or, while a probe is
    out, when that has ended."""
    changed_by: str = ""
    """Who opened or closed it by hand; empty once a call has changed it."""

    @property
    def key(self) -> bytes:
        """By engine."""
        return key_of(self.engine)


class ValueRecord(Record, frozen=True, kw_only=True):
    """A value that a program keeps under a name; it belongs to no session."""

    DATABASE: ClassVar[str] = "values"

    name: str
    value: bytes
    """JSON, in UTF-8."""
    updated_ms: int
    epoch: int = 0

    @property
    def key(self) -> bytes:
        """By name."""
        return key_of(self.name)


class RequestRecord(Record, frozen=True, kw_only=True):
    """An order that has been carried out, so that it is not when it comes again."""

    DATABASE: ClassVar[str] = "requests"

    request_id: bytes
    """16 bytes; the first 6 are the wall clock in milliseconds when it was drawn."""
    kind: str
    reply: bytes
    """The answer, encoded; empty if there is nothing to say."""
    at_ms: int
    epoch: int = 0

    @property
    def key(self) -> bytes:
        """By id, and so by age."""
        return key_of(self.request_id)
