import asyncio
from collections.abc import Callable

from maestro_runtime.engines._deadlines import Deadlines

BOUND_SECONDS = 10.0


class Rung:
    """Who was rung, and the end of the test when that was "last"."""

    def __init__(self, on_ring: Callable[[str], None] = lambda _: None) -> None:
        self.heard: list[str] = []
        self.last = asyncio.Event()
        self._on_ring = on_ring
        self.deadlines = Deadlines[str](self._ring)

    def _ring(self, key: str) -> None:
        self.heard.append(key)
        self._on_ring(key)
        if key == "last":
            self.last.set()

    async def all(self, bound_seconds: float = BOUND_SECONDS) -> list[str]:
        await asyncio.wait_for(self.last.wait(), bound_seconds)
        return self.heard


def test_deadlines_ring_in_their_order_however_they_were_set() -> None:
    async def rung() -> list[str]:
        them = Rung()
        them.deadlines.set("last", 0.03)
        them.deadlines.set("early", 0.01)
        them.deadlines.set("between", 0.02)
        return await them.all()

    assert asyncio.run(rung()) == ["early", "between", "last"]


def test_a_deadline_that_is_dropped_or_replaced_does_not_ring() -> None:
    async def rung() -> list[str]:
        them = Rung()
        them.deadlines.set("dropped", 0.01)
        them.deadlines.set("replaced", 0.01)
        them.deadlines.set("between", 0.015)
        them.deadlines.set("replaced", 0.02)
        them.deadlines.drop("dropped")
        them.deadlines.drop("unknown")
        them.deadlines.set("last", 0.03)
        return await them.all()

    assert asyncio.run(rung()) == ["between", "replaced", "last"]


def test_whoever_is_rung_may_set_the_next_deadline() -> None:
    async def rung() -> list[str]:
        def again(key: str) -> None:
            if key == "again":
                following = "again" if them.heard.count("again") < 3 else "last"
                them.deadlines.set(following, 0.0)

        them = Rung(again)
        them.deadlines.set("again", 0.0)
        them.deadlines.set("other", BOUND_SECONDS)
        return await them.all(BOUND_SECONDS / 2)

    assert asyncio.run(rung()) == ["again", "again", "again", "last"]


def test_a_late_deadline_that_is_set_by_one_that_rings_hides_no_earlier_one() -> None:
    async def rung() -> list[str]:
        def late(key: str) -> None:
            if key == "first":
                them.deadlines.set("late", BOUND_SECONDS)

        them = Rung(late)
        them.deadlines.set("first", 0.01)
        them.deadlines.set("second", 0.02)
        them.deadlines.set("last", 0.03)
        return await them.all(BOUND_SECONDS / 2)

    assert asyncio.run(rung()) == ["first", "second", "last"]
