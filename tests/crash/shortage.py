"""Shortage: a full disk, or a limit on the size of files, wherever it strikes."""

import os
import random
import resource
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

import forked
import witnessed
from crash_team import engine_runs, write_team
from invariants import Observed, check_end, check_state
from maestro_runtime.cli._progress import EventLine
from maestro_storage.errors import NotFound

FILE_BYTES: Final = 70 << 10, 400 << 10
DISK_BYTES: Final = 100 << 10, 320 << 10


def one_round(directory: Path, seed: int) -> Counter[str]:
    """Run short of something, then with enough of everything; count how the first run ended."""
    chance = random.Random(seed)  # noqa: S311 - not for secrets
    # Only root may mount a small disk.
    kind = "disk" if os.geteuid() == 0 and seed % 2 else "file size"
    team = write_team(directory, tasks_per_phase=3)
    # Only the state is on the small disk: what is checked is not the engine's own output.
    state = directory / "disk" / "state"
    state.parent.mkdir()
    places = str(team), str(state), str(directory / "output"), str(directory / "events.log")
    if kind == "disk":
        with small_disk(state.parent, chance.randint(*DISK_BYTES)) as grow:
            code = forked.run(witnessed.main, *places)
            _check(code, state, directory)
            grow()
            _finish(state, directory, places)
    else:
        code = forked.run(run_with_limit, str(chance.randint(*FILE_BYTES)), *places)
        _check(code, state, directory)
        _finish(state, directory, places)
    return Counter({f"runs short of {kind}": int(code != 0), f"runs with enough {kind}": code == 0})


def run_with_limit(size_bytes: str, *places: str) -> None:
    """Run under a limit on the size of files."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(size_bytes), int(size_bytes)))
    witnessed.main(*places)


@contextmanager
def small_disk(path: Path, size_bytes: int) -> Iterator[Callable[[], object]]:
    """Mount a file system of so many bytes; yield what makes it large."""
    mount = ["/bin/mount", "-t", "tmpfs", "-o"]
    subprocess.run([*mount, f"size={size_bytes}", "tmpfs", str(path)], check=True)
    try:
        yield partial(subprocess.run, [*mount, "remount,size=64m", "tmpfs", str(path)], check=True)
    finally:
        subprocess.run(["/bin/umount", str(path)], check=True)


def _observed(directory: Path) -> Observed:
    log = directory / "events.log"
    lines = log.read_bytes().splitlines() if log.exists() else []
    events = [msgspec.json.decode(line, type=EventLine) for line in lines]
    return Observed(events, engine_runs(directory))


def _check(code: int, state: Path, directory: Path) -> None:
    """Check what a run left that had too little: an error, and nothing lost."""
    assert code in (0, 1), code
    observed = _observed(directory)
    try:
        check_state(state, witnessed.SESSION, observed)
    except NotFound:
        assert observed == Observed()


def _finish(state: Path, directory: Path, places: tuple[str, ...]) -> None:
    """Run to the end with enough of everything."""
    assert forked.run(witnessed.main, *places) == 0
    check_end(state, witnessed.SESSION, _observed(directory), frozenset())
