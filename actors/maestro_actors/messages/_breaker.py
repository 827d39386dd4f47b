"""Messages of a circuit breaker."""

import msgspec

from maestro_actors.messages._accountant import AppendDraft, CloseCall, OpenCall
from maestro_actors.messages._message import Message, Request
from maestro_actors.team import BreakerPolicy
from maestro_storage.records import BreakerState


class BreakerStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The circuit breaker of one engine."""

    engine: str
    state: BreakerState
    failures: int
    """Consecutive failures of the engine."""
    retry_at_ms: int | None
    """When an open breaker lets a probe through, on the wall clock."""
    opened_total: int = 0
    """Times it has opened, in all."""
    failed_total: int = 0
    """Calls that failed by the engine's fault, in all."""
    refused_total: int = 0
    """Calls that were refused, in all."""


class ReturnProbe(Message, frozen=True, kw_only=True):
    """A call that was let through as the probe will not happen."""

    call_id: bytes


class TripBreaker(Message, frozen=True, kw_only=True):
    """Open the breaker by hand."""

    by: str = ""


class ResetBreaker(Message, frozen=True, kw_only=True):
    """Close the breaker by hand and forget its failures."""

    by: str = ""


class GovernBreaker(Message, frozen=True, kw_only=True):
    """Follow another policy: a session that gives one has been started."""

    policy: BreakerPolicy


class BreakerChanged(Message, frozen=True, kw_only=True):
    """A change of the breaker's state is durable; also what listeners are told."""

    name: str
    """See `Persona.breaker`."""
    state: BreakerState
    failures: int
    """Consecutive failures of the engine."""
    retry_at_ms: int | None
    """When an open breaker lets its probe through, on the wall clock; None if it is closed."""
    at_ms: int
    by: str = ""
    """Who changed it by hand; empty if a call did."""


class GetBreaker(Request[BreakerStatus], frozen=True, kw_only=True):
    """Ask for the state of the breaker; answered by `BreakerStatus`."""


BreakerMessage = (
    OpenCall
    | CloseCall
    | ReturnProbe
    | AppendDraft
    | TripBreaker
    | ResetBreaker
    | GovernBreaker
    | BreakerChanged
    | GetBreaker
)
