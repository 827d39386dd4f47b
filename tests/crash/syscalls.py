"""Every system call: each one of a small run kills it, or fails, once or from then on.

The calls are those on the files of the state, while it is created, taken up and worked with, and
those on sockets: of the engine, the ticket sink, the observer and the state. A round is one call of
one kind in one way; `every` names them all. On sockets the n-th call is that of the first thread to
make so many; there a client starts the run too, follows it and takes checkpoints of it. Work is
struck where the writer thread makes all commits, and where the lane of the actors makes its own.
"""

import re
import tempfile
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

import forked
import gated
import mortal
from committer import Committer
from dealings import check_all_settled, check_dealings
from invariants import Observed, check_over, check_state, done_tasks
from looker import Looker
from maestro_storage import Store
from maestro_storage.errors import NotFound
from mortal import Places
from outside import Outside, outside
from program import RICH_TOKENS, Program, Task, billed

Stage = Literal["create", "open", "work"]

OPENING_CALLS: Final = (
    *("mkdir", "openat", "pwrite64", "writev", "fdatasync", "fsync", "rename"),
    *("ftruncate", "fallocate"),
)
STORAGE_CALLS: Final[dict[Stage, tuple[str, ...]]] = {
    "create": OPENING_CALLS,
    "open": OPENING_CALLS,
    "work": ("openat", "pwrite64", "pwritev", "writev", "fdatasync", "fsync", "ftruncate"),
}
SOCKET_CALLS: Final = ("connect", "accept4", "sendto", "sendmsg", "recvfrom")
SOCKET_ERRORS: Final = ("EINTR", "EIO", "EPIPE", "ECONNRESET", "ETIMEDOUT")
"""Of a call that sends or receives."""
STORAGE_EFFECTS: Final = ("signal=KILL", "error=EIO", "error=EIO+", "error=ENOSPC", "error=ENOSPC+")
"""With a plus: from then on."""
CODES: Final = {0: "not stopped", 1: "stopped by an error", -9: "killed"}

PROGRAM: Final = Program(
    personas={"p0": RICH_TOKENS, "p1": RICH_TOKENS},
    phases={"one": (), "two": ("one",)},
    tasks={
        task.task_id: task
        for task in (
            Task("a", "one", "p0"),
            Task("b", "one", "p1", failures=1),
            Task("c", "two", "p0", after=("d",)),
            Task("d", "two", "p1", doomed=True),
        )
    },
)


@dataclass(frozen=True)
class Kind:
    """Calls of one name at one stage, and what happens at one of them."""

    stage: Stage
    call: str
    effect: str
    committer: Committer = "thread"

    def options(self, number: int, files: list[Path]) -> list[str]:
        """Return the options of strace that let it happen at the n-th call, 1-based."""
        effect, forever = self.effect.removesuffix("+"), self.effect.endswith("+")
        when = f"{number}{'+' if forever else ''}"
        inject = f"inject={self.call}:{effect}:when={when}"
        return [*_chosen((self.call,), files), "-e", inject, "-o", "/dev/null"]


KINDS: Final = (
    *(
        Kind(stage, call, effect)
        for stage, calls in STORAGE_CALLS.items()
        for call in calls
        for effect in STORAGE_EFFECTS
    ),
    *(
        Kind("work", call, effect, "lane")
        for call in STORAGE_CALLS["work"]
        for effect in STORAGE_EFFECTS
    ),
    *(Kind("work", call, "signal=KILL") for call in SOCKET_CALLS),
    *(
        Kind("work", call, f"error={error}")
        for call in ("sendto", "sendmsg", "recvfrom")
        for error in SOCKET_ERRORS
    ),
    Kind("work", "connect", "error=ECONNREFUSED"),
    Kind("work", "connect", "error=ETIMEDOUT"),
    Kind("work", "accept4", "error=ECONNABORTED"),
)


