"""Power cuts: replay what a run has written up to any instant, and check what the disk may hold.

strace records every write of a run to its data file, every sync, and every event that the run
acknowledged or engine call that it made. What was synced before the cut is on the disk; of what
was not, any part may be. Each image has to satisfy the invariants, whatever had left the process.
"""

import hashlib
import os
import random
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

import msgspec

import forked
import straced
import witnessed
from committer import Committer
from crash_team import Run, engine_runs, write_team
from invariants import Observed, check_end, check_state
from maestro_runtime.cli._event_line import EventLine
from maestro_storage import Store

SECTOR_BYTES: Final = (512, 4096)
"""Pieces of a write that reach the disk whole or not at all."""
CALLS: Final = "openat,pwrite64,pwritev,lseek,write,writev,fsync,fdatasync"
SYNC_MICROSECONDS: Final = 20_000
IMAGES_OF_A_ROUND: Final = 400
IMAGES_OF_A_RESUME: Final = 40
"""One image of so many is resumed, too."""

T = TypeVar("T")

_LINE: Final = re.compile(r"(\d+) +(?:<\.\.\. \w+ resumed>)?(.*)")
_CALL: Final = re.compile(r"(\w+)\((?:AT_FDCWD[^,]*, )?\"?(\d*)(?:<([^>]*)>)?")
_TEXT: Final = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')


@dataclass(frozen=True)
class Write:
    """Bytes that went to the data file."""

    offset: int
    data: bytes
    synced: bool
    """On the disk when the call returned."""


@dataclass(frozen=True)
class Sync:
    """All earlier writes are on the disk."""

    thread: str


@dataclass(frozen=True)
class Left:
    """What has left the process: a line for a file that survives."""

    file: str
    line: bytes


Step = Write | Sync | Left


@dataclass
class Cut:
    """What there is at an instant."""

    disk: bytearray
    pending: list[tuple[int, bytes]] = field(default_factory=list)
    left: Counter[str] = field(default_factory=Counter)
    """Lines of each file that survives."""


class Recording:
    """A run that was recorded, and the images it may leave."""

    def __init__(
        self,
        directory: Path,
        *,
        committer: Committer,
        sabotage: str = "",
        tasks_per_phase: int = 2,
    ) -> None:
        """Record a run over a state that exists; `sabotage` is that of `witnessed.main`."""
        team = write_team(directory, tasks_per_phase)
        state = directory / "state"
        Store.open(state).close()
        self._directory = directory
        self._team = team
        self._base = (state / "data" / "data.mdb").read_bytes()
        trace = directory / "trace.txt"
        wanted = [
            # Of other calls strace hears nothing; it could make no signal of them then.
            *(
                "--seccomp-bpf",
                "-y",
                "-xx",
                "-s",
                str(1 << 24),
                "-e",
                f"trace={CALLS}",
                "-e",
                "signal=none",
            ),
            # A slow disk: what leaves without waiting for it does so well before the sync.
            *("-e", f"inject=fdatasync:delay_enter={SYNC_MICROSECONDS}", "-o", str(trace)),
        ]
        straced.run(wanted, team, directory, sabotage, committer).check_returncode()
        self._events = _lines(directory / "events.log", EventLine)
        self._runs = _lines(directory / "engine.log", Run)
        self.steps = list(_steps(trace))
        assert any(isinstance(step, Write) for step in self.steps)
        shutil.rmtree(state)

    def check(self, count: int, seed: int) -> int:
        """Check so many images, or fewer if they are the same; return how many were checked."""
        chance = random.Random(seed)  # noqa: S311 - not for secrets
        seen: set[bytes] = set()
        for _ in range(count):
            cut = self._cut(chance.randint(1, len(self.steps)))
            disk = _torn(cut, chance)
            digest = hashlib.sha256(disk + repr(cut.left).encode()).digest()
            if digest not in seen:
                seen.add(digest)
                self._check_image(disk, cut.left, resume=len(seen) % IMAGES_OF_A_RESUME == 0)
        return len(seen)

    def _cut(self, length: int) -> Cut:
        """Return what there is after so many steps."""
        cut = Cut(bytearray(self._base))
        for step in self.steps[:length]:
            match step:
                case Write(synced=True):
                    _apply(cut.disk, step.offset, step.data)
                case Write():
                    cut.pending.append((step.offset, step.data))
                case Sync():
                    for offset, data in cut.pending:
                        _apply(cut.disk, offset, data)
                    cut.pending.clear()
                case Left():
                    cut.left[step.file] += 1
        return cut

    def _check_image(self, disk: bytes, left: Counter[str], *, resume: bool) -> None:
        state = self._directory / "image"
        data = state / "data"
        shutil.rmtree(state, ignore_errors=True)
        for directory in (state, data):
            directory.mkdir(mode=0o700)
        (data / "data.mdb").touch(0o600)
        (data / "data.mdb").write_bytes(disk)
        observed = Observed(self._events[: left["events.log"]], self._runs[: left["engine.log"]])
        check_state(state, observed)
        if resume:
            self._resume(state, observed)

    def _resume(self, state: Path, observed: Observed) -> None:
        """Let the run go on after the cut, and check its end."""
        log = self._directory / "engine.log"
        log.write_bytes(b"".join(msgspec.json.encode(run) + b"\n" for run in observed.runs))
        places = str(self._team), str(state), str(self._directory / "output")
        assert forked.run(witnessed.main, *places, os.devnull) == 0
        observed.runs = engine_runs(self._directory)
        check_end(state, observed, frozenset())


