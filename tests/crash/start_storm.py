"""A start storm: eight processes start on one state at the same instant; one at a time owns it."""

import fcntl
import random
import sys
from collections import Counter
from pathlib import Path
from typing import Final

import forked
import witnessed
from crash_team import engine_runs, write_team
from invariants import Observed, check_end
from maestro_runtime.testing import end_of
from maestro_storage import Store
from maestro_storage.errors import StateOwned

PROCESSES: Final = 8
REFUSED: Final = 4


def one_round(directory: Path, seed: int) -> Counter[str]:
    """Let the processes off, kill some, start a last one; count owners and refusals."""
    chance = random.Random(seed)  # noqa: S311 - not for secrets
    team = write_team(directory, tasks_per_phase=1)
    state, gate = directory / "state", directory / "gate"
    places = str(team), str(state), str(directory / "output"), str(directory / "events.log")
    with gate.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        started = [forked.start(start_at_once, str(gate), *places) for _ in range(PROCESSES)]
        fcntl.flock(file, fcntl.LOCK_UN)
    for process in chance.sample(started, seed % 3):
        process.kill()
    codes = Counter(end_of(process) for process in started)
    assert set(codes) <= {0, REFUSED, -9}, codes
    assert forked.run(witnessed.main, *places) == 0
    check_end(state, Observed(runs=engine_runs(directory)), frozenset())
    with Store.inspect(state) as store:
        # Who was killed may have been an owner already.
        assert codes[0] + 1 <= store.epoch <= codes[0] + 1 + codes[-9]
    return Counter(owners=codes[0], refusals=codes[REFUSED], kills=codes[-9])


def start_at_once(gate: str, *places: str) -> None:
    """Wait for the gate, then run, or find the state owned."""
    with Path(gate).open() as file:
        fcntl.flock(file, fcntl.LOCK_SH)
    try:
        witnessed.main(*places)
    except StateOwned:
        sys.exit(REFUSED)
