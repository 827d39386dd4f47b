"""Token accounting for programs that make their calls themselves: see `maestro_runtime`."""

from maestro_actors.errors import TokenBudgetExceeded
from maestro_runtime import TokenTracker, TrackedUsage

__all__ = ["TokenBudgetExceeded", "TokenTracker", "TrackedUsage"]
