"""How much began within the last 60 seconds: exact at every instant, whatever the clock's pace."""

from collections import deque
from dataclasses import dataclass
from typing import Final

MINUTE_MS: Final = 60_000


@dataclass(slots=True)
class Entry:
    """What began at one instant."""

    at_ms: int
    amount: int
    counted: bool = True
    """It is not older than a minute."""


class Minute:
    """A sliding minute with a limit. Plain state, one thread; instants never go back."""

    def __init__(self, limit: int) -> None:
        """Make an empty one that lets `limit` begin in any 60 seconds."""
        self.limit = limit
        self.kept = 0
        """Room that is kept for somebody."""
        self._used = 0
        self._entries: deque[Entry] = deque()

    def has_room(self, amount: int, now_ms: int) -> bool:
        """Whether `amount` may begin now. More than the limit may, if there is nothing else."""
        entries = self._entries
        while entries and entries[0].at_ms <= now_ms - MINUTE_MS:
            entry = entries.popleft()
            entry.counted = False
            self._used -= entry.amount
        return self._used + self.kept + min(amount, self.limit) <= self.limit

    def room_at_ms(self, amount: int) -> int | None:
        """Return when `amount` may begin if nothing else does; None: when kept room is returned."""
        over = self._used + self.kept + min(amount, self.limit) - self.limit
        for entry in self._entries:
            over -= entry.amount
            if over <= 0:
                return entry.at_ms + MINUTE_MS
        return None

    def add(self, amount: int, now_ms: int) -> Entry:
        """Note that `amount` begins now; one that takes its time can be corrected later."""
        self._used += amount
        if self._entries and self._entries[-1].at_ms >= now_ms:
            self._entries[-1].amount += amount
        else:
            self._entries.append(Entry(now_ms, amount))
        return self._entries[-1]

    def correct(self, entry: Entry, difference: int) -> None:
        """Note that it was more, or less, than was thought when it began."""
        entry.amount += difference
        if entry.counted:
            self._used += difference
