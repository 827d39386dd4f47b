"""Limits on calls, over all sessions: how many at a time, and how much in a minute.

Pure values. A number that is None limits nothing.
"""

import msgspec

from maestro_actors.errors import LimitInvalid


class EngineLimits(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the calls of one engine may take together.

    Raises:
        LimitInvalid: A number is below 1.
    """

    concurrency: int | None = None
    """Calls in flight at the same time."""
    requests_per_minute: int | None = None
    """Calls that begin within any 60 seconds."""
    tokens_per_minute: int | None = None
    """Tokens of the calls that begin within any 60 seconds: reserved ones, until what was used is
    known. A call that needs more than this waits until there were none for a minute."""

    def __post_init__(self) -> None:
        """Refuse what would let nothing through."""
        for name in self.__struct_fields__:
            require_positive(name, getattr(self, name))


class CallLimits(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the calls of all sessions may take together.

    Raises:
        LimitInvalid: A number is below 1.
    """

    attempts: int | None = None
    """Attempts in flight at the same time."""
    engines: dict[str, EngineLimits] = {}
    """By the name of the engine."""
    personas: dict[str, int] = {}
    """Attempts in flight at the same time, by persona id, whatever the session is."""

    def __post_init__(self) -> None:
        """Refuse what would let nothing through."""
        require_positive("attempts", self.attempts)
        for name, concurrency in self.personas.items():
            require_positive(f"concurrency of persona {name!r}", concurrency)


def require_positive(what: str, value: int | None) -> None:
    """Refuse a limit below 1.

    Raises:
        LimitInvalid: It is.
    """
    if value is not None and value < 1:
        raise LimitInvalid(what, "must be at least 1", value)
