"""Damage is planted in real state directories, by LMDB itself or in the bytes of its file."""

from collections.abc import Callable
from pathlib import Path

import lmdb
import pytest

from maestro_storage import Store, StoreOptions, compact, verify
from maestro_storage._seal import seal
from maestro_storage.errors import (
    NotFound,
    RecordDamaged,
    RecordTooNew,
    SessionQuarantined,
    StateDamaged,
    StateTooNew,
)
from maestro_storage.records import BreakerRecord, ValueRecord, key_of
from maestro_storage.transition import Event, Transition, payload_digest

WAIT_SECONDS = 20
"""Safety net; no test waits that long unless it fails."""

Change = Callable[[bytes], bytes]


def flip(value: bytes) -> bytes:
    return value[:-1] + bytes([value[-1] ^ 1])


def tamper(state: Path, database: str, key: bytes, value: bytes | None, new_key: bytes) -> None:
    """Write behind the back of the store: move a value to `new_key`, changed or as it is."""
    with lmdb.open(str(state / "data"), max_dbs=20, map_size=64 << 30, lib_version=0) as env:
        handle = env.open_db(database.encode())
        with env.begin(write=True) as txn:
            found = txn.pop(key, db=handle)
            if new_key:
                txn.put(new_key, value if value is not None else found or b"", db=handle)


def stored(state: Path, database: str, key: bytes) -> bytes:
    with lmdb.open(str(state / "data"), max_dbs=20, readonly=True, lock=False) as env:
        handle = env.open_db(database.encode(), create=False)
        with env.begin(db=handle) as txn:
            return txn.get(key, b"")


def flip_in(state: Path, database: str, key: bytes) -> None:
    tamper(state, database, key, flip(stored(state, database, key)), key)


@pytest.fixture
def two_sessions(
    state: Path, make_session: Callable[..., Transition], make_task: Callable[..., Transition]
) -> Path:
    """Return a closed state directory with the sessions s-1 and s-2, a breaker, and a value."""
    with Store.open(state, options=StoreOptions(ballast_bytes=4096)) as store:
        for name in ("s-1", "s-2"):
            store.journal.append(make_session(name, payload=name.encode()))
            for number in range(1, 4):
                store.journal.append(make_task(number, name))
        shared = Transition()
        shared.put(BreakerRecord(engine="command", state="closed"))
        # Of the name of a session, to which it does not belong all the same.
        shared.put(ValueRecord(name="s-1", value=b"1", updated_ms=0))
        store.journal.append(shared)
    return state


TASK_KEY = key_of("s-1", "task-000002")


@pytest.mark.parametrize(
    ("database", "key"),
    [
        ("tasks", TASK_KEY),
        ("sessions", key_of("s-1")),
        ("events", key_of("s-1", 2)),
        ("payloads", payload_digest(b"s-1")),
        ("references", b"s" + key_of("s-1") + payload_digest(b"s-1")),
        ("references", b"d" + payload_digest(b"s-1") + b"s-1"),
    ],
)
def test_a_damaged_record_quarantines_its_session_and_no_other(
    two_sessions: Path, database: str, key: bytes
) -> None:
    flip_in(two_sessions, database, key)

    with Store.open(two_sessions) as store:
        assert list(store.quarantined) == ["s-1"]
        with pytest.raises(SessionQuarantined, match=f"record {key.hex()} in {database}"):
            store.require_session("s-1")
        with pytest.raises(SessionQuarantined):
            next(store.tasks.scan("s-1"))
        assert store.require_session("s-2").session_id == "s-2"
        assert [record.session_id for record in store.sessions.scan()] == ["s-2"]
        assert {record.session_id for record in store.tasks.scan()} == {"s-2"}


def test_a_damaged_record_stays_where_it_is(two_sessions: Path) -> None:
    flip_in(two_sessions, "tasks", TASK_KEY)
    before = stored(two_sessions, "tasks", TASK_KEY)

    Store.open(two_sessions).close()

    assert stored(two_sessions, "tasks", TASK_KEY) == before