def one_round(directory: Path, seed: int) -> Counter[str]:
    """Strike at one call, see what is left, and run to the end; count how the strike ended."""
    kind, number = KINDS[seed % len(KINDS)], seed // len(KINDS) + 1
    with outside(directory) as world, ExitStack() as stack:
        places = _prepared(directory, world, kind.stage, kind.committer)
        looker = stack.enter_context(Looker(places)) if kind.call in SOCKET_CALLS else None
        observed = Observed()
        code = _run(kind.stage, places, kind.options(number, _files(places.state_dir)), looker)
        said = Path(directory, "errors.txt").read_text()
        assert code in CODES, f"{kind}, call {number}: exit code {code}: {said}"
        try:
            _check(world, places, observed)
        except NotFound:
            assert world.look().is_nothing, f"{kind}: something left a run without a state"
        done = done_tasks(places.state_dir)
        if forked.run(mortal.main, places) != 0:
            raise RuntimeError("the run that nothing happened to did not end well")
        _check(world, places, observed)
        PROGRAM.check_end(check_over(places.state_dir, observed, done))
        check_all_settled(places.state_dir, world.look())
        if looker is not None:
            looker.check()
    return Counter({CODES[code]: 1, "events followed": 0 if looker is None else looker.heard})


def every() -> tuple[int, ...]:
    """Return the seed of every round, found by runs to which nothing happens."""
    made = {
        (stage, committer): _made(stage, STORAGE_CALLS[stage], committer)
        for stage, committer in {(kind.stage, kind.committer) for kind in KINDS}
    }
    made["work", "thread"] |= _made("work", SOCKET_CALLS, "thread")
    return tuple(
        (number - 1) * len(KINDS) + place
        for place, kind in enumerate(KINDS)
        for number in range(1, made[kind.stage, kind.committer][kind.call] + 1)
    )


def _made(stage: Stage, calls: tuple[str, ...], committer: Committer) -> Counter[str]:
    """Return how many of each of these calls a thread makes at most."""
    with (
        tempfile.TemporaryDirectory() as place,
        outside(Path(place)) as world,
        ExitStack() as stack,
    ):
        places = _prepared(Path(place), world, stage, committer)
        heard = set(calls) <= set(SOCKET_CALLS)
        looker = stack.enter_context(Looker(places)) if heard else None
        trace = Path(place, "trace.txt")
        options = [*_chosen(calls, _files(places.state_dir)), "-o", str(trace)]
        assert _run(stage, places, options, looker) == 0
        # Of one thread alone strace does not say which it is.
        lines = re.findall(r"^(\d*) *(\w+)\(", trace.read_text(), re.MULTILINE)
    made: Counter[str] = Counter()
    for (_thread, call), count in Counter(lines).items():
        made[call] = max(made[call], count)
    return made


def _prepared(directory: Path, world: Outside, stage: Stage, committer: Committer) -> Places:
    PROGRAM.write(directory, billed(world.provider.socket))
    places = replace(Places.of(directory, world), committer=committer)
    if stage != "create":
        Store.open(places.state_dir).close()
    return places


def _run(stage: Stage, places: Places, options: list[str], looker: Looker | None) -> int:
    part: gated.Part = "work" if stage == "work" else "open"
    return gated.run(part, places, options, None if looker is None else looker.begin)


def _chosen(calls: tuple[str, ...], files: list[Path]) -> list[str]:
    """Return the options of strace that choose calls: on sockets, or on some files."""
    paths = [] if set(calls) <= set(SOCKET_CALLS) else files
    return [
        *(part for file in paths for part in ("-P", str(file))),
        "-e",
        f"trace={','.join(calls)}",
    ]


def _files(state: Path) -> list[Path]:
    """Return everything that a state is made of, before and after its creation."""
    data = [state / name for name in ("data", "data.new")]
    inside = [place / name for place in data for name in ("data.mdb", "lock.mdb")]
    return [state, *data, *inside, state / "owner.lock", state / "ballast"]


def _check(world: Outside, places: Places, observed: Observed) -> None:
    """Check what a run has left."""
    seen = world.look()
    observed.acknowledged = [told.event for told in seen.told if told.event is not None]
    observed.runs = seen.runs
    check_state(places.state_dir, observed)
    check_dealings(places.state_dir, seen)
