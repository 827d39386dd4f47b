"""Where time enters: a clock that tells it and can ring."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    import asyncio

    from maestro_actors.kernel._async_lane import AsyncLane

ALARM_SECONDS_MAX: Final = 60.0
"""The system clock looks at the wall clock at least this often while an alarm is set, so that a
jump of the wall clock is noticed."""

Ring = Callable[[], None]

_wall_ns: Final = time.time_ns
_steady_ns: Final = time.monotonic_ns


class Clock(Protocol):
    """Tells the time and rings. Any thread may call it."""

    def now_ms(self) -> int:
        """Return the wall clock, in milliseconds since the epoch. It may jump, but never back."""

    def monotonic(self) -> float:
        """Return seconds that never go back, from an arbitrary zero."""

    def alarm(self, deadline_ms: int | None, ring: Ring) -> None:
        """Call `ring` once, at `deadline_ms` on the wall clock or earlier.

        There is one alarm for each `ring`: setting it anew replaces it, None takes it away.
        """


class SystemClock:
    """The real time. Rings on the loop of `lane`, which starts with the first alarm.

    When the wall clock is set back, this one goes on from where it was: a deadline is an instant,
    and a wait would last as much longer. The next process follows the wall clock again.
    """

    def __init__(self, lane: AsyncLane) -> None:
        self._lane = lane
        self._ahead_ns = _wall_ns() - _steady_ns()
        """The most that the wall clock has been ahead of the one that is never set."""
        self._handles: dict[Ring, asyncio.TimerHandle] = {}
        """Only touched on the loop."""

    def now_ms(self) -> int:
        """See `Clock.now_ms`."""
        # In this order: a pause between the two looks must not put this clock before the other.
        wall_ns = _wall_ns()
        steady_ns = _steady_ns()
        # Threads may race here; whoever loses only makes the next look find the jump again.
        self._ahead_ns = max(self._ahead_ns, wall_ns - steady_ns)
        return (steady_ns + self._ahead_ns) // 1_000_000

    def monotonic(self) -> float:
        """See `Clock.monotonic`."""
        return time.monotonic()

    def alarm(self, deadline_ms: int | None, ring: Ring) -> None:
        """See `Clock.alarm`.

        Raises:
            LaneClosed: The lane's loop has ended.
        """
        self._lane.call_soon(self._set, deadline_ms, ring)

    def _set(self, deadline_ms: int | None, ring: Ring) -> None:
        handle = self._handles.pop(ring, None)
        if handle is not None:
            handle.cancel()
        if deadline_ms is not None:
            seconds = min((deadline_ms - self.now_ms()) / 1000, ALARM_SECONDS_MAX)
            self._handles[ring] = self._lane.loop.call_later(seconds, self._ring, ring)

    def _ring(self, ring: Ring) -> None:
        del self._handles[ring]
        ring()


class VirtualClock:
    """A clock that only moves when told to, for tests.

    `advance` rings each alarm on the way at its own instant, earliest first, in the calling
    thread, and so also those that were only set by others on the way.
    """

    def __init__(self, now_ms: int = 0) -> None:
        self._lock = threading.Lock()
        self._start_ms = now_ms
        self._now_ms = now_ms
        self._alarms: dict[Ring, int] = {}

    def now_ms(self) -> int:
        """See `Clock.now_ms`."""
        return self._now_ms

    def monotonic(self) -> float:
        """Return the seconds it was advanced so far."""
        return (self._now_ms - self._start_ms) / 1000

    def alarm(self, deadline_ms: int | None, ring: Ring) -> None:
        """See `Clock.alarm`; a deadline that has passed rings before this returns."""
        with self._lock:
            self._alarms.pop(ring, None)
            late = deadline_ms is not None and deadline_ms <= self._now_ms
            if deadline_ms is not None and not late:
                self._alarms[ring] = deadline_ms
        if late:
            ring()

    def advance(self, seconds: float) -> None:
        """Move on by `seconds`, to the millisecond, ringing on the way."""
        if seconds < 0:
            raise ValueError(f"time does not run backwards, got {seconds}")
        target_ms = self._now_ms + round(seconds * 1000)
        while self._ring_next(target_ms):
            pass
        with self._lock:
            self._now_ms = max(self._now_ms, target_ms)

    def advance_to_next(self, until_ms: int | None = None) -> bool:
        """Move on to the next alarm and ring it; False, and no move, if none is set.

        One that is set for later than `until_ms` does not count.
        """
        return self._ring_next(until_ms)

    def _ring_next(self, until_ms: int | None) -> bool:
        """Ring the earliest alarm up to `until_ms`; False if there is none."""
        with self._lock:
            if not self._alarms:
                return False
            ring, deadline_ms = min(self._alarms.items(), key=lambda alarm: alarm[1])
            if until_ms is not None and deadline_ms > until_ms:
                return False
            del self._alarms[ring]
            self._now_ms = max(self._now_ms, deadline_ms)
        ring()
        return True
