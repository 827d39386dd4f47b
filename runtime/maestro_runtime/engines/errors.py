"""How a call fails. Each error says, as data, what kind of failure it is and whose fault.

An engine, or a callable of the `python` engine, raises one of these to choose how the attempt is
judged. Of all other exceptions a missing permission is permanent and an exceeded token budget a
limit; the rest counts as transient. None of them speaks against the engine.
"""

from typing import ClassVar

from maestro_actors.engine import FailureClass, Usage


class EngineError(Exception):
    """Root of the failures of a call.

    Args:
        detail: What was observed; becomes evidence and feedback of the next attempt.
        usage: Tokens the call used all the same; None if what was booked so far is all.
        retry_after_seconds: The least pause the other side asked for; None if it did not.
    """

    failure: ClassVar[FailureClass] = "transient"
    engine_fault: ClassVar[bool] = False
    """True: the failure speaks against the engine, and its circuit breaker counts it."""
    what: ClassVar[str] = "call failed"

    def __init__(
        self,
        detail: str,
        usage: Usage | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(detail, usage, retry_after_seconds)
        self.detail = detail
        self.usage = usage
        self.retry_after_seconds = retry_after_seconds

    def __str__(self) -> str:
        return f"{self.what}: {self.detail}"


class Transient(EngineError):
    """The engine failed in a way that may pass by itself."""

    engine_fault = True
    what = "engine failed"


class RateLimited(EngineError):
    """The engine is well, but wants a pause."""

    failure = "rate_limited"
    what = "engine is rate limited"


class MalformedOutput(EngineError):
    """The engine answered, but not in the form that was asked for."""

    failure = "malformed_output"
    what = "output is malformed"


class Refused(EngineError):
    """The engine declined the work."""

    failure = "refused"
    what = "engine refused"


class Permanent(EngineError):
    """The call cannot succeed, however often it is tried."""

    failure = "permanent"
    what = "call cannot succeed"


class EngineUnavailable(EngineError):
    """The engine is not installed, not reachable or not allowed to run."""

    failure = "permanent"
    engine_fault = True
    what = "engine is unavailable"


class EngineTimeout(EngineError):
    """The call was stopped at its wall-clock limit."""

    engine_fault = True
    what = "call timed out"


class EngineCrashed(EngineError):
    """The engine's process died."""

    engine_fault = True
    what = "engine crashed"


class UnknownEngine(LookupError):
    """No engine of that name is built in or installed."""

    def __init__(self, name: str, known: tuple[str, ...]) -> None:
        super().__init__(name, known)
        self.name = name
        self.known = known

    def __str__(self) -> str:
        return f"unknown engine: must be one of {', '.join(self.known)}, got {self.name!r}"


class CallInFlight(ValueError):
    """The call is being served already; a call id is used once."""

    def __init__(self, call_id: str) -> None:
        super().__init__(call_id)
        self.call_id = call_id

    def __str__(self) -> str:
        return f"call is in flight already: call id must be used once, got {self.call_id!r}"


class HostClosed(RuntimeError):
    """The engine host is not running."""

    def __init__(self) -> None:
        super().__init__()

    def __str__(self) -> str:
        return "engine host is not running"
