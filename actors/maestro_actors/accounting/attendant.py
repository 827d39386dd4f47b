"""Who tells calls that they have to wait for a budget, and when they may ask again."""

from collections.abc import Callable, Iterable
from typing import Final

from maestro_actors.accounting.parking import ParkingLot, Place
from maestro_actors.accounting.throttle import PRIORITY_POINT_MS, ROOM_KEPT_MS
from maestro_actors.identity import ACCOUNTANT_ADDRESS
from maestro_actors.ledger.counter import Counter
from maestro_actors.messages import BudgetFreed, BudgetLapsed, CallParked, OpenCall
from maestro_actors.ports import Ports
from maestro_actors.proxy import encoded
from maestro_storage.bookings import CounterKey

_FREED: Final = BudgetFreed()
_LAPSED: Final = encoded(BudgetLapsed())


class Attendant:
    """Parks calls and wakes them; belongs to the token accountant, as the parking lot does."""

    def __init__(
        self, ports: Ports, parked: ParkingLot, standing: Callable[[CounterKey], Counter]
    ) -> None:
        """Look after a parking lot; `standing` says where a counter stands."""
        self._ports = ports
        self._parked = parked
        self._standing = standing
        self._lapsing = False
        """A `BudgetLapsed` is on its way."""

    def park(
        self, order: OpenCall, place: Place, retry_at_ms: int | None, woken: Place | None
    ) -> None:
        """Let a call wait, in the turn of the place it was woken from, if it was."""
        turn_ms = order.at_ms - order.priority * PRIORITY_POINT_MS
        turn_ms = turn_ms if woken is None else woken.turn_ms
        self._parked.park(order.reply_to, place._replace(turn_ms=turn_ms))
        parked = CallParked(call_id=order.call_id, retry_at_ms=retry_at_ms)
        self._ports.system.deliver(order.reply_to, parked)

    def wake(self, keys: Iterable[CounterKey]) -> None:
        """Let the calls ask again that these counters have room for."""
        if not self._parked:
            return
        for key in keys:
            for address in self._parked.wake(self._standing(key)):
                self._ports.system.deliver(address, _FREED)
        if self._parked.keeps_room and not self._lapsing:
            self._lapsing = True
            self._ports.system.timers.at(
                ACCOUNTANT_ADDRESS,
                self._ports.now_ms() + ROOM_KEPT_MS,
                ACCOUNTANT_ADDRESS,
                _LAPSED,
            )

    def lapse(self) -> None:
        """Give the room of those that have had the time to ask to the next."""
        self._lapsing = False
        self._parked.lapse()
        self.wake(self._parked.keys())

    def dismiss(self, counts_nobody: Callable[[CounterKey], bool]) -> None:
        """Let all ask again that wait for counters which count no more."""
        for address in self._parked.dismiss(counts_nobody):
            self._ports.system.deliver(address, _FREED)
