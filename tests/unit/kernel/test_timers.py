import threading
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_actors.kernel import AsyncLane, LaneClosed, SystemClock, Timers, VirtualClock, _clock

START_MS = 1_000_000


class Deliveries:
    """Stands in for a system: writes down what arrives, and when."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.got: list[tuple[int, str, object]] = []

    def deliver(self, address: str, message: object) -> None:
        self.got.append((self.clock.now_ms() - START_MS, address, message))


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(START_MS)


@pytest.fixture
def deliveries(clock: VirtualClock) -> Deliveries:
    return Deliveries(clock)


@pytest.fixture
def timers(clock: VirtualClock, deliveries: Deliveries) -> Timers:
    return Timers(clock, deliveries.deliver)


def test_timer_fires_at_its_deadline_and_never_earlier(
    timers: Timers, clock: VirtualClock, deliveries: Deliveries
) -> None:
    timers.at("t", START_MS + 5000, "a", b"now")

    clock.advance(4.999)
    before = list(deliveries.got)
    clock.advance(0.001)

    assert before == []
    assert deliveries.got == [(5000, "a", b"now")]
    assert len(timers) == 0


def test_timers_fire_in_the_order_of_their_deadlines_then_of_their_setting(
    timers: Timers, clock: VirtualClock, deliveries: Deliveries
) -> None:
    timers.at("late", START_MS + 300, "a", b"late")
    timers.at("first", START_MS + 200, "a", b"first")
    timers.at("second", START_MS + 200, "a", b"second")
    timers.at("early", START_MS + 100, "a", b"early")

    clock.advance(1)

    assert deliveries.got == [
        (100, "a", b"early"),
        (200, "a", b"first"),
        (200, "a", b"second"),
        (300, "a", b"late"),
    ]


@pytest.mark.parametrize("later_ms", [100, 300])
def test_same_key_replaces(
    timers: Timers, clock: VirtualClock, deliveries: Deliveries, later_ms: int
) -> None:
    timers.at("t", START_MS + 200, "a", b"old")
    timers.at("t", START_MS + later_ms, "b", b"new")

    clock.advance(1)

    assert deliveries.got == [(later_ms, "b", b"new")]


def test_cancelled_timer_does_not_fire(
    timers: Timers, clock: VirtualClock, deliveries: Deliveries
) -> None:
    timers.at("t", START_MS + 200, "a", b"no")
    timers.at("u", START_MS + 300, "a", b"yes")

    assert timers.cancel("t")
    assert not timers.cancel("t")
    clock.advance(1)

    assert deliveries.got == [(300, "a", b"yes")]


@pytest.mark.parametrize("deadline_ms", [0, START_MS - 1, START_MS])
def test_deadline_in_the_past_fires_at_once(
    timers: Timers, deliveries: Deliveries, deadline_ms: int
) -> None:
    timers.at("t", deadline_ms, "a", b"overdue")

    assert deliveries.got == [(0, "a", b"overdue")]
    assert len(timers) == 0


def test_delivery_may_set_the_next_timer(clock: VirtualClock) -> None:
    fired_ms: list[int] = []

    def again(address: str, message: object) -> None:
        fired_ms.append(clock.now_ms() - START_MS)
        if len(fired_ms) < 3:
            own.at("t", clock.now_ms() + 100, address, b"again")

    own = Timers(clock, again)
    own.at("t", START_MS + 100, "a", b"first")

    clock.advance(1)

    assert fired_ms == [100, 200, 300]


def test_advance_to_next_stops_at_each_deadline(
    timers: Timers, clock: VirtualClock, deliveries: Deliveries
) -> None:
    timers.at("t", START_MS + 200, "a", b"one")
    timers.at("u", START_MS + 500, "a", b"two")
    timers.at("v", START_MS + 100, "a", b"never")
    timers.cancel("v")

    steps = [clock.advance_to_next() for _ in range(3)]

    assert steps == [True, True, False]
    assert deliveries.got == [(200, "a", b"one"), (500, "a", b"two")]
    assert clock.now_ms() == START_MS + 500


def test_key_that_is_set_again_and_again_does_not_make_the_heap_grow(timers: Timers) -> None:
    timers.at("earliest", START_MS + 1, "a", b"")
    for number in range(10_000):
        timers.at("t", START_MS + 1000 + number, "a", b"")

    assert len(timers) == 2
    assert len(timers._heap) < 100


@given(
    st.lists(
        st.tuples(
            st.sampled_from("abcde"), st.one_of(st.none(), st.integers(min_value=-5, max_value=50))
        ),
        max_size=40,
    )
)
def test_every_live_timer_fires_once_at_its_deadline(
    orders: list[tuple[str, int | None]],
) -> None:
    clock = VirtualClock(START_MS)
    deliveries = Deliveries(clock)
    timers = Timers(clock, deliveries.deliver)
    expected: dict[str, int] = {}
    at_once = 0
    for key, delay_ms in orders:
        if delay_ms is None:
            timers.cancel(key)
            expected.pop(key, None)
            continue
        timers.at(key, START_MS + delay_ms, key, b"")
        expected.pop(key, None)
        if delay_ms > 0:
            expected[key] = delay_ms
        else:
            at_once += 1

    clock.advance(1)

    late = sorted((at_ms, address) for at_ms, address, _ in deliveries.got[at_once:])
    assert late == sorted((delay_ms, key) for key, delay_ms in expected.items())


def test_virtual_clock_starts_where_told_and_does_not_run_backwards() -> None:
    clock = VirtualClock(5)
    clock.advance(1.5)

    assert (clock.now_ms(), clock.monotonic()) == (1505, 1.5)
    with pytest.raises(ValueError, match="time does not run backwards, got -1"):
        clock.advance(-1)


def test_virtual_clock_loses_no_timer_that_is_set_while_it_advances() -> None:
    clock = VirtualClock()
    deliveries = Deliveries(clock)
    timers = Timers(clock, deliveries.deliver)

    def advance() -> None:
        for _ in range(500):
            clock.advance(0.001)

    mover = threading.Thread(target=advance)
    mover.start()
    for number in range(500):
        timers.at(str(number), number, "a", b"")
    mover.join(20)
    clock.advance(1)

    assert len(deliveries.got) == 500


def test_system_clock_tells_wall_clock_and_monotonic_time(async_lane: AsyncLane) -> None:
    clock = SystemClock(async_lane)

    assert abs(clock.now_ms() - time.time() * 1000) < 5000
    assert abs(clock.monotonic() - time.monotonic()) < 5


def _timers_on(lane: AsyncLane) -> tuple[Timers, Callable[[], tuple[str, object]]]:
    arrived = threading.Event()
    got: list[tuple[str, object]] = []

    def deliver(address: str, message: object) -> None:
        got.append((address, message))
        arrived.set()

    def wait() -> tuple[str, object]:
        assert arrived.wait(20)
        return got[0]

    return Timers(SystemClock(lane), deliver), wait


@pytest.mark.parametrize("delay_ms", [-1000, 0, 20])
def test_system_clock_rings_on_the_loop(async_lane: AsyncLane, delay_ms: int) -> None:
    timers, wait = _timers_on(async_lane)
    far, near = time.time_ns() // 1_000_000 + 100_000, time.time_ns() // 1_000_000 + delay_ms

    timers.at("far", far, "a", b"far")
    timers.at("near", near, "a", b"near")

    assert wait() == ("a", b"near")
    assert time.time_ns() // 1_000_000 >= near
    assert len(timers) == 1


def test_system_clock_notices_a_jump_of_the_wall_clock(
    async_lane: AsyncLane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_clock, "ALARM_SECONDS_MAX", 0.01)
    looked, jumped = threading.Event(), threading.Event()
    real = SystemClock.now_ms

    def jumping(self: SystemClock) -> int:
        now_ms = real(self) + (3_600_000 if jumped.is_set() else 0)
        looked.set()
        return now_ms

    monkeypatch.setattr(SystemClock, "now_ms", jumping)
    timers, wait = _timers_on(async_lane)
    timers.at("t", time.time_ns() // 1_000_000 + 1_800_000, "a", b"in half an hour")
    assert looked.wait(20)

    jumped.set()

    assert wait() == ("a", b"in half an hour")


def test_advance_to_next_leaves_later_alarms_alone() -> None:
    clock, rung = VirtualClock(1_000), []
    clock.alarm(2_000, lambda: rung.append(clock.now_ms()))

    assert not clock.advance_to_next(1_999)
    assert (clock.now_ms(), rung) == (1_000, [])
    assert clock.advance_to_next(2_000)
    assert rung == [2_000]


def test_system_clock_goes_on_when_the_wall_clock_is_set_back(
    async_lane: AsyncLane, monkeypatch: pytest.MonkeyPatch
) -> None:
    wall_ms, steady_ms = 5_000_000, 70
    monkeypatch.setattr(_clock, "_wall_ns", lambda: wall_ms * 1_000_000)
    monkeypatch.setattr(_clock, "_steady_ns", lambda: steady_ms * 1_000_000)
    clock = SystemClock(async_lane)
    seen = [clock.now_ms()]

    for wall_step_ms, steady_step_ms in ((100, 100), (-3_600_000, 10), (500, 500), (7_200_000, 0)):
        wall_ms, steady_ms = wall_ms + wall_step_ms, steady_ms + steady_step_ms
        seen.append(clock.now_ms())

    assert seen == [5_000_000, 5_000_100, 5_000_110, 5_000_610, 8_600_600]


def test_system_clock_is_never_before_the_wall_clock(async_lane: AsyncLane) -> None:
    clock = SystemClock(async_lane)

    assert all(clock.now_ms() <= time.time_ns() // 1_000_000 for _ in range(20_000))


def test_alarm_on_a_closed_lane_is_refused(async_lane: AsyncLane) -> None:
    timers, _ = _timers_on(async_lane)
    async_lane.close()

    with pytest.raises(LaneClosed):
        timers.at("t", 0, "a", b"")
