"""The quick look at a data file, held against the verifier that comes with LMDB."""

import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import cast

import lmdb
import lmdb.verify
import pytest

from maestro_storage._structure import is_sound, number_problems

PAGE_BYTES = 4096

Content = bytes | bytearray

_verify = cast("Callable[[str], list[str]]", lmdb.verify.verify)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return a file with several databases, three levels of pages, big values and free pages."""
    path = tmp_path_factory.mktemp("structure")
    with lmdb.open(str(path), max_dbs=4, map_size=1 << 26, lib_version=0) as env:
        names = (b"small", b"big", b"empty")
        small, big, _ = (env.open_db(name) for name in names)
        for first in range(0, 450, 30):
            with env.begin(write=True) as txn:
                for number in range(first, first + 30):
                    txn.put(b"key %06d" % number * 30, b"value %d" % number * 4, db=small)
                txn.put(b"%d" % first, b"x" * (first * 40), db=big)
        with env.begin(write=True) as txn:
            for first in range(0, 450, 60):
                txn.delete(b"%d" % first, db=big)
        with env.begin() as txn:
            assert txn.stat(small)["depth"] == 3
            assert txn.stat(big)["overflow_pages"]
    return (path / "data.mdb").read_bytes()


def verdicts(content: bytes, folder: Path) -> tuple[bool, list[str]]:
    """Return what we say of a file, and what is wrong with it in LMDB's own eyes."""
    file = folder / "data.mdb"
    file.write_bytes(content)
    try:
        problems = _verify(str(file))
    except lmdb.verify.VerifyError as error:
        problems = [str(error)]
    return is_sound(file), problems


def kind_of(page: Content) -> int:
    return int(struct.unpack_from("<H", page, 10)[0])


def test_a_sound_file_is_known(sound: bytes, tmp_path: Path) -> None:
    kinds = [kind_of(sound[at : at + PAGE_BYTES]) for at in range(0, len(sound), PAGE_BYTES)]

    assert {1, 2, 4, 8} <= set(kinds)
    assert verdicts(sound, tmp_path) == (True, [])


def test_an_empty_file_is_known(tmp_path: Path) -> None:
    with lmdb.open(str(tmp_path), lib_version=0):
        pass

    assert is_sound(tmp_path / "data.mdb")
    assert number_problems(tmp_path / "data.mdb") == []


NUMBERS = (144, PAGE_BYTES + 144)
"""Where the numbers of the last two transactions are."""


def numbers_of(content: Content) -> list[int]:
    return [int(struct.unpack_from("<Q", content, at)[0]) for at in NUMBERS]


def test_each_bit_of_the_last_numbers_is_known_but_one(sound: bytes, tmp_path: Path) -> None:
    """That one is 2 less in the last number: so is what a commit leaves that failed at its end."""
    numbers = numbers_of(sound)
    newer = numbers.index(max(numbers))
    unknown: list[tuple[int, int]] = []
    file = tmp_path / "data.mdb"
    for page, at in enumerate(NUMBERS):
        for bit in range(64):
            content = bytearray(sound)
            struct.pack_into("<Q", content, at, numbers[page] ^ 1 << bit)
            known, problems = verdicts(bytes(content), tmp_path)
            if not problems and not number_problems(file):
                assert known
                unknown.append((page, bit))

    assert unknown == ([(newer, 1)] if max(numbers) & 2 else [])


@pytest.mark.parametrize("compact", [False, True])
def test_numbers_are_sound_after_each_commit_and_in_each_copy(
    tmp_path: Path, *, compact: bool
) -> None:
    dice = random.Random(1)  # noqa: S311 - no secret
    state, copy = tmp_path / "state", tmp_path / "copy"
    copy.mkdir()
    with lmdb.open(str(state), max_dbs=2, map_size=1 << 26, lib_version=0) as env:
        databases = [env.open_db(name) for name in (b"one", b"two")]
        readers = []
        for number in range(200):
            assert number_problems(state / "data.mdb") == []
            with env.begin(write=True) as txn:
                for _ in range(dice.choice((0, 1, 40))):
                    key, database = b"%d" % dice.randrange(300), dice.choice(databases)
                    if dice.random() < 0.4:
                        txn.delete(key, db=database)
                    else:
                        txn.put(key, bytes(dice.choice((1, 300, 9000))), db=database)
                if number % 50 == 49:
                    txn.drop(databases[0], delete=False)
            # What a reader still sees is freed later, by another transaction than it was left by.
            if number % 9 == 0:
                readers.append(env.begin())
            elif number % 20 == 0:
                readers.pop().abort()
        for reader in readers:
            reader.abort()
        env.copy(str(copy), compact=compact)
        assert max(numbers_of((state / "data.mdb").read_bytes())) > 100

    assert number_problems(copy / "data.mdb") == []


