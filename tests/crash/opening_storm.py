"""SIGKILL while many sessions are started at the same instant, and so share their first commits.

Each life of the runtime is given all orders anew, and dies at the boundary of one of its commits.
"""

import random
import signal
from collections import Counter
from pathlib import Path
from typing import Final

import crowd
import forked
from committer import COMMITTERS
from crash_team import engine_runs, write_team
from invariants import Observed, Task, check_over, check_state, done_tasks
from maestro_storage import Store

COMMITS_MAX: Final = 12
"""Of a life: few of them are needed to start all sessions."""
KILLS_MAX: Final = 5
"""A crash counts as an attempt, and each task has six."""


def one_round(directory: Path, seed: int) -> Counter[str]:
    """Kill lives until one comes to its end; count what was done."""
    chance = random.Random(seed)  # noqa: S311 - not for secrets
    team = str(write_team(directory, tasks_per_phase=1))
    running = chance.choice((None, 2))
    done: frozenset[Task] = frozenset()
    kills = 0
    for _ in range(KILLS_MAX):
        when, number = chance.choice(("before", "after")), chance.randint(1, COMMITS_MAX)
        lives = str(directory), team, chance.choice(COMMITTERS), running
        code = forked.run(crowd.main, *lives, when, number)
        assert code in (0, -signal.SIGKILL), f"the life ended with exit code {code}"
        check_state(directory / "state", _observed(directory))
        _check_told(directory)
        done |= done_tasks(directory / "state")
        if code == 0:
            break
        kills += 1
    assert forked.run(crowd.main, str(directory), team, "disk", running) == 0
    sessions = check_over(directory / "state", _observed(directory), done)
    assert len(sessions) == crowd.SESSIONS, "an order was carried out twice"
    for states in sessions.values():
        assert set(states.values()) == {"done"}
    _check_told(directory)
    return Counter(kills=kills, sessions=len(sessions), accepted=len(crowd.told(directory)) // 2)


def _observed(directory: Path) -> Observed:
    return Observed(runs=engine_runs(directory))


def _check_told(directory: Path) -> None:
    """What was accepted is there, the same for each order, and has ended as it was told."""
    told = crowd.told(directory)
    names = dict.fromkeys((each.place, each.session_id) for each in told)
    assert len(names) == len({each.place for each in told}), f"{names}: one order, two sessions"
    if not told:
        return
    with Store.inspect(directory / "state") as store:
        for each in told:
            record = store.sessions.get(each.session_id)
            assert record is not None, f"{each} is lost"
            assert each.state in ("", record.state), f"{each}, but it is {record.state}"