def test_a_record_under_the_key_of_another_session_quarantines_both(two_sessions: Path) -> None:
    tamper(two_sessions, "tasks", TASK_KEY, None, key_of("s-2", "task-000002"))

    with Store.open(two_sessions) as store:
        assert sorted(store.quarantined) == ["s-1", "s-2"]


@pytest.mark.parametrize("kept_bytes", [0, 31, 33, 60])
def test_a_value_cut_short_quarantines_its_session(two_sessions: Path, kept_bytes: int) -> None:
    tamper(
        two_sessions,
        "tasks",
        TASK_KEY,
        stored(two_sessions, "tasks", TASK_KEY)[:kept_bytes],
        TASK_KEY,
    )

    with Store.open(two_sessions) as store:
        assert list(store.quarantined) == ["s-1"]


def test_two_values_that_changed_places_quarantine_their_session(two_sessions: Path) -> None:
    other_key = key_of("s-1", "task-000003")
    value, other = (stored(two_sessions, "tasks", key) for key in (TASK_KEY, other_key))
    tamper(two_sessions, "tasks", TASK_KEY, other, TASK_KEY)
    tamper(two_sessions, "tasks", other_key, value, other_key)

    with Store.open(two_sessions) as store:
        assert list(store.quarantined) == ["s-1"]
        assert len(store.quarantined["s-1"]) == 2


def test_a_missing_payload_quarantines_every_session_that_refers_to_it(
    state: Path, make_session: Callable[..., Transition]
) -> None:
    with Store.open(state) as store:
        for name in ("s-1", "s-2"):
            store.journal.append(make_session(name, payload=b"shared"))
        store.journal.append(make_session("s-3", payload=b"its own"))
    tamper(state, "payloads", payload_digest(b"shared"), None, b"")

    with Store.open(state) as store:
        assert sorted(store.quarantined) == ["s-1", "s-2"]


def test_a_record_whose_key_names_no_session_quarantines_the_one_that_misses_it(
    two_sessions: Path,
) -> None:
    tamper(two_sessions, "tasks", TASK_KEY, None, key_of("s-3", "task-000002"))

    with Store.open(two_sessions) as store:
        assert list(store.quarantined) == ["s-1"]


@pytest.mark.parametrize(
    ("database", "key", "complaint"),
    [
        ("events", key_of("s-1", 2), "event 2 is missing before it"),
        ("payloads", payload_digest(b"s-1"), "it is missing"),
        (
            "references",
            b"s" + key_of("s-1") + payload_digest(b"s-1"),
            "its counterpart is missing",
        ),
        (
            "references",
            b"d" + payload_digest(b"s-1") + b"s-1",
            "its counterpart is missing",
        ),
    ],
)
def test_what_is_missing_quarantines_its_session(
    two_sessions: Path, database: str, key: bytes, complaint: str
) -> None:
    tamper(two_sessions, database, key, None, b"")

    with Store.open(two_sessions) as store:
        assert list(store.quarantined) == ["s-1"]
        assert complaint in store.quarantined["s-1"][0]


@pytest.mark.parametrize(
    ("database", "key"),
    [
        ("meta", b"epoch"),
        ("meta", b"schema"),
        ("breakers", key_of("command")),
        ("values", key_of("s-1")),
    ],
)
@pytest.mark.parametrize("look", [Store.open, Store.inspect])
def test_damage_that_belongs_to_no_session_refuses_the_state_untouched(
    two_sessions: Path, database: str, key: bytes, look: Callable[[Path], object]
) -> None:
    flip_in(two_sessions, database, key)
    before = (two_sessions / "data" / "data.mdb").read_bytes()

    with pytest.raises(StateDamaged, match=f"record {key.hex()} in {database}"):
        look(two_sessions)

    assert (two_sessions / "data" / "data.mdb").read_bytes() == before


