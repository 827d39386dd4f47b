"""SIGKILL again and again: a life of one run ends after a few commits, or a few milliseconds."""

import random
import signal
from collections import Counter
from pathlib import Path
from typing import Final

import doomed
import forked
from crash_team import engine_runs, write_team
from invariants import Observed, check_end, check_state, done_tasks
from witnessed import acknowledged

SESSION: Final = "doomed"
TASKS_PER_PHASE: Final = 8
COMMITS_MAX: Final = 5
"""Most commits of a life that ends at the boundary of one; an attempt takes two."""
LIFE_SECONDS_MAX: Final = 0.06
"""Longest life that ends at any other moment, its start included."""
KILLS_MAX: Final = 40
"""Of one run: killed too soon, most lives only take up what the one before has left."""
ATTEMPTS_MAX: Final = 100
"""Every crash counts as an attempt, and no task is to be given up for that."""


def one_round(directory: Path, seed: int) -> Counter[str]:
    """Kill the lives of one run, check what each left behind, and let the last one end."""
    chance = random.Random(seed)  # noqa: S311 - not for secrets
    team = write_team(directory, TASKS_PER_PHASE, ATTEMPTS_MAX)
    state, witness = directory / "state", directory / "events.log"
    observed = Observed(attempts_max=ATTEMPTS_MAX)
    done: frozenset[str] = frozenset()
    places = str(team), str(state), str(directory / "output")
    kills = 0
    while kills < KILLS_MAX and not _lived(chance, *places, str(witness)):
        kills += 1
        observed.acknowledged = acknowledged(witness)
        observed.runs = engine_runs(directory)
        check_state(state, SESSION, observed)
        done |= done_tasks(state, SESSION)
    if kills == KILLS_MAX and forked.run(doomed.main, *places, "never", "0", str(witness)) != 0:
        raise RuntimeError("the run that nobody killed did not end well")
    observed.acknowledged = acknowledged(witness)
    observed.runs = engine_runs(directory)
    check_end(state, SESSION, observed, done)
    return Counter(kills=kills, runs=1)


def _lived(chance: random.Random, team: str, state: str, output: str, witness: str) -> bool:
    """Let the run live until its end or a random one; True if it was its own."""
    places = team, state, output
    if chance.random() < 0.75:
        when, number = chance.choice(("before", "after")), chance.randint(1, COMMITS_MAX)
        code = forked.run(doomed.main, *places, when, str(number), witness)
    else:
        process = forked.start(doomed.main, *places, "never", "0", witness)
        process.join(chance.random() * LIFE_SECONDS_MAX)
        process.kill()
        code = forked.finish(process)
    if code not in (0, -signal.SIGKILL):
        raise RuntimeError(f"the run ended with exit code {code}")
    return code == 0
