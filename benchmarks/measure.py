"""How a figure is taken: all contestants in the same rounds, on the same disk, in turns."""

import datetime as dt
import importlib.util
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from maestro_runtime import __version__
from row import Row, Target

T = TypeVar("T")

FULL_ROUNDS: Final = 5
FAST_ROUNDS: Final = 3
FAST_SCALE: Final = 0.1

CHILD_SECONDS_MAX: Final = 900.0
"""A measuring process that takes longer hangs."""


@dataclass(frozen=True, slots=True)
class Options:
    """How much is measured, and where."""

    directory: Path
    """Everything that is written goes below it; not on tmpfs, which knows no fsync."""
    scale: float = 1.0
    """Share of the full size."""
    with_peers: bool = True

    @property
    def rounds(self) -> int:
        """How often each contestant is measured."""
        if self.scale >= 1:
            return FULL_ROUNDS
        return FAST_ROUNDS if self.scale >= FAST_SCALE else 1

    def count(self, full: int, least: int = 1) -> int:
        """Return `full` at this scale, but not below `least`."""
        return max(least, round(full * self.scale))

    def peer(self, module: str) -> Any | None:
        """Import a module of a peer; None if it is not installed or not wanted."""
        if not self.with_peers:
            return None
        try:
            return importlib.import_module(module)
        except ImportError:
            return None

    def has(self, module: str) -> bool:
        """Whether a peer's module is installed, and wanted; it is not imported."""
        return self.with_peers and importlib.util.find_spec(module) is not None

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """Lend a directory on the disk that is measured."""
        with tempfile.TemporaryDirectory(prefix="maestro-bench-", dir=self.directory) as name:
            yield Path(name)


def interleaved(rounds: int, contestants: Mapping[str, Callable[[], T]]) -> dict[str, list[T]]:
    """Run every contestant once in each round and return what each returned, round by round.

    The order turns from round to round, so that none always runs behind the same neighbour. If
    there are several rounds one more comes before them and is not counted: caches, imports.
    """
    names = list(contestants)
    samples: dict[str, list[T]] = {name: [] for name in names}
    warm_ups = 1 if rounds > 1 else 0
    for number in range(rounds + warm_ups):
        shift = number % len(names)
        for name in (*names[shift:], *names[:shift]):
            sample = contestants[name]()
            if number >= warm_ups:
                samples[name].append(sample)
    return samples


def compare(
    options: Options,
    question: str,
    unit: str,
    contestants: Mapping[str, Callable[[], float] | None],
    target: Target | None = None,
) -> list[Row]:
    """Measure us beside our peers; one row for each of them, or one if there are none.

    Args:
        options: How many rounds.
        question: What is measured.
        unit: Of the figures.
        contestants: "ours", and the peers by name; None for one that is absent.
        target: To be reached beside every peer.
    """
    present = {name: run for name, run in contestants.items() if run is not None}
    samples = interleaved(options.rounds, present)
    ours = samples.pop("ours")
    return [
        Row(
            question=question,
            unit=unit,
            ours=ours,
            beside=name,
            theirs=samples.get(name, ()),
            target=target,
        )
        for name in [name for name in contestants if name != "ours"] or [""]
    ]


def rate_of(count: int, run: Callable[[], object]) -> float:
    """Run something that does `count` steps; return steps a second."""
    before = time.perf_counter()
    run()
    return count / (time.perf_counter() - before)


def percentile(values: list[float], share: float) -> float:
    """Return the value that `share` of the values do not exceed."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def in_child(module: str, *arguments: object) -> dict[str, Any]:
    """Run a module of this folder in a process of its own and return the JSON it prints.

    For what would be disturbed by what this process has done before: memory, threads, start-up.

    Raises:
        subprocess.CalledProcessError: It failed.
    """
    argv = [sys.executable, str(Path(__file__).with_name(f"{module}.py")), *map(str, arguments)]
    done = subprocess.run(  # noqa: S603 - our own module
        argv, check=True, stdout=subprocess.PIPE, timeout=CHILD_SECONDS_MAX
    )
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def environment(directory: Path) -> str:
    """Return the line that says where the figures are from."""
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return (
        f"maestro-runtime {__version__}, Python {platform.python_version()}, "
        f"{os.cpu_count()} CPUs, Linux {platform.release()}, {_file_system(directory)}, "
        f"LMDB defaults (sync), load {load}, {dt.datetime.now(dt.UTC):%Y-%m-%d %H:%M} UTC"
    )


def resident_bytes() -> int:
    """Return the memory this process has in use now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE")


def peak_bytes() -> int:
    """Return the most memory this program has had in use."""
    # Not `ru_maxrss`, which a process inherits from the one that has started it.
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def _file_system(directory: Path) -> str:
    """Return the kind of file system a directory is on."""
    device = directory.stat().st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        place, _, kind = line.partition(" - ")
        if place.split()[2] == wanted:
            return kind.split()[0]
    return "unknown file system"
