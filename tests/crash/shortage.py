"""Shortage: a full disk, a limit on the size of files or on memory, wherever it strikes."""

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
from invariants import Observed, check_over, check_state
from maestro_runtime.cli._event_line import EventLine
from maestro_storage.errors import NotFound

FILE_BYTES: Final = 70 << 10, 400 << 10
STUCK: Final = -9
"""A run that had to be killed, by a fault of Python's."""
DISK_BYTES: Final = 100 << 10, 320 << 10
MEMORY_BITS: Final = 12, 25
"""Bytes on top of what the process has, as powers of 2: hardly any, or stacks of a few threads."""
COMMITS_MAX: Final = 5
"""By then a run has most of what it ever takes."""


def one_round(directory: Path, seed: int) -> Counter[str]:
    """Run short of something, then with enough of everything; count how the first run ended."""
    chance = random.Random(seed)  # noqa: S311 - not for secrets
    kind = ("file size", "disk", "memory")[seed % 3]
    if kind == "disk" and os.geteuid() != 0:
        # Only root may mount a small disk.
        kind = "file size"
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
            _finish(kind, state, directory, places)
    elif kind == "memory":
        numbers = str(chance.randint(0, COMMITS_MAX)), str(int(2 ** chance.uniform(*MEMORY_BITS)))
        code = _run_short_of_memory(directory, *numbers, *places)
        _check(code, state, directory)
        _finish(kind, state, directory, places)
    else:
        code = forked.run(run_with_limit, str(chance.randint(*FILE_BYTES)), *places)
        _check(code, state, directory)
        _finish(kind, state, directory, places)
    return Counter({f"runs short of {kind}": int(code != 0), f"runs with enough {kind}": code == 0})


def run_with_limit(size_bytes: str, *places: str) -> None:
    """Run under a limit on the size of files."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(size_bytes), int(size_bytes)))
    witnessed.main(*places)


def _run_short_of_memory(directory: Path, *arguments: str) -> int:
    errors = directory / "errors.txt"
    try:
        return forked.run(run_short_of_memory, str(errors), *arguments)
    except TimeoutError:
        # Who starts a thread that has no memory to begin waits for it for ever: gh-140746.
        if "Exception ignored in thread started by" in errors.read_text():
            return STUCK
        raise


def run_short_of_memory(errors: str, number: str, size_bytes: str, *places: str) -> None:
    """Run, and get so much more memory from commit `number` on; from the start, if that is 0."""
    forked.say_into(Path(errors))
    miser = Miser(int(number), int(size_bytes))
    miser.after_commit(0)
    witnessed.main(*places, observer=miser)


class Miser:
    """Limits the address space of its own process, once it has made so many commits."""

    def __init__(self, number: int, size_bytes: int) -> None:
        self._number = number
        self._size_bytes = size_bytes

    def before_commit(self, number: int) -> None:
        """Let it be."""

    def after_commit(self, number: int) -> None:
        """Set the limit, if this is the commit."""
        if number == self._number:
            pages = int(Path("/proc/self/statm").read_text().split()[0])
            limit_bytes = pages * resource.getpagesize() + self._size_bytes
            resource.setrlimit(resource.RLIMIT_AS, (limit_bytes, limit_bytes))


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
    assert code in (0, 1, STUCK), code
    observed = _observed(directory)
    try:
        check_state(state, observed)
    except NotFound:
        assert observed == Observed()


def _finish(kind: str, state: Path, directory: Path, places: tuple[str, ...]) -> None:
    """Run to the end with enough of everything."""
    assert forked.run(witnessed.main, *places) == 0
    [states] = check_over(state, _observed(directory), frozenset()).values()
    # Of an engine that got no memory, again and again, the tasks have failed.
    assert kind == "memory" or set(states.values()) == {"done"}
