"""Rounds of faults against real runs, as many as you like: the long form of the crash tests.

`make crash ROUNDS=200 SEED=1` makes so many rounds of each fault and prints what was done and
checked; with FAULT, of that one. A failure prints where the run stands and what it has left,
and the command that repeats its round. The test-suite makes a few rounds of each.
"""

import argparse
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import bit_rot
import daemon_storm
import kill_storm
import opening_storm
import orphans
import pause
import power_cut
import random_kill
import shortage
import start_storm
import storage_fault
import syscalls
import wall_clock
from status import status
from straced import STRACE

ROUNDS: Final = 50
"""Of each fault, unless it has rounds that can be counted: then all of them."""


@dataclass(frozen=True)
class Fault:
    """A kind of fault: how it is made, and what is checked after it."""

    one_round: Callable[[Path, int], Counter[str]]
    """One round in an empty directory, from a seed; it raises if an invariant is broken."""
    checked: str
    straced: bool = False
    """It cannot be made without strace."""
    every: Callable[[], Iterable[int]] | None = None
    """The seeds of all rounds there are; None if there is no end of them."""


WORLD: Final = (
    "all that was told is kept, the ledger is the bills, one ticket for each failure, breaker, "
    "budgets, limits and history as they must be, no finished task ran again"
)
RECORDS: Final = (
    "all that was told is kept, no call ran twice, budgets, limits and history as they must be, "
    "no finished task ran again"
)

DRIVEN: Final = (
    "every session that was accepted has ended once, each of its tasks was done once, streams of "
    "events have no gap and no repeat, what a program has removed is gone whole, what it used is "
    f"booked; {RECORDS}"
)

FAULTS: Final[dict[str, Fault]] = {
    "kill": Fault(random_kill.one_round, WORLD),
    "kill-storm": Fault(kill_storm.one_round, f"{WORLD}, what was removed is gone whole"),
    "opening-storm": Fault(
        opening_storm.one_round, f"what was accepted is there, each order once; {RECORDS}"
    ),
    "orphans": Fault(orphans.one_round, f"no program outlives its runtime; {RECORDS}"),
    "syscalls": Fault(syscalls.one_round, WORLD, straced=True, every=syscalls.every),
    "power-cut": Fault(power_cut.one_round, RECORDS, straced=True),
    "storage": Fault(storage_fault.one_round, RECORDS, straced=True),
    "bit-rot": Fault(bit_rot.one_round, "damage is found, or of no consequence"),
    "start-storm": Fault(start_storm.one_round, f"one owner at a time; {RECORDS}"),
    "pause": Fault(pause.one_round, f"who stands still stays the owner; {RECORDS}"),
    "wall-clock": Fault(wall_clock.one_round, "no task is stranded, and none runs twice"),
    "daemon": Fault(daemon_storm.one_round, DRIVEN),
    "shortage": Fault(shortage.one_round, RECORDS),
}


def main() -> None:
    """Run a campaign from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, help=f"of each fault; {ROUNDS}, or all there are")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    parser.add_argument("--fault", choices=FAULTS, action="append", help="all, if none is given")
    options = parser.parse_args()
    for name in options.fault or FAULTS:
        fault = FAULTS[name]
        if fault.straced and STRACE is None:
            _say(f"{name}: absent, because strace is not installed")
            continue
        if fault.every is not None and options.rounds is None:
            seeds, which = list(fault.every()), "every one"
        else:
            seeds = [*range(options.seed, options.seed + (options.rounds or ROUNDS))]
            which = f"seed {options.seed}"
        started = time.monotonic()
        counted = repeat(name, seeds)
        done = ", ".join(f"{count} {what}" for what, count in sorted(counted.items()))
        seconds = time.monotonic() - started
        _say(
            f"{name}: {which}, {len(seeds)} rounds, {done}, {seconds:.0f} s; "
            f"checked: {fault.checked}"
        )


def repeat(name: str, seeds: Iterable[int]) -> Counter[str]:
    """Make a round of a fault for each seed; return what was done, added up."""
    counted: Counter[str] = Counter()
    for seed in seeds:
        directory = Path(tempfile.mkdtemp(prefix="maestro-crash-"))
        try:
            counted += FAULTS[name].one_round(directory, seed)
        except BaseException:
            for line in status(directory):
                _say(line)
            _say(f"left as it is: {directory}")
            _say(f"repeat: make crash FAULT={name} ROUNDS=1 SEED={seed}")
            raise
        shutil.rmtree(directory)
    return counted


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - a command line
