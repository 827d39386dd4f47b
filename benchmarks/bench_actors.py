"""What do tell, ask, a call through a proxy, and the life of an actor cost, beside Pykka's threads?

Ours: a `LaneActor` on an `AsyncLane`, which is where the runtime's own actors live, and on a
`ThreadLane`. Beside it: the same actor as a `ThreadingActor`. All are used from the main thread: a
burst of tells and one ask that waits for them; asks and proxy calls one after the other; actors
that are started, asked once and stopped, one after the other.

Counted by processor time of all threads, so that others on the machine count less; on a machine
with nothing else to do it is the time that passes. Two limits are Python's and not ours: a deque
with a lock around each end and one call for each message is five times as fast as
`ThreadingActor`, and two threads that wake each other by two locks take half the time of its ask.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pykka

from maestro_actors.kernel import AsyncLane, Lane, LaneActor, ThreadLane
from measure import Options, compare
from row import Row, Target

TELLS = Target("at least", 5)
AS_FAST = Target("at least", 1)


class _Counting:
    """Counts what it is told."""

    count = 0

    def on_receive(self, message: object) -> int:
        """Count; answer how many there were."""
        del message
        self.count += 1
        return self.count

    def counted(self) -> int:
        """Return how many there were."""
        return self.count


class _Threading(_Counting, pykka.ThreadingActor):
    """On a thread of its own."""


class _Laned(_Counting, LaneActor):
    """On a lane."""


def measure(options: Options) -> list[Row]:
    """Measure operations in a second of processor time, on both lanes."""
    rows: list[Row] = []
    for name, kind in (("async lane", AsyncLane), ("thread lane", ThreadLane)):
        with _on(kind(f"bench-{kind.__name__}")) as laned:
            for what, run, full, target in (
                ("tell", _tell, 50_000, TELLS),
                ("ask", _ask, 5_000, AS_FAST),
                ("proxy call", _call, 2_000, AS_FAST),
                ("start, ask, stop", _live, 1_000, AS_FAST),
            ):
                count = options.count(full)
                rows += compare(
                    options,
                    f"{what}, {name}",
                    "1/CPU s",
                    {
                        "ours": partial(run, laned, count),
                        "ThreadingActor": partial(run, _Threading, count),
                    },
                    target,
                )
    return rows


@contextmanager
def _on(lane: Lane) -> Iterator[type[LaneActor]]:
    """Lend a class whose actors run on `lane`."""
    try:
        yield type("_OnLane", (_Laned,), {"lane": lane})
    finally:
        lane.close()


def _rate_of(count: int, run: Callable[[], object]) -> float:
    """Run something that does `count` steps; return steps in a second of processor time."""
    before = time.process_time()
    run()
    return count / (time.process_time() - before)


def _tell(actor_class: type[Any], count: int) -> float:
    ref = actor_class.start()

    def burst() -> None:
        for _ in range(count):
            ref.tell(1)
        ref.ask(1)

    rate = _rate_of(count, burst)
    ref.stop()
    return rate


def _ask(actor_class: type[Any], count: int) -> float:
    ref = actor_class.start()
    rate = _rate_of(count, lambda: [ref.ask(1) for _ in range(count)])
    ref.stop()
    return rate


def _call(actor_class: type[Any], count: int) -> float:
    ref = actor_class.start()
    proxy = ref.proxy()
    rate = _rate_of(count, lambda: [proxy.counted().get() for _ in range(count)])
    ref.stop()
    return rate


def _live(actor_class: type[Any], count: int) -> float:
    def lives() -> None:
        for _ in range(count):
            ref = actor_class.start()
            ref.ask(1)
            ref.stop()

    return _rate_of(count, lives)