def one_round(directory: Path, seed: int) -> Counter[str]:
    """Record one run and check images of it; return how many."""
    # The slow disk of the recording would have the writer thread commit all.
    committer: Committer = "lane" if seed % 2 else "thread"
    recording = Recording(directory, committer=committer, tasks_per_phase=1 + seed % 3)
    return Counter(images=recording.check(IMAGES_OF_A_ROUND, seed))


def _lines(path: Path, kind: type[T]) -> list[T]:
    return [msgspec.json.decode(line, type=kind) for line in path.read_bytes().splitlines()]


def _apply(disk: bytearray, offset: int, data: bytes) -> None:
    if len(disk) < offset + len(data):
        disk.extend(bytes(offset + len(data) - len(disk)))
    disk[offset : offset + len(data)] = data


def _torn(cut: Cut, chance: random.Random) -> bytes:
    """Return the disk with any part of what was not synced on it, in any order of sectors."""
    size = chance.choice(SECTOR_BYTES)
    share = chance.choice((0.0, 1.0, *[chance.random()] * 4))
    for offset, data in cut.pending:
        for start in range(0, len(data), size):
            if chance.random() < share:
                _apply(cut.disk, offset + start, data[start : start + size])
    return bytes(cut.disk)


def _steps(trace: Path) -> Iterator[Step]:
    """Read the trace. A call counts once it has returned, but what leaves, from its beginning."""
    begun: dict[str, str] = {}
    position: dict[str, int] = {}
    synced: set[str] = set()
    for line in trace.read_text().splitlines():
        found = _LINE.fullmatch(line)
        if found is None:
            continue
        thread, text = found.groups()
        text = begun.pop(thread, "") + text
        left = _left(text)
        if left is not None:
            yield left
        elif text.endswith("<unfinished ...>"):
            begun[thread] = text.removesuffix("<unfinished ...>")
        else:
            yield from _step(thread, text, position, synced)


def _left(text: str) -> Left | None:
    """Return what a call takes out of the process; the end of such a call has no name any more."""
    call = _CALL.match(text)
    file = _plain(call[3] or "") if call else b""
    if not text.startswith("write(") or not file.endswith((b"/events.log", b"/engine.log")):
        return None
    return Left(file.rpartition(b"/")[2].decode(), _data(text))


def _step(thread: str, text: str, position: dict[str, int], synced: set[str]) -> Iterator[Step]:
    call = _CALL.match(text)
    if call is None:
        return
    name, number, path = call.groups()
    if name == "openat":
        opened = re.search(r"= (\d+)<([^>]*)>", text)
        if opened and _plain(opened[2]).endswith(b"/state/data/data.mdb"):
            (synced.add if "O_DSYNC" in text else synced.discard)(opened[1])
        return
    if not _plain(path or "").endswith(b"/state/data/data.mdb"):
        return
    if name in ("fsync", "fdatasync"):
        yield Sync(thread)
    elif name == "lseek":
        position[number] = int(text.rpartition("= ")[2])
    elif name.startswith("pwrite"):
        offset = int(re.findall(r", (\d+) *\) += \d+$", text)[0])
        yield Write(offset, _data(text), number in synced)
    elif name in ("write", "writev"):
        data = _data(text)
        yield Write(position[number], data, number in synced)
        position[number] += len(data)


def _data(text: str) -> bytes:
    return b"".join(_plain(part) for part in _TEXT.findall(text))


def _plain(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))
