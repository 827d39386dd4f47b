import asyncio
from functools import partial

from maestro_runtime.engines._deadlines import Deadlines

BOUND_SECONDS = 10.0


def test_deadlines_ring_in_their_order_however_they_were_set() -> None:
    async def rung() -> list[str]:
        deadlines, heard, last = Deadlines(), list[str](), asyncio.Event()
        deadlines.set("late", 0.03, last.set)
        deadlines.set("early", 0.01, partial(heard.append, "early"))
        deadlines.set("between", 0.02, partial(heard.append, "between"))
        await asyncio.wait_for(last.wait(), BOUND_SECONDS)
        return heard

    assert asyncio.run(rung()) == ["early", "between"]


def test_a_deadline_that_is_dropped_or_replaced_does_not_ring() -> None:
    async def rung() -> list[str]:
        deadlines, heard, last = Deadlines(), list[str](), asyncio.Event()
        deadlines.set("dropped", 0.01, partial(heard.append, "dropped"))
        deadlines.set("replaced", 0.01, partial(heard.append, "replaced"))
        deadlines.set("replaced", 0.02, partial(heard.append, "instead"))
        deadlines.drop("dropped")
        deadlines.drop("unknown")
        deadlines.set("last", 0.03, last.set)
        await asyncio.wait_for(last.wait(), BOUND_SECONDS)
        return heard

    assert asyncio.run(rung()) == ["instead"]


def test_whoever_is_rung_may_set_the_next_deadline() -> None:
    async def rung() -> int:
        deadlines, last = Deadlines(), asyncio.Event()
        count = 0

        def again() -> None:
            nonlocal count
            count += 1
            deadlines.set("again", 0.0, again if count < 3 else last.set)

        deadlines.set("first", 0.0, again)
        deadlines.set("other", BOUND_SECONDS, last.set)
        await asyncio.wait_for(last.wait(), BOUND_SECONDS / 2)
        return count

    assert asyncio.run(rung()) == 3


def test_a_late_deadline_that_is_set_by_one_that_rings_hides_no_earlier_one() -> None:
    async def rung() -> list[str]:
        deadlines, heard, last = Deadlines(), list[str](), asyncio.Event()
        deadlines.set("first", 0.01, partial(deadlines.set, "late", BOUND_SECONDS, last.set))
        deadlines.set("second", 0.02, partial(heard.append, "second"))
        deadlines.set("third", 0.03, last.set)
        await asyncio.wait_for(last.wait(), BOUND_SECONDS / 2)
        return heard

    assert asyncio.run(rung()) == ["second"]
