"""Who waits for room in a budget: nobody is forgotten, and nobody is woken in vain."""

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from maestro_actors.accounting.parking import ParkingLot, Place
from maestro_actors.ledger.counter import Counter
from maestro_storage.bookings import CounterKey

KEY = CounterKey("", "daily", "day/total", "", 0)
AMOUNTS = st.sampled_from([10, 30, 70])


class ParkingMachine(RuleBasedStateMachine):
    """One counter, and callers that ask, are woken, ask again, or never come back."""

    def __init__(self) -> None:
        super().__init__()
        self.counter = Counter(KEY, limit=100)
        self.dead: set[str] = set()
        self.lot = ParkingLot(lambda address: address not in self.dead)
        self.amounts: dict[str, int] = {}
        self.waiting: list[str] = []
        """In their turns."""
        self.turns: dict[str, int] = {}
        self.woken: list[str] = []
        self.open: list[str] = []
        self.number = 0

    def ask(self, address: str, turn_ms: int) -> None:
        """What the ledger answers: grant, wait, or deny."""
        amount = self.amounts[address]
        left = self.counter.limit - self.counter.spent
        if amount <= left - self.counter.held:
            self.counter.held += amount
            self.open.append(address)
        elif amount <= left:
            self.lot.park(address, Place(KEY, amount, denied=False, turn_ms=turn_ms))
            self.turns[address] = turn_ms
            self.waiting.append(address)
            # Of the same turn, whoever came first to wait is first.
            self.waiting.sort(key=lambda name: self.turns[name])

    def wake(self) -> None:
        left = self.counter.limit - self.counter.spent
        for address in self.lot.wake(self.counter):
            assert address not in self.dead
            # Whoever is older and still waits is in need of more; but one that can never have
            # what it needs is woken to be told so.
            older = self.waiting[: self.waiting.index(address)]
            assert self.amounts[address] > left or all(
                self.amounts[name] > self.amounts[address]
                for name in older
                if name not in self.dead
            )
            self.waiting.remove(address)
            self.woken.append(address)

    @rule(amount=AMOUNTS, priority=st.sampled_from([0, 0, 1, 3]))
    def come(self, amount: int, priority: int) -> None:
        self.number += 1
        address = f"a{self.number}"
        self.amounts[address] = amount
        self.ask(address, self.number - 2 * priority)

    @precondition(lambda self: self.woken)
    @rule(data=st.data(), comes=st.booleans())
    def return_(self, data: Any, *, comes: bool) -> None:
        """A woken caller asks again, or says that it cannot."""
        address = data.draw(st.sampled_from(self.woken))
        self.woken.remove(address)
        place = self.lot.leave(address)
        if comes:
            self.ask(address, self.number if place is None else place.turn_ms)
        if place is not None:
            self.wake()

    @precondition(lambda self: self.open)
    @rule(data=st.data(), share=st.integers(0, 3))
    def settle(self, data: Any, share: int) -> None:
        address = data.draw(st.sampled_from(self.open))
        self.open.remove(address)
        self.counter.held -= self.amounts[address]
        self.counter.spent += self.amounts[address] * share // 2
        self.wake()

    @rule(amount=AMOUNTS)
    def top_up(self, amount: int) -> None:
        self.counter.limit += amount
        self.wake()

    @rule()
    def lapse(self) -> None:
        self.lot.lapse()
        self.wake()

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def die(self, data: Any) -> None:
        self.dead.add(data.draw(st.sampled_from(self.waiting)))

    @invariant()
    def nobody_sleeps_for_whom_there_is_room(self) -> None:
        kept = sum(
            place.amount
            for address in self.woken
            if (place := self.lot._woken.get(address)) is not None
        )
        left = self.counter.limit - self.counter.spent
        for address in self.waiting:
            if address not in self.dead:
                amount = self.amounts[address]
                assert left - self.counter.held - kept < amount <= left

    @invariant()
    def whoever_sleeps_will_be_woken_by_somebody(self) -> None:
        if any(address not in self.dead for address in self.waiting):
            assert self.open or self.lot.keeps_room


TestParking = ParkingMachine.TestCase
TestParking.settings = settings(max_examples=100, stateful_step_count=40)


def test_a_call_that_was_denied_is_woken_only_when_the_limit_has_room_for_it() -> None:
    lot = ParkingLot(lambda _address: True)
    counter = Counter(KEY, limit=100, spent=90)
    lot.park("a", Place(KEY, 30, denied=True))

    assert list(lot.wake(counter)) == []
    counter.top_up(20)

    assert list(lot.wake(counter)) == ["a"]


@pytest.mark.parametrize(
    "turns", [(0, 10, 20, -10), (0, 20, 10), (0, 30, 20, 10, -10)], ids=["first", "between", "both"]
)
def test_calls_are_woken_in_their_turns_whenever_they_came(turns: tuple[int, ...]) -> None:
    lot = ParkingLot(lambda _address: True)
    for turn_ms in turns:
        lot.park(f"a{turn_ms}", Place(KEY, 20, denied=False, turn_ms=turn_ms))

    woken = [*lot.wake(Counter(KEY, limit=40)), *lot.wake(Counter(KEY, limit=1_000))]

    assert woken == [f"a{turn_ms}" for turn_ms in sorted(turns)]