def test_a_broken_structure_is_reported_and_never_given_to_the_engine(two_sessions: Path) -> None:
    file = two_sessions / "data" / "data.mdb"
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])

    with pytest.raises(StateDamaged):
        Store.open(two_sessions)
    report = verify(two_sessions)
    assert report.structure
    assert report.records == {}
    assert not report.intact


@pytest.mark.parametrize("name", ["payloads", "usage"])
def test_a_flipped_bit_in_the_name_of_a_database_is_found(two_sessions: Path, name: str) -> None:
    """Unseen, all of its records would be missing, as if they had never been."""
    file = two_sessions / "data" / "data.mdb"
    content = file.read_bytes()
    flipped = chr(ord(name[0]) ^ 1) + name[1:]
    assert f"\0{name}\0".encode() in content
    file.write_bytes(content.replace(f"\0{name}\0".encode(), f"\0{flipped}\0".encode()))

    with pytest.raises(StateDamaged, match=f"database of the unknown name b'{flipped}'"):
        Store.open(two_sessions)


def test_a_flipped_bit_in_the_kind_of_a_database_is_found(two_sessions: Path) -> None:
    """Unseen, LMDB would compare its keys as integers, and read on for ever."""
    file = two_sessions / "data" / "data.mdb"
    content = bytearray(file.read_bytes())
    place = -1
    # LMDB's record of a database follows its name: 4 bytes of padding, then the kind.
    while (place := content.find(b"\0counters", place + 1)) >= 0:
        content[place + 13] ^= 8
    file.write_bytes(content)

    with pytest.raises(StateDamaged, match="database 'counters' is of the unknown kind"):
        Store.open(two_sessions)


def test_a_file_that_is_no_database_is_reported(two_sessions: Path) -> None:
    (two_sessions / "data" / "data.mdb").write_bytes(b"not a database")

    with pytest.raises(StateDamaged):
        Store.open(two_sessions)


def test_a_state_of_a_newer_schema_is_refused_byte_for_byte_untouched(two_sessions: Path) -> None:
    tamper(two_sessions, "meta", b"schema", seal("meta", b"schema", 1, b"2"), b"schema")
    before = (two_sessions / "data" / "data.mdb").read_bytes()

    for look in (Store.open, Store.inspect, verify, compact):
        with pytest.raises(StateTooNew) as caught:
            look(two_sessions)
        assert (caught.value.found, caught.value.known) == (2, 1)

    assert (two_sessions / "data" / "data.mdb").read_bytes() == before


def test_a_record_of_a_newer_version_is_refused_byte_for_byte_untouched(
    two_sessions: Path,
) -> None:
    tamper(two_sessions, "tasks", TASK_KEY, seal("tasks", TASK_KEY, 2, b"?"), TASK_KEY)
    before = (two_sessions / "data" / "data.mdb").read_bytes()

    with pytest.raises(RecordTooNew):
        Store.open(two_sessions)

    assert (two_sessions / "data" / "data.mdb").read_bytes() == before


def test_a_sealed_value_that_is_no_record_is_damage(two_sessions: Path) -> None:
    tamper(two_sessions, "tasks", TASK_KEY, seal("tasks", TASK_KEY, 1, b"\xc1"), TASK_KEY)

    report = verify(two_sessions)

    assert [damage.session_ids for damage in report.damaged] == [("s-1",)]


def test_damage_since_the_start_is_found_by_the_read(two_sessions: Path) -> None:
    with Store.open(two_sessions) as store:
        environment = store._environment
        with environment.env.begin(write=True) as txn:
            database = environment.databases["tasks"]
            txn.put(TASK_KEY, flip(txn.get(TASK_KEY, b"", db=database)), db=database)
            payloads = environment.databases["payloads"]
            digest = payload_digest(b"s-1")
            txn.put(digest, flip(txn.get(digest, b"", db=payloads)), db=payloads)

        with pytest.raises(RecordDamaged, match="in tasks of session 's-1' is damaged"):
            store.tasks.get("s-1", "task-000002")
        with pytest.raises(RecordDamaged, match="in payloads is damaged"):
            store.payloads.get(digest)


