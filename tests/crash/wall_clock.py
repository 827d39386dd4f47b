"""A wall clock that jumps, forwards or back, in the middle of a run."""

import random
import time
from collections import Counter
from pathlib import Path
from typing import Final

import forked
import witnessed
from crash_team import engine_runs, write_team
from maestro_actors.kernel import _clock
from maestro_storage import Store, verify

LOOKS_MAX: Final = 60
"""About as often as a run looks at the clock."""
JUMPS_SECONDS: Final = (-86_400, -3_600, -1, 1, 3_600, 86_400)


class JumpingTime:
    """The module `time` of a clock that jumps once it has been looked at often enough."""

    def __init__(self, looks: int, seconds: int) -> None:
        self._left = looks
        self._jump_ns = seconds * 10**9
        self.monotonic = time.monotonic
        self.monotonic_ns = time.monotonic_ns

    def time_ns(self) -> int:
        """Return the wall clock, which only now and then is right."""
        self._left -= 1
        return time.time_ns() + (self._jump_ns if self._left < 0 else 0)


def one_round(directory: Path, seed: int) -> Counter[str]:
    """Let the clock jump in a run, which must come to its end all the same; count the jumps."""
    chance = random.Random(seed)  # noqa: S311 - not for secrets
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


def run_with_jump(looks: str, seconds: str, *places: str) -> None:
    """Run with a clock that jumps."""
    vars(_clock)["time"] = JumpingTime(int(looks), int(seconds))
    witnessed.main(*places)
