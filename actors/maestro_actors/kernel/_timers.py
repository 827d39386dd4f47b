"""Timers whose deadlines are instants on the wall clock, so that they survive a restart."""

import heapq
import threading
from collections.abc import Callable, Hashable
from functools import partial

from maestro_actors.kernel._clock import Clock


class Timers:
    """Deliver messages at given instants. Any thread.

    Nothing here is durable: whoever stores deadlines sets them anew after a restart of the
    process, and one that has passed meanwhile fires at once.
    """

    def __init__(self, clock: Clock, deliver: Callable[[str, object], None]) -> None:
        self._clock = clock
        self._deliver = deliver
        # Reentrant: a virtual clock rings an alarm that is due while it is being set.
        self._lock = threading.RLock()
        self._heap: list[tuple[int, int, Hashable, Callable[[], object]]] = []
        """(deadline, number, key, what to do); numbers keep equal deadlines in their order."""
        self._numbers: dict[Hashable, int] = {}
        """The live entry of each key; an entry with another number has been replaced."""
        self._number = 0
        self._alarm_ms: int | None = None

    def at(self, key: str, deadline_ms: int, address: str, message: bytes) -> None:
        """Deliver `message` to `address` at `deadline_ms`, never earlier.

        Args:
            key: Names the timer; one that is set with this key is replaced.
            deadline_ms: Wall clock, milliseconds since the epoch.
            address: May be unknown by then; the message becomes a dead letter.
            message: Delivered as it is.
        """
        self.call_at(key, deadline_ms, partial(self._deliver, address, message))

    def call_at(self, key: Hashable, deadline_ms: int, fire: Callable[[], object]) -> None:
        """Call `fire` at `deadline_ms`, never earlier, in the clock's thread; it must not block."""
        with self._lock:
            self._number += 1
            self._numbers[key] = self._number
            heapq.heappush(self._heap, (deadline_ms, self._number, key, fire))
            self._set_alarm()

    def cancel(self, key: Hashable) -> bool:
        """Take a timer away; False if there is none with this key (any more)."""
        with self._lock:
            if self._numbers.pop(key, None) is None:
                return False
            self._set_alarm()
            return True

    def __len__(self) -> int:
        return len(self._numbers)

    def _is_live(self, entry: tuple[int, int, Hashable, Callable[[], object]]) -> bool:
        return self._numbers.get(entry[2]) == entry[1]

    def _set_alarm(self) -> None:
        """Ask the clock, under the lock, to ring for the earliest live entry."""
        if len(self._heap) > 2 * len(self._numbers) + 64:
            # Keys that are set again and again must not make the heap grow.
            self._heap = [entry for entry in self._heap if self._is_live(entry)]
            heapq.heapify(self._heap)
        while self._heap and not self._is_live(self._heap[0]):
            heapq.heappop(self._heap)
        deadline_ms = self._heap[0][0] if self._heap else None
        if deadline_ms != self._alarm_ms:
            self._alarm_ms = deadline_ms
            self._clock.alarm(deadline_ms, self._ring)

    def _ring(self) -> None:
        """Fire what is due, oldest deadline first."""
        due = []
        with self._lock:
            self._alarm_ms = None
            now_ms = self._clock.now_ms()
            while self._heap and self._heap[0][0] <= now_ms:
                entry = heapq.heappop(self._heap)
                if self._is_live(entry):
                    del self._numbers[entry[2]]
                    due.append(entry[3])
            self._set_alarm()
        for fire in due:
            fire()