def test_a_backup_of_a_record_damaged_since_the_start_is_refused_and_leaves_nothing(
    two_sessions: Path, tmp_path: Path
) -> None:
    with Store.open(two_sessions) as store:
        environment = store._environment
        with environment.env.begin(write=True) as txn:
            txn.put(TASK_KEY, b"damaged", db=environment.databases["tasks"])

        with pytest.raises(StateDamaged, match="s-1"):
            store.backup(tmp_path / "backup")

    assert list((tmp_path / "backup").iterdir()) == []


def test_a_backup_takes_quarantined_sessions_along(two_sessions: Path, tmp_path: Path) -> None:
    flip_in(two_sessions, "tasks", TASK_KEY)

    with Store.open(two_sessions) as store:
        store.backup(tmp_path / "backup")

    assert stored(tmp_path / "backup", "tasks", TASK_KEY) == stored(two_sessions, "tasks", TASK_KEY)


def test_verify_counts_what_it_checked_and_changes_nothing(two_sessions: Path) -> None:
    before = (two_sessions / "data" / "data.mdb").read_bytes()

    report = verify(two_sessions)

    assert report.intact
    assert (report.records["sessions"], report.records["tasks"]) == (2, 8)
    assert report.records["events"] == 8
    assert report.file_bytes == len(before)
    assert (two_sessions / "data" / "data.mdb").read_bytes() == before


@pytest.mark.parametrize("look", [Store.inspect, verify, compact])
def test_a_missing_state_is_not_created(tmp_path: Path, look: Callable[[Path], object]) -> None:
    with pytest.raises(NotFound, match="no such state"):
        look(tmp_path / "missing")

    assert list(tmp_path.iterdir()) == []


def test_a_session_that_is_only_a_damaged_record_refuses_the_state(state: Path) -> None:
    """Its name could be the damage: nothing sound confirms it."""
    with Store.open(state) as store:
        store.journal.append(Transition(events=[Event("s-1", "started", 0)]))
    flip_in(state, "events", key_of("s-1", 1))

    with pytest.raises(StateDamaged):
        Store.open(state)


NUMBERS = (144, 4096 + 144)
"""Where LMDB keeps the numbers of its last two transactions."""


def renumber(state: Path, which: Callable[..., int], change: int) -> None:
    """Change the number of the last transaction (`max`), or of the one before (`min`)."""
    file = state / "data" / "data.mdb"
    content = bytearray(file.read_bytes())
    numbers = {int.from_bytes(content[at : at + 8], "little"): at for at in NUMBERS}
    number = which(numbers)
    at = numbers[number]
    content[at : at + 8] = (number + change).to_bytes(8, "little")
    file.write_bytes(content)


def test_all_is_there_when_the_last_transaction_of_a_closed_state_is_not(
    two_sessions: Path, make_session: Callable[..., Transition]
) -> None:
    """Its number is as after a commit that has failed at its end: LMDB begins with the one before.

    A disk that has lost the very last write leaves the same.
    """
    with Store.open(two_sessions) as store:
        store.journal.commit(make_session("s-3")).result(WAIT_SECONDS)
    renumber(two_sessions, max, -2)

    assert verify(two_sessions).intact
    with Store.open(two_sessions) as store:
        assert store.require_session("s-3").state == "running"


@pytest.mark.parametrize(("which", "change"), [(min, 2), (min, 64), (max, 2), (max, -4)])
def test_a_number_of_a_transaction_that_cannot_be_is_found(
    two_sessions: Path, which: Callable[..., int], change: int
) -> None:
    renumber(two_sessions, which, change)

    assert not verify(two_sessions).intact
    with pytest.raises(StateDamaged, match="last transaction"):
        Store.open(two_sessions)
