"""Who is told of the end of a call, and when those who hear of it are woken."""

import asyncio
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec
import pytest

from maestro_actors.engine import CallOrder, Outcome, ProcessIdentity
from maestro_actors.kernel import ThreadLane
from maestro_runtime.engines import EngineContext, EngineHost, EngineRegistry, EngineResult
from maestro_runtime.engines.rehearsal import RehearsalEngine


class Together(RehearsalEngine):
    """Ends its calls once there are `count` of them."""

    name = "together"

    def __init__(self, count: int) -> None:
        super().__init__()
        self._barrier = asyncio.Barrier(count)

    async def run(self, order: CallOrder, context: EngineContext) -> EngineResult:
        await self._barrier.wait()
        return EngineResult(message=order.call_id)


async def _started(_process: ProcessIdentity) -> None:
    raise AssertionError


@pytest.fixture
def order(make_order: Callable[..., CallOrder]) -> CallOrder:
    return make_order(persona={"engine": "together"})


def _orders(order: CallOrder, count: int) -> list[CallOrder]:
    return [
        msgspec.structs.replace(order, call_id=f"{number:032x}") for number in range(1, count + 1)
    ]


def test_calls_that_end_together_are_answered_before_the_actors_are_woken(
    order: CallOrder,
) -> None:
    gathered: queue.Queue[list[str]] = queue.Queue()
    answers: list[str] = []

    class Gathering(ThreadLane):
        @contextmanager
        def gathering(self) -> Iterator[None]:
            yield
            gathered.put(list(answers))

    orders = _orders(order, 3)
    host = EngineHost(EngineRegistry([Together(3)]), lane=Gathering("actors"))
    try:
        for each in orders:
            host.submit(each, lambda outcome: answers.append(outcome.message), _started)
        first = gathered.get(timeout=20)
    finally:
        host.close(grace_seconds=1)

    assert sorted(first) == [each.call_id for each in orders]


def test_a_call_that_ends_alone_is_answered_at_once(order: CallOrder) -> None:
    told: queue.Queue[str] = queue.Queue()

    class Followed(Together):
        async def run(self, order: CallOrder, context: EngineContext) -> EngineResult:
            asyncio.get_running_loop().call_soon(told.put, "another pass of the loop")
            return EngineResult()

    host = EngineHost(EngineRegistry([Followed(1)]))
    try:
        host.submit(order, lambda _outcome: told.put("answered"), _started)
        first, second = told.get(timeout=20), told.get(timeout=20)
    finally:
        host.close(grace_seconds=1)

    assert (first, second) == ("answered", "another pass of the loop")


def test_a_call_that_ends_alone_and_cannot_be_answered_is_reported(
    order: CallOrder, caplog: pytest.LogCaptureFixture
) -> None:
    refused = threading.Event()

    def refuse(_outcome: Outcome) -> None:
        refused.set()
        raise ValueError("no such answer")

    host = EngineHost(EngineRegistry([Together(1)]))
    host.submit(order, refuse, _started)
    assert refused.wait(20)
    host.close(grace_seconds=1)

    assert f"call {order.call_id} cannot be answered" in caplog.text


def test_an_answer_that_fails_keeps_no_other_call_from_being_answered(
    order: CallOrder, caplog: pytest.LogCaptureFixture
) -> None:
    answered: queue.Queue[str] = queue.Queue()

    def refuse(_outcome: Outcome) -> None:
        raise ValueError("no such answer")

    first, second = _orders(order, 2)
    host = EngineHost(EngineRegistry([Together(2)]))
    try:
        host.submit(first, refuse, _started)
        host.submit(second, lambda outcome: answered.put(outcome.message), _started)
        answer = answered.get(timeout=20)
    finally:
        host.close(grace_seconds=1)

    assert answer == second.call_id
    assert f"call {first.call_id} cannot be answered" in caplog.text


def test_a_call_that_nobody_has_rung_for_is_answered_at_the_close(order: CallOrder) -> None:
    rung = threading.Event()

    class Busy(ThreadLane):
        def before_rest(self, _act: Callable[[], None], *, slow: bool = False) -> bool:
            """Have no time for it before the host is closed."""
            rung.set()
            return True

    outcomes: queue.Queue[Outcome] = queue.Queue()
    host = EngineHost(EngineRegistry([Together(2)]), lane=Busy("actors"))
    host.submit(order, outcomes.put, _started)

    host.close(grace_seconds=1)

    assert rung.is_set()
    assert outcomes.get(timeout=20).evidence == ("engine host was closed",)
