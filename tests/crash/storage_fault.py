"""Storage that fails: one system call on the data file fails, or kills, once or from then on."""

import random
from collections import Counter
from pathlib import Path
from typing import Final

import msgspec

import forked
import straced
import witnessed
from crash_team import engine_runs, write_team
from invariants import Observed, check_end, check_state
from maestro_runtime.cli._event_line import EventLine
from maestro_storage import Store
from maestro_storage.errors import NotFound

CALLS_MAX: Final = {"fdatasync": 16, "pwrite64": 40, "writev": 24}
"""About as many as a run makes of each."""
EFFECTS: Final = ("error=EIO", "error=ENOSPC", "signal=KILL")
CODES: Final = frozenset({0, 1, -9})
"""Not reached, or survived; stopped with an error; killed."""


def one_round(directory: Path, seed: int) -> Counter[str]:
    """Let one call fail, then run to the end without a fault; count what came of it."""
    chance = random.Random(seed)  # noqa: S311 - not for secrets
    team = write_team(directory, tasks_per_phase=2)
    state = directory / "state"
    if chance.random() < 3 / 4:
        # Else the fault may hit the creation of the state.
        Store.open(state).close()
    call = chance.choice(list(CALLS_MAX))
    number = chance.randint(1, CALLS_MAX[call])
    fault = f"{call}:{chance.choice(EFFECTS)}:when={number}{chance.choice(('', '+'))}"
    files = [state / name / "data.mdb" for name in ("data", "data.new")]
    paths = [part for file in files for part in ("-P", str(file))]
    failed = straced.run(
        [*paths, "-e", f"trace={call}", "-e", f"inject={fault}", "-o", "/dev/null"], team, directory
    )
    assert failed.returncode in CODES, f"{fault}: exit code {failed.returncode}: {failed.stderr}"
    observed = Observed(_acknowledged(directory), engine_runs(directory))
    try:
        check_state(state, observed)
    except NotFound:
        assert observed == Observed(), f"{fault}: something left a run without a state"
    places = str(team), str(state), str(directory / "output"), str(directory / "events.log")
    assert forked.run(witnessed.main, *places) == 0
    observed = Observed(_acknowledged(directory), engine_runs(directory))
    check_end(state, observed, frozenset())
    ends = {0: "runs that a fault did not stop", 1: "runs stopped by an error", -9: "runs killed"}
    return Counter({ends[failed.returncode]: 1})


def _acknowledged(directory: Path) -> list[EventLine]:
    log = directory / "events.log"
    lines = log.read_bytes().splitlines() if log.exists() else []
    return [msgspec.json.decode(line, type=EventLine) for line in lines]
