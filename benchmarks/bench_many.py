"""What do 10,000 sessions in one state cost to list, find by a key, fork, remove and start with?

Each figure is taken in a state with so many finished sessions and, in the same rounds, in one with
a hundredth of them. A page is the 20 newest sessions, or the 20 newest with a label that one in a
hundred has. A key is that of an order whose session is there: the first one of a process reads the
keys of all, the next ones do not. Forks are of a session whose team has 100 KB; the bytes of a fork
are those that the records in the store grow by, beside those of its original. Start and memory are
of a process of its own, which verifies everything.
"""

import itertools
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from bench_resume import put_task
from maestro_actors.messages import encode
from maestro_actors.sessions.session import NewSession, Particulars, opening_transition
from maestro_actors.team import Team
from maestro_runtime import (
    ForkOrder,
    Runtime,
    RuntimeOptions,
    SessionFilter,
    SessionOrder,
    list_sessions,
    open_runtime,
)
from maestro_runtime.checkpoints import fork
from maestro_storage import RetentionPolicy, Store, StoreOptions
from maestro_storage.records import SessionRecord
from maestro_storage.transition import Transition
from measure import Options, in_child, interleaved, peak_bytes
from noop_session import team_of
from row import Row, Target

SESSIONS: Final = 10_000
SHARE: Final = 100
FORKS: Final = 1_000
FORKS_LEAST: Final = 20
"""The store grows by whole pages: a few forks may find room in those that there are."""
PAGE_SESSIONS: Final = 20
REMOVALS: Final = 50
TEAM_BYTES: Final = 100_000
ORIGINAL: Final = "original"
KEEP_ALL: Final = RuntimeOptions(
    store=StoreOptions(retention=RetentionPolicy(sessions_max=1 << 30, age_days=1 << 20))
)

Figures = dict[str, float]


def measure(options: Options) -> list[Row]:
    """Measure what is done in a state of many sessions, and in one of few."""
    many = options.count(SESSIONS, least=4 * SHARE)
    few = many // SHARE
    with options.scratch() as directory:
        for count in (few, many):
            _fill(directory / str(count), count)
        states = {str(count): _measured(directory / str(count), options) for count in (few, many)}
        samples = interleaved(options.rounds, states)
        start = {"ours": lambda: in_child("bench_many", directory / str(many))}
        starts = interleaved(min(options.rounds, 3), start)["ours"]
    return [
        *_compared(samples[str(many)], samples[str(few)], many, few),
        *_bytes(samples[str(many)], options),
        *_starts(starts, many),
    ]


def _compared(many: list[Figures], few: list[Figures], count: int, few_count: int) -> Iterator[Row]:
    page = Target("at most", 100, "figure")
    for what, key, target in (
        (f"list {PAGE_SESSIONS} sessions", "page", page),
        (f"list {PAGE_SESSIONS} with a rare label", "label", page),
        ("find a key, the first of a process", "first_key", page),
        ("find a key", "key", Target("at most", 1.25)),
        ("fork", "fork", Target("at most", 1.25)),
        ("remove", "remove", Target("at most", 1.25)),
    ):
        yield Row(
            question=f"{what}, of {count:,} sessions",
            unit="ms",
            ours=[sample[key] for sample in many],
            beside=f"ours, {few_count:,} sessions",
            theirs=[sample[key] for sample in few],
            target=target,
        )


def _bytes(samples: list[Figures], options: Options) -> Iterator[Row]:
    yield Row(
        question=f"bytes of each of {options.count(FORKS, least=FORKS_LEAST):,} forks",
        unit="bytes",
        ours=[sample["fork_bytes"] for sample in samples],
        beside="its original",
        theirs=[sample["original_bytes"] for sample in samples],
        target=Target("at most", 0.1),
    )


def _starts(samples: list[dict[str, Any]], count: int) -> Iterator[Row]:
    for what, key, unit in (("READY", "ready", "s"), ("peak memory", "peak_bytes", "bytes")):
        yield Row(
            question=f"start with {count:,} sessions, {what}",
            unit=unit,
            ours=[sample[key] for sample in samples],
        )