@pytest.mark.parametrize(
    ("change", "text"),
    [(-4, "the last transactions are {0} and {1}: some are missing"), (2, "are those of {1}")],
)
def test_a_wrong_number_is_told(sound: bytes, tmp_path: Path, change: int, text: str) -> None:
    content = bytearray(sound)
    older = min(numbers_of(sound))
    struct.pack_into("<Q", content, NUMBERS[older & 1], older + change)
    (tmp_path / "data.mdb").write_bytes(content)

    (problem,) = number_problems(tmp_path / "data.mdb")

    low, high = sorted(numbers_of(content))
    assert text.format(low, older if change > 0 else high) in problem


def nodes_of(page: Content) -> list[int]:
    """Return where the nodes of a tree page are."""
    _, end, _ = struct.unpack_from("<HHH", page, 10)
    return list(struct.unpack_from(f"<{(end - 16) // 2}H", page, 16))


def structure(content: Content) -> dict[str, list[int]]:
    """Return the bytes that hold a file together: all but small values, by what they belong to."""
    places: dict[str, list[int]] = {"meta": [*range(152), *range(PAGE_BYTES, PAGE_BYTES + 152)]}
    for start in range(2 * PAGE_BYTES, len(content), PAGE_BYTES):
        page = content[start : start + PAGE_BYTES]
        kind = {1: "branch", 2: "leaf", 4: "overflow"}.get(kind_of(page))
        if kind is None or struct.unpack_from("<Q", page)[0] * PAGE_BYTES != start:
            continue
        places.setdefault(kind, []).extend(range(start, start + 16))
        for index, node in enumerate(nodes_of(page) if kind != "overflow" else []):
            size, flags, key_bytes = struct.unpack_from("<IHH", page, node)
            key_end = node + 8 + key_bytes
            own = [16 + 2 * index, 17 + 2 * index, *range(node, node + 8 + min(key_bytes, 12))]
            places[kind].extend(start + place for place in own)
            if kind == "branch":
                continue
            # Integers of 8 bytes: a list of free pages.
            what = {0: "free" if key_bytes == 8 else "", 1: "big", 2: "tree"}[flags]
            value = range(key_end, key_end + (8 if flags == 1 else size))
            places.setdefault(what, []).extend(start + place for place in value)
    del places[""]
    return places


@pytest.mark.parametrize("what", ["meta", "branch", "leaf", "overflow", "free", "big", "tree"])
def test_no_file_is_sound_in_which_lmdb_finds_a_fault(
    sound: bytes, tmp_path: Path, what: str
) -> None:
    """Single bits of headers, offsets, nodes, keys, lists and records of trees are flipped."""
    dice = random.Random(what)  # noqa: S311 - no secret
    places = structure(sound)[what]
    faults = 0
    for _ in range(200):
        place = dice.choice(places)
        content = bytearray(sound)
        content[place] ^= 1 << dice.randrange(8)

        known, problems = verdicts(bytes(content), tmp_path)

        assert not (known and problems), f"byte {place}: {problems}"
        faults += bool(problems)
    assert faults > 20


