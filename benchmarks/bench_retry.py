"""What does a retry cost: to decide on it, and to go round once, durably?

Decision: a call fails, and it is decided whether and when it is made again. Ours: `retry.decide`
with its seeded jitter. tenacity: `Retrying` with stop, exponential wait with jitter, and a sleep
that returns at once. stamina: `retry_context` with waits of zero and its hooks off. Each figure is
the time of one failed call, the failing itself included. All in memory.

Round: a task fails at once, is classified, decided, written, its deadline armed, and it runs again.
Beside it: one raw LMDB commit of what the two transitions of such an attempt have written.
"""

import itertools
import time
from functools import partial
from typing import Any

from maestro_actors.tasks import retry
from maestro_actors.team import RetryPolicy
from measure import Options, compare, interleaved, percentile
from noop_session import noop_sessions, team_of
from recording import Put, Recording, replay
from row import Row, Target

ATTEMPTS = 10
"""Of one call in the decision; the policies of all three give up after as many."""


class _Failed(Exception):
    """What the call raises."""


def measure(options: Options) -> list[Row]:
    """Measure the decision in microseconds and the round in milliseconds."""
    calls = options.count(2_000)
    tenacity, stamina = options.peer("tenacity"), options.peer("stamina")
    decision = compare(
        options,
        "retry decision",
        "us",
        {
            "ours": partial(_ours, calls),
            "tenacity": tenacity and partial(_tenacity, tenacity, calls),
            "stamina": stamina and partial(_stamina, stamina, calls),
        },
        Target("at most", 1 / 5),
    )
    return [*decision, _round(options)]


def _fail() -> None:
    raise _Failed


def _ours(calls: int) -> float:
    policy = RetryPolicy(max_attempts=ATTEMPTS, max_rounds=1)
    before = time.perf_counter()
    for seed in range(calls):
        attempt = 0
        decision: retry.Retry | retry.Stop = retry.Retry(1, 0.0)
        while isinstance(decision, retry.Retry):
            attempt += 1
            try:
                _fail()
            except _Failed:
                decision = retry.decide(policy, retry.Place(1, attempt), "transient", seed=seed)
    return (time.perf_counter() - before) / (calls * ATTEMPTS) * 1e6


def _tenacity(tenacity: Any, calls: int) -> float:
    retrying = tenacity.Retrying(
        stop=tenacity.stop_after_attempt(ATTEMPTS),
        wait=tenacity.wait_exponential_jitter(initial=1, max=5),
        sleep=lambda _seconds: None,
        reraise=True,
    )
    before = time.perf_counter()
    for _ in range(calls):
        try:
            retrying(_fail)
        except _Failed:
            continue
    return (time.perf_counter() - before) / (calls * ATTEMPTS) * 1e6


def _stamina(stamina: Any, calls: int) -> float:
    stamina.instrumentation.set_on_retry_hooks([])
    before = time.perf_counter()
    for _ in range(calls):
        try:
            for attempt in stamina.retry_context(
                on=_Failed, attempts=ATTEMPTS, wait_initial=0, wait_max=0, wait_jitter=0
            ):
                with attempt:
                    _fail()
        except _Failed:
            continue
    return (time.perf_counter() - before) / (calls * ATTEMPTS) * 1e6


def _round(options: Options) -> Row:
    count = options.count(1_000, least=3)
    policy = RetryPolicy(max_attempts=count, backoff_seconds=0.0, max_rounds=1)
    recording = Recording()
    merged: list[list[Put]] = []
    with options.scratch() as directory, noop_sessions(directory) as sessions:

        def ours() -> float:
            with recording.listening():
                _, ended_at = sessions.run(team_of(1, 1, "fail", policy), expect="failed")
            merged[:] = recording.attempts(count)
            pauses = [later - earlier for earlier, later in itertools.pairwise(ended_at)]
            return percentile(pauses, 0.5) * 1000

        def bare() -> float:
            with options.scratch() as fresh:
                return percentile(replay(fresh, merged), 0.5) * 1000

        samples = interleaved(options.rounds, {"ours": ours, "bare": bare})
    return Row(
        question="durable retry, fail to fail, p50",
        unit="ms",
        ours=samples["ours"],
        beside="one raw LMDB commit",
        theirs=samples["bare"],
    )