def _measured(directory: Path, options: Options) -> Callable[[], Figures]:
    """Add the session that is forked; return what opens the state and takes all figures once."""
    forks = options.count(FORKS, least=FORKS_LEAST)
    numbers = itertools.count()
    large = msgspec.structs.replace(team_of(1, 1), requirement="x" * TEAM_BYTES)
    order = SessionOrder(large, ORIGINAL, directory / ORIGINAL, idempotency_key="key")
    with open_runtime(directory / "state", KEEP_ALL) as runtime:
        before_bytes = runtime.store.info().used_bytes
        runtime.run(order).result()
        original_bytes = float(runtime.store.info().used_bytes - before_bytes)

    def once() -> Figures:
        # A process of months reads the keys once; here each round does.
        with open_runtime(directory / "state", KEEP_ALL) as runtime:
            return {
                "original_bytes": original_bytes,
                **_looked_up(runtime, order),
                **_forked(runtime.store, directory, f"f{next(numbers)}", forks),
            }

    return once


def _looked_up(runtime: Runtime, order: SessionOrder) -> Figures:
    rare = SessionFilter(labels=(("rare", None),))
    return {
        "page": _ms(lambda: list_sessions(runtime.store, limit=PAGE_SESSIONS)),
        "label": _ms(lambda: list_sessions(runtime.store, rare, limit=PAGE_SESSIONS)),
        "first_key": _ms(lambda: runtime.run(order)),
        "key": _ms(lambda: runtime.run(order)),
    }


def _forked(store: Store, directory: Path, prefix: str, count: int) -> Figures:
    """Make forks, take them away again, and return what each has cost."""
    names = [f"{prefix}-{number}" for number in range(count)]
    before_bytes = store.info().used_bytes

    def make() -> None:
        for name in names:
            fork(store, ForkOrder(ORIGINAL, "only", name, directory / name), 1)

    fork_ms = _ms(make) / count
    fork_bytes = (store.info().used_bytes - before_bytes) / count
    draft = Transition()
    for name in names:
        draft.put(msgspec.structs.replace(store.require_session(name), state="cancelled"))
    store.journal.commit(draft).result()
    alone = names[:REMOVALS]

    def remove() -> None:
        for name in alone:
            store.journal.remove(name).result()

    remove_ms = _ms(remove) / len(alone)
    for future in [store.journal.remove(name) for name in names]:
        future.result()
    return {"fork": fork_ms, "fork_bytes": fork_bytes, "remove": remove_ms}


def _ms(run: Callable[[], object]) -> float:
    before = time.perf_counter()
    run()
    return (time.perf_counter() - before) * 1e3


def _fill(directory: Path, count: int) -> None:
    """Write finished sessions of one task with one attempt each; one in a hundred has a label."""
    team = team_of(1, 1)
    (directory / "state").mkdir(parents=True)
    with Store.open(directory / "state", options=KEEP_ALL.store) as store:
        for number in range(count):
            store.journal.append(_finished(f"s{number}", team, number, store.epoch))
        store.journal.commit(Transition()).result()


def _finished(session_id: str, team: Team, number: int, epoch: int) -> Transition:
    labels = {"n": str(number % 10), **({} if number % SHARE else {"rare": "yes"})}
    new = NewSession(
        session_id=session_id,
        team=team,
        output_dir="/nowhere",
        particulars=Particulars(labels=labels, idempotency_key=f"k{number}"),
    )
    draft = opening_transition(new, number, epoch)
    [contract] = team.contracts
    put_task(draft, session_id, contract.id, b"done", number)
    digest = draft.payload(session_id, encode(team))
    draft.put(
        SessionRecord(
            session_id=session_id,
            state="done",
            team_name=team.name,
            team=digest,
            created_ms=number,
            updated_ms=number,
            finished_ms=number,
            labels=labels,
            idempotency_key=f"k{number}",
            output_dir="/nowhere",
            input_dir=None,
            epoch=epoch,
        )
    )
    return draft


def start(directory: Path) -> dict[str, float]:
    """Open the state."""
    before = time.perf_counter()
    with open_runtime(directory / "state", KEEP_ALL):
        ready = time.perf_counter() - before
    return {"ready": ready, "peak_bytes": peak_bytes()}


if __name__ == "__main__":
    print(json.dumps(start(Path(sys.argv[1]))))