@pytest.mark.parametrize("seed", range(2))
def test_no_file_is_sound_whose_pages_are_mixed_up(sound: bytes, tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)  # noqa: S311 - no secret
    pages = range(2 * PAGE_BYTES, len(sound), PAGE_BYTES)
    for _ in range(60):
        content = bytearray(sound)
        source, target = dice.sample(pages, 2)
        content[target : target + PAGE_BYTES] = sound[source : source + PAGE_BYTES]
        if dice.random() < 0.5:
            # With the number of the place it is in now, only the walk can tell.
            struct.pack_into("<Q", content, target, target // PAGE_BYTES)

        known, problems = verdicts(bytes(content), tmp_path)

        assert not (known and problems), f"page {source} at {target}: {problems}"


@pytest.mark.parametrize("kept", [0, 100, PAGE_BYTES, PAGE_BYTES + 100, 5 * PAGE_BYTES + 1])
def test_a_file_cut_short_is_not_sound(sound: bytes, tmp_path: Path, kept: int) -> None:
    known, problems = verdicts(sound[:kept], tmp_path)

    assert not known
    assert problems


def test_a_lost_page_is_not_sound(sound: bytes, tmp_path: Path) -> None:
    content = bytearray(sound)
    for meta in (0, PAGE_BYTES):
        last = struct.unpack_from("<Q", content, meta + 136)[0]
        struct.pack_into("<Q", content, meta + 136, last + 1)

    known, problems = verdicts(bytes(content) + bytes(PAGE_BYTES), tmp_path)

    assert not known
    assert "neither reachable nor in the freeDB" in problems[0]


def test_a_kind_of_database_that_is_not_ours_is_left_to_lmdb(tmp_path: Path) -> None:
    with lmdb.open(str(tmp_path), max_dbs=1, lib_version=0) as env:
        database = env.open_db(b"many", dupsort=True)
        with env.begin(write=True) as txn:
            txn.put(b"key", b"one", db=database)
            txn.put(b"key", b"two", db=database)

    assert not is_sound(tmp_path / "data.mdb")
    assert _verify(str(tmp_path)) == []


def free_page(content: Content) -> int:
    """Return where the one page of the free tree begins."""
    newer = max((0, PAGE_BYTES), key=lambda meta: struct.unpack_from("<Q", content, meta + 144)[0])
    page = int(struct.unpack_from("<Q", content, newer + 80)[0]) * PAGE_BYTES
    assert kind_of(content[page:]) == 2
    return page


def longest_list(content: Content) -> tuple[int, int]:
    """Return where the node with the most free pages is, and how many they are."""
    page = free_page(content)
    counts = {
        page + node: int(struct.unpack_from("<Q", content, page + node + 16)[0])
        for node in nodes_of(content[page : page + PAGE_BYTES])
    }
    node = max(counts, key=lambda node: counts[node])
    return node, counts[node]


def swap_free_pages(content: bytearray) -> None:
    node, _ = longest_list(content)
    first, second = struct.unpack_from("<QQ", content, node + 24)
    struct.pack_into("<QQ", content, node + 24, second, first)


def free_a_page_that_is_in_use(content: bytearray) -> None:
    """Make the list that is first on the page one longer; there is room before it."""
    page = free_page(content)
    nodes = nodes_of(content[page : page + PAGE_BYTES])
    node = min(nodes)
    size, flags, key_bytes, key, count = struct.unpack_from("<IHHQQ", content, page + node)
    numbers = set(struct.unpack_from(f"<{count}Q", content, page + node + 24))
    longer = sorted({*numbers, page // PAGE_BYTES}, reverse=True)
    header = (size + 8, flags, key_bytes, key, count + 1)
    struct.pack_into(f"<IHHQQ{count + 1}Q", content, page + node - 8, *header, *longer)
    struct.pack_into("<H", content, page + 16 + 2 * nodes.index(node), node - 8)
    struct.pack_into("<H", content, page + 14, node - 8)


def free_by_no_transaction(content: bytearray) -> None:
    page = free_page(content)
    struct.pack_into("<Q", content, page + nodes_of(content[page:])[0] + 8, 0)


def free_by_a_transaction_to_come(content: bytearray) -> None:
    page = free_page(content)
    struct.pack_into("<Q", content, page + nodes_of(content[page:])[-1] + 8, 1 << 40)


def begin_the_nodes_later(content: bytearray) -> None:
    page = free_page(content)
    struct.pack_into("<H", content, page + 14, PAGE_BYTES - 8)


@pytest.mark.parametrize(
    "change",
    [
        swap_free_pages,
        free_a_page_that_is_in_use,
        free_by_no_transaction,
        free_by_a_transaction_to_come,
        begin_the_nodes_later,
    ],
)
def test_a_free_tree_that_cannot_be_is_not_sound(
    sound: bytes, tmp_path: Path, change: Callable[[bytearray], None]
) -> None:
    content = bytearray(sound)
    change(content)

    known, problems = verdicts(bytes(content), tmp_path)

    assert not known
    assert problems


@pytest.mark.parametrize("kind", [1, 2])
def test_a_node_before_all_nodes_is_not_sound(sound: bytes, tmp_path: Path, kind: int) -> None:
    for page in range(2 * PAGE_BYTES, len(sound), PAGE_BYTES):
        if kind_of(sound[page:]) == kind:
            content = bytearray(sound)
            struct.pack_into("<H", content, page + 14, PAGE_BYTES - 8)

            known, problems = verdicts(bytes(content), tmp_path)

            assert not (known and problems)
