"""Supervision: what becomes of an actor whose handler raised."""

import math

import msgspec

BACKOFF_MAX_SECONDS = 30.0


class Restart(msgspec.Struct, frozen=True, kw_only=True):
    """Put a fresh instance in the place of one that failed, but not for ever.

    Address, ref, mailbox and constructor arguments stay; state is gone, and `on_start` of the
    fresh instance has to load it. The message that failed becomes a dead letter, the messages
    behind it are handled by the fresh instance. A failure beyond `max_restarts` stops the actor.
    Those who watch it are told in any case.
    """

    max_restarts: int = 3
    """Most restarts within any `within_seconds`; 0 stops at the first failure."""
    within_seconds: float = 60.0
    backoff_seconds: float = 0.0
    """Pause before the first restart, doubled for each further one, 30 s at most. Messages wait
    meanwhile."""
    unless: tuple[type[Exception], ...] = ()
    """What a fresh instance would not mend: it stops the actor at once, and is escalated."""
    escalates: bool = False
    """Whether a failure beyond `max_restarts` is escalated, too."""

    def __post_init__(self) -> None:
        if self.max_restarts < 0:
            raise ValueError(f"max_restarts must not be negative, got {self.max_restarts}")
        if not (self.within_seconds > 0 and math.isfinite(self.within_seconds)):
            raise ValueError(f"within_seconds must be positive, got {self.within_seconds}")
        if not (self.backoff_seconds >= 0 and math.isfinite(self.backoff_seconds)):
            raise ValueError(f"backoff_seconds must not be negative, got {self.backoff_seconds}")

    def pause_seconds(self, restarts: list[float], now: float) -> float | None:
        """Decide on one more failure.

        Args:
            restarts: When the actor was restarted, oldest first; those that no longer count are
                removed, and this one is added.
            now: The same monotonic clock, in seconds.

        Returns:
            Seconds to wait before the restart, or None if there have been enough.
        """
        restarts[:] = [at for at in restarts if now - at <= self.within_seconds]
        if len(restarts) >= self.max_restarts:
            return None
        pause = min(self.backoff_seconds * 2.0 ** len(restarts), BACKOFF_MAX_SECONDS)
        restarts.append(now)
        return pause
