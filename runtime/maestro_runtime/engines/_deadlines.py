"""Time limits of calls: one timer of the loop for all of them."""

import asyncio
from collections.abc import Callable, Hashable


class Deadlines:
    """Instants at which something is to be called, unless it is dropped before.

    Nearly all are dropped, and a timer of the loop for each would cost more than the rest of an
    idle call. Belongs to one event loop.
    """

    def __init__(self) -> None:
        self._ends: dict[Hashable, tuple[float, Callable[[], None]]] = {}
        """By key: the instant on the loop's clock, and what to call."""
        self._alarm: asyncio.TimerHandle | None = None

    def set(self, key: Hashable, delay_seconds: float, ring: Callable[[], None]) -> None:
        """Call `ring` after so many seconds; a deadline with this key is replaced."""
        loop = asyncio.get_running_loop()
        end = loop.time() + delay_seconds
        self._ends[key] = end, ring
        if self._alarm is None or end < self._alarm.when():
            self._set_alarm(loop, end)

    def drop(self, key: Hashable) -> None:
        """Forget a deadline; nothing happens if there is none with this key."""
        self._ends.pop(key, None)

    def _set_alarm(self, loop: asyncio.AbstractEventLoop, end: float) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = loop.call_at(end, self._ring)

    def _ring(self) -> None:
        """Call what is due, and wake up again for the first of the others."""
        alarm, self._alarm = self._alarm, None
        # The loop may be early by the resolution of its clock.
        now = alarm.when() if alarm is not None else 0.0
        due = [key for key, (end, _) in self._ends.items() if end <= now]
        for ring in [self._ends.pop(key)[1] for key in due]:
            ring()
        if self._ends:
            first = min(end for end, _ in self._ends.values())
            # What has rung may have set a later one.
            if self._alarm is None or first < self._alarm.when():
                self._set_alarm(asyncio.get_running_loop(), first)
