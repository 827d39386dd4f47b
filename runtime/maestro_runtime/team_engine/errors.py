"""Errors of a context that comes as JSON."""

from maestro_runtime.errors import RuntimeFault


class ContextUnreadable(RuntimeFault, ValueError):
    """What was to be a context is none."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"context must be JSON of a team execution context: {self.reason}"


class ContextTooNew(RuntimeFault):
    """A newer version wrote the context; it is refused, never guessed."""

    def __init__(self, found: int, known: int) -> None:
        super().__init__(found, known)
        self.found = found
        self.known = known

    def __str__(self) -> str:
        return f"schema version of a context must be at most {self.known}, got {self.found}"
