"""Bit rot: flipped bits, a file cut short, swapped values: found, or of no consequence."""

import random
import resource
import shutil
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Final

import lmdb
import msgspec

import forked
import witnessed
from crash_team import write_team
from maestro_storage import Store
from maestro_storage.errors import SessionQuarantined, StorageError

DAMAGES_OF_A_ROUND: Final = 40
COUNTS: Final = "counts.json"
MAP_BYTES: Final = 1 << 28
ADDRESS_BYTES_MAX: Final = 4 << 30
PAGE_BYTES: Final = 4096
META_PAGES: Final = 2
NUMBERS: Final = tuple(
    page * PAGE_BYTES + at for page in range(META_PAGES) for at in range(144, 152)
)
"""The number of the last transaction in each meta page: LMDB has no digest of it."""
DATABASES: Final = ("tasks", "attempts", "calls", "events", "checkpoints")


def one_round(directory: Path, seed: int) -> Counter[str]:
    """Damage copies of a finished session in many ways; count what was found and what was not."""
    team = write_team(directory, tasks_per_phase=1 + seed % 3)
    places = str(team), str(directory / "state"), str(directory / "output")
    assert forked.run(witnessed.main, *places, str(directory / "events.log")) == 0
    assert forked.run(damage_copies, str(directory), str(seed)) == 0
    return Counter(msgspec.json.decode((directory / COUNTS).read_bytes(), type=dict[str, int]))


def damage_copies(place: str, seed: str) -> None:
    """Look at the damaged copies, in a process that may neither hang nor take all memory."""
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_BYTES_MAX, ADDRESS_BYTES_MAX))
    directory = Path(place)
    chance = random.Random(seed)  # noqa: S311 - not for secrets
    state, file = directory / "state", Path("data", "data.mdb")
    content = (state / file).read_bytes()
    expected = _content(state)
    counted: Counter[str] = Counter()
    for _ in range(DAMAGES_OF_A_ROUND):
        copy = directory / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(state, copy)
        kind = chance.choice(("flip", "flip", "cut", "swap"))
        if kind == "swap":
            what = _swap(copy / "data", chance)
        else:
            what, damaged = _flipped(content, chance) if kind == "flip" else _cut(content, chance)
            (copy / file).write_bytes(damaged)
        try:
            found = _content(copy)
        except StorageError:
            counted["damages found"] += 1
        else:
            assert found == expected, f"{what} is not found and changes what is read"
            counted["damages of no consequence"] += 1
    (directory / COUNTS).write_bytes(msgspec.json.encode(counted))


def _content(state: Path) -> list[object]:
    """Return everything a program can read; raise if any of it is not to be trusted."""
    with Store.inspect(state, map_bytes=MAP_BYTES) as store:
        for session_id, damage in store.quarantined.items():
            raise SessionQuarantined(session_id, damage)
        kinds = (
            *(store.sessions, store.tasks, store.attempts, store.calls, store.budgets),
            *(store.counters, store.alerts, store.usage, store.breakers, store.events),
            *(store.checkpoints, store.outbox),
        )
        return [[record for record in kind.scan()] for kind in kinds]  # noqa: C416 - of all kinds


def _flipped(content: bytes, chance: random.Random) -> tuple[str, bytes]:
    # As often in the two pages that LMDB begins from as in all the others, and in their numbers.
    places = chance.choice((range(len(content)), range(META_PAGES * PAGE_BYTES), NUMBERS))
    place, bit = chance.choice(places), chance.randrange(8)
    damaged = bytearray(content)
    damaged[place] ^= 1 << bit
    return f"bit {bit} of byte {place}", bytes(damaged)


def _cut(content: bytes, chance: random.Random) -> tuple[str, bytes]:
    size = chance.randrange(len(content))
    return f"a file of {size} instead of {len(content)} bytes", content[:size]


def _swap(data: Path, chance: random.Random) -> str:
    """Put the values of two records in each other's place, as a misdirected write would."""
    name = chance.choice(DATABASES).encode()
    with (
        closing(lmdb.open(str(data), max_dbs=32, map_size=MAP_BYTES)) as env,
        env.begin(write=True) as txn,
    ):
        database = env.open_db(name, txn=txn)
        (first, one), (second, other) = chance.sample(list(txn.cursor(db=database)), 2)
        txn.put(first, other, db=database)
        txn.put(second, one, db=database)
    return f"a swap of {first!r} and {second!r} in {name!r}"
