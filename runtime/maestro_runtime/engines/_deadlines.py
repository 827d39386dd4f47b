"""Time limits of calls: one timer of the loop for all of them."""

import asyncio
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class Deadlines(Generic[K]):
    """Instants at which somebody is to be rung, unless he is dropped before.

    Nearly all are dropped, and a timer of the loop for each would cost more than the rest of an
    idle call. Belongs to one event loop.
    """

    def __init__(self, ring: Callable[[K], None]) -> None:
        """Make a set of deadlines; `ring` is called with the key of each that has come."""
        self._ring = ring
        self._ends: dict[K, float] = {}
        """By key: the instant on the loop's clock."""
        self._alarm: asyncio.TimerHandle | None = None

    def set(self, key: K, delay_seconds: float) -> None:
        """Ring after so many seconds; a deadline with this key is replaced."""
        loop = asyncio.get_running_loop()
        end = self._ends[key] = loop.time() + delay_seconds
        if self._alarm is None or end < self._alarm.when():
            self._set_alarm(loop, end)

    def drop(self, key: K) -> None:
        """Forget a deadline; nothing happens if there is none with this key."""
        self._ends.pop(key, None)

    def _set_alarm(self, loop: asyncio.AbstractEventLoop, end: float) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = loop.call_at(end, self._look)

    def _look(self) -> None:
        """Ring for what is due, and wake up again for the first of the others."""
        alarm, self._alarm = self._alarm, None
        # The loop may be early by the resolution of its clock.
        now = alarm.when() if alarm is not None else 0.0
        due = [key for key, end in self._ends.items() if end <= now]
        for key in due:
            del self._ends[key]
        for key in due:
            self._ring(key)
        if self._ends:
            first = min(self._ends.values())
            # Who was rung may have set a later one.
            if self._alarm is None or first < self._alarm.when():
                self._set_alarm(asyncio.get_running_loop(), first)
