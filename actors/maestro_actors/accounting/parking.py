"""Who waits for room in a budget, and who may ask next: the first that the room is enough for.

Waking everybody at every change would cost as many events as there are waiters, each time. So a
waiter is woken when there is room for it, and that room is kept for it until it has asked, or until
it has had the time to: it may have met a breaker, wait for a slot, or be gone.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from maestro_actors.ledger.counter import Counter
from maestro_storage.bookings import CounterKey


class Place(NamedTuple):
    """What a waiter waits for."""

    key: CounterKey
    amount: int
    """Room it needs in the counter, in units of its metric."""
    denied: bool
    """It waits for the limit to be raised. Else only for what others hold; if the counter can
    never have the room, it has to ask, to be told so."""
    turn_ms: int = 0
    """The least is next: when it came, its priority taken off. It keeps it when it asks again."""


@dataclass(slots=True)
class _Queue:
    """Waiters of one counter, with bounds that spare looking at each of them at every change."""

    places: OrderedDict[str, Place] = field(default_factory=OrderedDict)
    least: int = 0
    """None of them needs less."""
    most: int = 0
    """None of them that is not denied needs more."""

    in_order: bool = True

    def add(self, address: str, place: Place) -> None:
        if self.places:
            first, last = next(iter(self.places.values())), next(reversed(self.places.values()))
            self.places[address] = place
            if place.turn_ms < first.turn_ms:
                self.places.move_to_end(address, last=False)
            elif place.turn_ms < last.turn_ms:
                self.in_order = False
            self.least = min(self.least, place.amount)
        else:
            self.places[address] = place
            self.least = place.amount
        self.most = max(self.most, 0 if place.denied else place.amount)

    def sort(self) -> None:
        """Bring waiters into the order of their turns; most often they are."""
        if not self.in_order:
            turns = sorted(self.places.items(), key=lambda item: item[1].turn_ms)
            self.places, self.in_order = OrderedDict(turns), True


class ParkingLot:
    """Waiters by the counter they wait for, in their turns. Plain state, one thread."""

    def __init__(self, is_alive: Callable[[str], bool]) -> None:
        """Make an empty one; `is_alive` says whether somebody lives at an address."""
        self._is_alive = is_alive
        self._queues: dict[CounterKey, _Queue] = {}
        self._places: dict[str, Place] = {}
        self._woken: dict[str, Place] = {}
        """Waiters that have been woken and have not asked yet."""

    def __len__(self) -> int:
        return len(self._places)

    def keys(self) -> list[CounterKey]:
        """Return the counters that somebody waits for."""
        return list(self._queues)

    def park(self, address: str, place: Place) -> None:
        """Let somebody wait."""
        self._queues.setdefault(place.key, _Queue()).add(address, place)
        self._places[address] = place

    def leave(self, address: str) -> Place | None:
        """Forget a waiter that asks, or will not; return its place if it had been woken."""
        place = self._places.pop(address, None)
        if place is not None:
            self._remove(address, place.key)
        return self._woken.pop(address, None)

    def wake(self, counter: Counter) -> Iterator[str]:
        """Yield those that may ask now, in their turns; they no longer wait."""
        queue = self._queues.get(counter.key)
        if queue is None:
            return
        left = counter.limit - counter.spent
        room = left - counter.held - self._kept(counter.key)
        queue.sort()
        for address, place in tuple(queue.places.items()):
            if room < queue.least and queue.most <= left:
                break
            fits = place.amount <= room
            if not fits and (place.denied or place.amount <= left):
                continue
            del self._places[address]
            self._remove(address, counter.key)
            if self._is_alive(address):
                if fits:
                    room -= place.amount
                    self._woken[address] = place
                yield address

    def dismiss(self, counts_nobody: Callable[[CounterKey], bool]) -> Iterator[str]:
        """Yield who waits for counters that count nobody any more; they no longer wait."""
        for key in [key for key in self._queues if counts_nobody(key)]:
            for address in self._queues.pop(key).places:
                del self._places[address]
                if self._is_alive(address):
                    yield address

    def lapse(self) -> None:
        """Keep room no longer for those that were woken and have not asked."""
        self._woken.clear()

    @property
    def keeps_room(self) -> bool:
        """Whether room is kept for somebody that others wait for."""
        return any(place.key in self._queues for place in self._woken.values())

    def _kept(self, key: CounterKey) -> int:
        return sum(place.amount for place in self._woken.values() if place.key == key)

    def _remove(self, address: str, key: CounterKey) -> None:
        queue = self._queues[key]
        del queue.places[address]
        if not queue.places:
            del self._queues[key]
