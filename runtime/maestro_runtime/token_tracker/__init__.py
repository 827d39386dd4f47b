"""Token accounting for programs that make their calls themselves, without a session."""

from maestro_runtime.token_tracker._tracker import TRACKER_SESSION, TokenTracker, TrackedUsage

__all__ = ["TRACKER_SESSION", "TokenTracker", "TrackedUsage"]
