"""SIGKILL again and again: a life of one run ends after a few commits, or a few milliseconds.

When it is through, all its sessions are removed (`clearance`).
"""

import random
import signal
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Final

import forked
import mortal
from clearance import Clearance
from committer import COMMITTERS
from dealings import check_all_settled, check_dealings
from family import Family, Member
from invariants import Observed, Task, check_over, check_state, done_tasks
from maestro_runtime.testing import end_of
from maestro_storage import Store
from mortal import Places
from outside import Outside, outside
from person import Verb, random_deeds
from program import billed, random_program

COMMITS_MAX: Final = 8
"""Most commits of a life that ends at the boundary of one; an attempt takes two."""
COMMITS_OF_A_DEED: Final = 4
"""How many more there are, at most, for each thing that a person wants to do in it."""
LIFE_SECONDS_MAX: Final = 0.08
"""Longest life that ends at any other moment, its start included."""
KILLS_MAX: Final = 40
"""Of one run: killed too soon, most lives only take up what the one before has left."""
ATTEMPTS_MAX: Final = 3
ROUNDS_MAX: Final = 40
"""Every crash counts as an attempt, and no task is to be given up for that."""


def one_round(directory: Path, seed: int) -> Counter[str]:
    """Kill the lives of one run, check what each left behind, and let the last one end."""
    with outside(directory, breaks_off=True) as world:
        return Storm(directory, seed, world).rage()


class Storm:
    """One run of a random program, and the kills it goes through."""

    def __init__(self, directory: Path, seed: int, world: Outside) -> None:
        self._chance = random.Random(seed)  # noqa: S311 - not for secrets
        self._program = random_program(
            seed, max_attempts=ATTEMPTS_MAX, max_rounds=ROUNDS_MAX, asks=True
        )
        self._program.write(directory, billed(world.provider.socket))
        self._places = replace(Places.of(directory, world), answers=self._program.answers)
        self._deeds: Counter[Verb] = Counter()
        self._reruns_max = 0
        """Most that there may be once the life has ended which runs now."""
        self._world = world
        self._observed = Observed(attempts_max=ATTEMPTS_MAX, rounds_max=ROUNDS_MAX)
        self._done: frozenset[Task] = frozenset()
        # A provider that cannot tell what it billed leaves calls that are lost.
        world.provider.arm("never", tells=self._chance.random() < 3 / 4)
        # If it cannot, nobody knows what a call has cost that was cut short by hand.
        self._is_gentle = not world.provider.tells

    def rage(self) -> Counter[str]:
        """Kill until the run is through; return what was done."""
        kills = 0
        while kills < KILLS_MAX and not self._lived():
            kills += 1
            self._observe()
            check_state(self._places.state_dir, self._observed)
            self._done |= done_tasks(self._places.state_dir)
        if kills == KILLS_MAX and forked.run(mortal.main, self._places) != 0:
            raise RuntimeError("the run that nobody killed did not end well")
        self._observe()
        sessions = check_over(self._places.state_dir, self._observed, self._done)
        self._program.check_end(sessions)
        check_all_settled(self._places.state_dir, self._world.look())
        members = self._members()
        clearance = Clearance(self._places, self._world, self._chance, self._observed)
        cleared = clearance.rage()
        return cleared + Counter(
            kills=kills,
            runs=1,
            kept=sum(len(member.kept) for member in members),
            forks=len(sessions) - 1,
            tasks=sum(len(states) for states in sessions.values()),
            deeds=self._deeds.total(),
            reruns=self._reruns_at_once(),
            reruns_asked=sum(member.lineage.reruns_asked for member in members),
        )

    def _observe(self) -> None:
        seen = self._world.look()
        check_dealings(self._places.state_dir, seen)
        self._observed.acknowledged = [told.event for told in seen.told if told.event is not None]
        self._observed.runs = seen.runs
        assert self._reruns_at_once() <= self._reruns_max, "nobody has asked for a rerun"

    def _members(self) -> list[Member]:
        if not (self._places.state_dir / "data").exists():
            return []
        with Store.inspect(self._places.state_dir) as store:
            return [*Family(store).members.values()]

    def _reruns_at_once(self) -> int:
        return sum(member.lineage.reruns_at_once for member in self._members())

    def _lived(self) -> bool:
        """Let the run live until its end or a random one; True if it was its own."""
        deeds = random_deeds(self._chance, gentle=self._is_gentle)
        verbs = Counter(deed.verb for deed in deeds)
        self._deeds += verbs
        self._reruns_max = self._reruns_at_once() + verbs["rerun"]
        places = replace(self._places, committer=self._chance.choice(COMMITTERS))
        if self._chance.random() < 3 / 4:
            when = self._chance.choice(("before", "after"))
            number = self._chance.randint(1, COMMITS_MAX + COMMITS_OF_A_DEED * len(deeds))
            code = forked.run(mortal.main, places, when, number, deeds)
        else:
            process = forked.start(mortal.main, places, "never", 0, deeds)
            process.join(self._chance.random() * LIFE_SECONDS_MAX)
            process.kill()
            code = end_of(process)
        if code not in (0, -signal.SIGKILL):
            raise RuntimeError(f"the run ended with exit code {code}")
        return code == 0
