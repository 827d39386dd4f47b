"""Durable, actor-based execution of teams of AI personas.

Importing this package opens nothing and loads nothing; the names below are loaded when used.
"""

from typing import TYPE_CHECKING, Any

from maestro_runtime._version import __version__

if TYPE_CHECKING:
    from maestro_runtime.runtime import (
        Runtime,
        RuntimeOptions,
        Session,
        SessionOrder,
        open_runtime,
    )
    from maestro_runtime.token_tracker import TokenTracker, TrackedUsage

__all__ = [
    "Runtime",
    "RuntimeOptions",
    "Session",
    "SessionOrder",
    "TokenTracker",
    "TrackedUsage",
    "__version__",
    "open_runtime",
]


def __getattr__(name: str) -> Any:
    """Load a public name at its first use: the command line must start without the runtime."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from maestro_runtime import runtime, token_tracker  # noqa: PLC0415 - the point of this function

    return getattr(token_tracker if hasattr(token_tracker, name) else runtime, name)
