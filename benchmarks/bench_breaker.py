"""What does it cost to ask a closed circuit breaker before a call and to tell it after it?

Ours: `Breaker.admits` and `Breaker.report` around a function that does nothing; in a session they
run inside the turns of the breaker's actor, which `attempts` measures. pybreaker:
`CircuitBreaker.call`. purgatory: its synchronous breaker as a context manager. All in memory.
"""

import time
from functools import partial
from typing import Any

from maestro_actors.breaker import Breaker
from maestro_actors.team import BreakerPolicy
from measure import Options, compare
from row import Row, Target


def measure(options: Options) -> list[Row]:
    """Measure microseconds for each call."""
    count = options.count(50_000)
    pybreaker, purgatory = options.peer("pybreaker"), options.peer("purgatory")
    return compare(
        options,
        "breaker check, closed",
        "us",
        {
            "ours": partial(_ours, count),
            "pybreaker": pybreaker and partial(_pybreaker, pybreaker, count),
            "purgatory": purgatory and partial(_purgatory, purgatory, count),
        },
        Target("at most", 1),
    )


def _work() -> None:
    """Do nothing."""


def _ours(count: int) -> float:
    breaker = Breaker("engine", BreakerPolicy())
    call_id = b"0123456789abcdef"
    before = time.perf_counter()
    for _ in range(count):
        # They read the wall clock themselves.
        now_ms = time.time_ns() // 1_000_000
        if breaker.admits(call_id, now_ms):
            _work()
            breaker.report(call_id, now_ms, verdict=True)
    return (time.perf_counter() - before) / count * 1e6


def _pybreaker(pybreaker: Any, count: int) -> float:
    breaker = pybreaker.CircuitBreaker(fail_max=5, reset_timeout=30)
    before = time.perf_counter()
    for _ in range(count):
        breaker.call(_work)
    return (time.perf_counter() - before) / count * 1e6


def _purgatory(purgatory: Any, count: int) -> float:
    factory = purgatory.SyncCircuitBreakerFactory(default_threshold=5, default_ttl=30)
    breaker = factory.get_breaker("engine")
    before = time.perf_counter()
    for _ in range(count):
        with breaker:
            _work()
    return (time.perf_counter() - before) / count * 1e6
