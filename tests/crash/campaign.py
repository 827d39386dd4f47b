"""Rounds of faults against real runs, as many as you like: the long form of the crash tests.

`make crash ROUNDS=200 SEED=1` makes so many rounds of each fault and prints what was checked; with
FAULT, of that one. A failure prints the command that repeats its round. The test-suite makes a few
rounds of each.
"""

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

import bit_rot
import kill_storm
import pause
import power_cut
import random_kill
import shortage
import start_storm
import storage_fault
import wall_clock
from straced import STRACE

Round = Callable[[Path, int], Counter[str]]
"""One round in an empty directory, from a seed; it raises if an invariant is broken."""

FAULTS: Final[dict[str, Round]] = {
    "kill": random_kill.one_round,
    "kill-storm": kill_storm.one_round,
    "power-cut": power_cut.one_round,
    "storage": storage_fault.one_round,
    "bit-rot": bit_rot.one_round,
    "start-storm": start_storm.one_round,
    "pause": pause.one_round,
    "wall-clock": wall_clock.one_round,
    "shortage": shortage.one_round,
}

STRACED: Final = frozenset({"power-cut", "storage"})


def main() -> None:
    """Run a campaign from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=50, help="of each fault")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    parser.add_argument("--fault", choices=FAULTS, action="append", help="all, if none is given")
    options = parser.parse_args()
    for fault in options.fault or FAULTS:
        if fault in STRACED and STRACE is None:
            _say(f"{fault}: left out, strace is not installed")
            continue
        counted = repeat(fault, options.rounds, options.seed)
        done = ", ".join(f"{count} {what}" for what, count in sorted(counted.items()))
        _say(f"{fault}: seed {options.seed}, {options.rounds} rounds, {done}")
    _say(
        "nothing acknowledged was lost, no call was booked or run twice, no finished task ran "
        "again, no limit was passed"
    )


def repeat(fault: str, rounds: int, seed: int) -> Counter[str]:
    """Make rounds of a fault, each with a seed of its own; return what was done, added up."""
    counted: Counter[str] = Counter()
    for number in range(seed, seed + rounds):
        with tempfile.TemporaryDirectory() as directory:
            try:
                counted += FAULTS[fault](Path(directory), number)
            except BaseException:
                _say(f"repeat: make crash FAULT={fault} ROUNDS=1 SEED={number}")
                raise
    return counted


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - a command line


if __name__ == "__main__":
    main()
