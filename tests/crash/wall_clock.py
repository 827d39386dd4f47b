"""A wall clock that jumps, in the middle of a run or between two processes."""

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final

import forked
import witnessed
from crash_team import engine_runs, write_team
from maestro_actors.kernel import _clock
from maestro_storage import Store, verify
from maestro_storage.records import EventRecord

LOOKS_MAX: Final = 20
"""A run looks at the clock more often."""
JUMPS_SECONDS: Final = (-86_400, -3_600, -1, 1, 3_600, 86_400)


class JumpingClock:
    """A wall clock that jumps once it has been looked at often enough."""

    def __init__(self, looks: int, seconds: int) -> None:
        self._left = looks
        self._jump_ns = seconds * 10**9

    def __call__(self) -> int:
        """Return the nanoseconds since the epoch, which only now and then are right."""
        self._left -= 1
        return time.time_ns() + (self._jump_ns if self._left < 0 else 0)

    @property
    def has_jumped(self) -> bool:
        """Whether anybody has seen it jump."""
        return self._left < 0


def one_round(directory: Path, seed: int) -> Counter[str]:
    """Let the clock jump in a run, which must come to its end all the same; count the jumps."""
    chance = random.Random(seed)  # noqa: S311 - not for secrets
    if seed % 2 == 0:
        return set_back_between(directory, chance.choice([3_600, 86_400, 10 * 365 * 86_400]))
    team = write_team(directory, tasks_per_phase=2)
    looks, seconds = chance.randint(1, LOOKS_MAX), chance.choice(JUMPS_SECONDS)
    state = directory / "state"
    places = str(team), str(state), str(directory / "output"), str(directory / "events.log")
    assert forked.run(run_with_jump, str(looks), str(seconds), *places) == 0
    assert verify(state).intact
    with Store.inspect(state) as store:
        assert {task.state for task in store.tasks.scan(witnessed.SESSION)} == {"done"}
        attempts = list(store.attempts.scan(witnessed.SESSION))
    runs = [run.call_id for run in engine_runs(directory)]
    assert sorted(runs) == sorted(attempt.call_id.hex() for attempt in attempts)
    return Counter(jumps=1)


def set_back_between(directory: Path, seconds: int) -> Counter[str]:
    """Have a clock that was ahead put right after a process has died in a back-off.

    Neither the back-off nor the breaker, which that failure has opened, may now last so much
    longer: the next process has half a minute for all of the run.
    """
    team = write_team(directory, tasks_per_phase=2)
    team.write_text(team.read_text().replace("failures_max = 5", "failures_max = 1"))
    state = directory / "state"
    places = str(team), str(state), str(directory / "output"), str(directory / "events.log")
    assert forked.run(die_in_back_off, str(seconds), *places) == -signal.SIGKILL
    with Store.inspect(state) as store:
        # Both lie where nobody would wait for them.
        soon_ms = time.time_ns() // 1_000_000 + seconds * 500
        assert any((task.deadline_ms or 0) > soon_ms for task in store.tasks.scan())
        assert any((breaker.retry_at_ms or 0) > soon_ms for breaker in store.breakers.scan())
    assert forked.run(witnessed.main, *places) == 0
    assert verify(state).intact
    with Store.inspect(state) as store:
        assert {task.state for task in store.tasks.scan(witnessed.SESSION)} == {"done"}
        attempts = {attempt.call_id.hex() for attempt in store.attempts.scan(witnessed.SESSION)}
    runs = [run.call_id for run in engine_runs(directory)]
    assert len(runs) == len(set(runs))
    assert attempts.issuperset(runs)
    return Counter(jumps=1)


def die_in_back_off(seconds: str, *places: str) -> None:
    """Run with a clock that is ahead, and die once the first attempt that fails is on record."""
    vars(_clock)["_wall_ns"] = JumpingClock(0, int(seconds))
    acknowledger = witnessed.acknowledger

    def fatal(witness: str) -> Callable[[EventRecord], None]:
        acknowledge = acknowledger(witness)

        def hear(event: EventRecord) -> None:
            acknowledge(event)
            if event.kind == "attempt_failed":
                os.kill(os.getpid(), signal.SIGKILL)

        return hear

    vars(witnessed)["acknowledger"] = fatal
    witnessed.main(*places)


def run_with_jump(looks: str, seconds: str, *places: str) -> None:
    """Run with a clock that jumps."""
    clock = vars(_clock)["_wall_ns"] = JumpingClock(int(looks), int(seconds))
    witnessed.main(*places)
    assert clock.has_jumped
