"""Lanes that are closed after the test, whatever happens, and systems on them."""

from collections.abc import Iterator
from queue import SimpleQueue

import pytest

from maestro_actors.kernel import ActorSystem, AsyncLane, Lane, ThreadLane, VirtualClock

Escalations = SimpleQueue[tuple[str, BaseException]]


@pytest.fixture
def thread_lane() -> Iterator[ThreadLane]:
    lane = ThreadLane("hot")
    yield lane
    lane.close()


@pytest.fixture
def async_lane() -> Iterator[AsyncLane]:
    lane = AsyncLane("io")
    yield lane
    lane.close()


@pytest.fixture(params=["thread_lane", "async_lane"])
def lane(request: pytest.FixtureRequest) -> Lane:
    """Each test that asks for it runs on both kinds of lane."""
    lane: Lane = request.getfixturevalue(request.param)
    return lane


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(now_ms=1_000_000)


@pytest.fixture
def escalations() -> Escalations:
    return SimpleQueue()


@pytest.fixture
def system(lane: Lane, clock: VirtualClock, escalations: Escalations) -> Iterator[ActorSystem]:
    system = ActorSystem(
        lane, clock, on_escalation=lambda address, error: escalations.put((address, error))
    )
    yield system
    system.stop_all(timeout_seconds=10)
