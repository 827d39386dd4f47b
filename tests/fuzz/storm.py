"""Hostile clients against a real daemon, as many as you like: the long form of the fuzz tests.

`make fuzz ROUNDS=5000 SEED=1` lets so many attacks loose on one daemon, beside a thousand idle
connections, while a sane client goes on asking. It prints what was done and how the daemon
answered. The test-suite makes a few hundred.
"""

import argparse
import random
import resource
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from command_line import CommandLine
from daemon_process import DaemonProcess
from hostile import ATTACKS, Finding, Guest, dialled
from maestro_runtime.wire.line import Line
from maestro_runtime.wire.records import LineRows
from procfs import descriptors, forget_peak, peak_bytes

ROUNDS: Final = 5_000
IDLE: Final = 1_000
ATTACKERS: Final = 3
GROWTH_BYTES_MAX: Final = 128 << 20
"""What a daemon may need on top of what it needs in peace, at its worst moment."""
ANSWER_SECONDS_MAX: Final = 5.0
"""Longest wait of the sane client, on a machine that does much else."""
LINES_MAX: Final = 20
"""What a daemon may log of clients that do what they should not: nothing for each of them."""
LARGE_BYTES: Final = 200_000
BOUND_SECONDS: Final = 30.0


class SaneClient:
    """Asks all the time, on a thread of its own, and remembers how long it waited."""

    def __init__(self, path: Path) -> None:
        self.answers = 0
        self.longest_seconds = 0.0
        self._path = path
        self._over = threading.Event()
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            while not self._over.is_set():
                # Each time anew: it must be let in as well.
                with Line(self._path) as line:
                    for _ in range(10):
                        begun = time.monotonic()
                        self.answers += LineRows(line).count("sessions", b"")
                        waited = time.monotonic() - begun
                        self.longest_seconds = max(self.longest_seconds, waited)
        except Exception as error:
            self._failure = error
            raise

    def stop(self) -> None:
        """Hold it against what a daemon owes to the sane."""
        self._over.set()
        self._thread.join()
        if self._failure is not None:
            raise Finding("a sane client was not served") from self._failure
        if self.longest_seconds > ANSWER_SECONDS_MAX:
            raise Finding(f"a sane client waited for {self.longest_seconds:.1f} s")


def storm(directory: Path, seed: int, rounds: int, idle: int = IDLE) -> Counter[str]:
    """Let attacks loose on a daemon in an empty directory; return what became of them."""
    cli = CommandLine(directory)
    # Large rows, so that answers nobody reads weigh something.
    team = cli.team()
    team.write_text(team.read_text().replace("two notes", "two notes " * (LARGE_BYTES // 10)))
    finished = cli("run", team, "--session", "hello")
    if finished.returncode:
        raise RuntimeError(finished.stderr)
    with DaemonProcess(cli) as daemon:
        path = daemon.socket
        with Line(path) as line:
            LineRows(line).count("sessions", b"")
        at_rest = descriptors(daemon.pid)
        forget_peak(daemon.pid)
        before = peak_bytes(daemon.pid)
        sane = SaneClient(path)
        with ExitStack() as crowd:
            for number in range(idle):
                crowd.enter_context(closing(dialled(path, greeted=number % 2 == 0)))
            counted = _attack(path, seed, rounds)
            growth_bytes = peak_bytes(daemon.pid) - before
        sane.stop()
        _wait_for_descriptors(daemon.pid, at_rest, path)
        _require_sound(daemon, growth_bytes)
    counted["answers to the sane"] = sane.answers
    counted["ms the sane waited at most"] = round(sane.longest_seconds * 1000)
    counted["MiB more than in peace"] = growth_bytes >> 20
    return counted


def _require_sound(daemon: DaemonProcess, growth_bytes: int) -> None:
    logged = daemon.log.read_text()
    if not daemon.is_alive:
        raise Finding(f"the daemon has ended: {logged[-2_000:]}")
    if "Traceback" in logged or logged.count("\n") > LINES_MAX:
        raise Finding(f"the daemon has logged much: {logged[-2_000:]}")
    if growth_bytes > GROWTH_BYTES_MAX:
        raise Finding(f"the daemon needed {growth_bytes >> 20} MiB more than in peace")


def _attack(path: Path, seed: int, rounds: int) -> Counter[str]:
    """Let a few attackers work side by side."""

    def work(number: int) -> Counter[str]:
        guest = Guest(path, random.Random(f"{seed}/{number}"))  # noqa: S311 - not for secrets
        counted: Counter[str] = Counter()
        try:
            for _ in range(rounds // ATTACKERS):
                attack = guest.dice.choice(ATTACKS)
                counted[f"{attack.__name__}: {attack(guest)}"] += 1
        finally:
            for line in guest.left_open:
                line.close()
        return counted

    with ThreadPoolExecutor(ATTACKERS) as pool:
        return sum(pool.map(work, range(ATTACKERS)), Counter())


def _wait_for_descriptors(pid: int, count: int, path: Path) -> None:
    """Wait until a daemon has let go of everything; each look is a request that it answers."""
    deadline = time.monotonic() + BOUND_SECONDS
    with Line(path) as line:
        while descriptors(pid) > count + 1:
            LineRows(line).count("sessions", b"")
            if time.monotonic() > deadline:
                raise Finding(f"{descriptors(pid)} descriptors are left open, {count} at rest")


def main() -> None:
    """Make a storm from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    options = parser.parse_args()
    allow_descriptors()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as directory:
        try:
            counted = storm(Path(directory), options.seed, options.rounds)
        except Finding as finding:
            again = f"make fuzz ROUNDS={options.rounds} SEED={options.seed}"
            sys.exit(f"{finding}\nto see it again: {again}")
    for what, count in sorted(counted.items()):
        print(f"{count:8} {what}")  # noqa: T201 - a command line
    seconds = time.monotonic() - started
    print(f"seed {options.seed}, {options.rounds} attacks, {seconds:.0f} s")  # noqa: T201 - as above


def allow_descriptors() -> None:
    """Let this process, and the daemon it starts, have as many open files as they may."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))


if __name__ == "__main__":
    main()
