from collections.abc import Callable

import pytest

from maestro_storage import Store, _repository
from maestro_storage.errors import NotFound
from maestro_storage.records import CallRecord
from maestro_storage.rows import Row
from maestro_storage.transition import Transition, payload_digest

WAIT_SECONDS = 20
"""Safety net; no test waits that long unless it fails."""


@pytest.fixture
def filled(
    open_store: Callable[..., Store],
    make_session: Callable[..., Transition],
    make_task: Callable[..., Transition],
) -> Store:
    """Return a store with the sessions a, aa and b of eleven tasks each."""
    store = open_store()
    for name in ("a", "aa", "b"):
        store.journal.append(make_session(name))
        for number in range(1, 11):
            store.journal.append(make_task(number, name))
    store.journal.settle(WAIT_SECONDS)
    return store


def test_a_record_is_found_by_its_key_and_by_nothing_else(filled: Store) -> None:
    task = filled.tasks.get("a", "task-000003")

    assert task is not None
    assert (task.session_id, task.ordinal) == ("a", 3)
    assert filled.tasks.get("a", "task-00000") is None
    assert filled.tasks.get("a") is None


@pytest.mark.parametrize("page", [1, 3, 11, 256])
def test_a_scan_yields_all_under_its_prefix_in_key_order(
    filled: Store, page: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_repository, "PAGE_RECORDS", page)

    assert [task.ordinal for task in filled.tasks.scan("a")] == [*range(11)]
    assert [event.sequence for event in filled.events.scan("aa")] == [*range(1, 12)]
    assert sum(1 for _ in filled.tasks.scan()) == 33
    assert list(filled.tasks.scan("c")) == []


@pytest.mark.parametrize("page", [2, 256])
def test_a_scan_goes_on_after_a_key_part_and_stops_at_its_limit(
    filled: Store, page: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_repository, "PAGE_RECORDS", page)

    later = [event.sequence for event in filled.events.scan("a", after=8)]
    some = [event.sequence for event in filled.events.scan("a", after=2, limit=3)]
    tasks = [task.ordinal for task in filled.tasks.scan("a", after="task-000009")]
    sessions = [session.session_id for session in filled.sessions.scan(after="a")]

    assert (later, some, tasks) == ([9, 10, 11], [3, 4, 5], [10])
    assert sessions == ["aa", "b"]
    assert list(filled.events.scan("a", limit=0)) == []


def test_a_scan_holds_no_snapshot_while_its_caller_works(
    filled: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_repository, "PAGE_RECORDS", 2)
    scan = filled.tasks.scan("a")
    next(scan)
    readers = filled._environment.env.info()["num_readers"]

    deleted = Transition()
    for task in filled.tasks.scan("a"):
        deleted.delete(task)
    filled.journal.commit(deleted).result(WAIT_SECONDS)

    assert [task.ordinal for task in scan] == [1]
    assert filled._environment.env.info()["num_readers"] == readers


def test_a_scan_of_few_records_reads_once_and_no_record_of_others(
    filled: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = []
    read = filled.tasks._rows.page

    def counted(database: str, prefix: bytes, position: bytes, limit: int) -> list[Row]:
        pages.append(read(database, prefix, position, limit))
        return pages[-1]

    monkeypatch.setattr(filled.tasks._rows, "page", counted)

    found = list(filled.tasks.scan("a"))

    assert [len(page) for page in pages] == [len(found)] == [11]


def test_a_scan_after_a_binary_key_part_is_exact(open_store: Callable[..., Store]) -> None:
    store, transition = open_store(), Transition()
    call_ids = [bytes(15) + b"\xff", bytes(14) + b"\x01\x00", b"\xff" * 16]
    for call_id in call_ids:
        transition.put(
            CallRecord(
                session_id="s",
                call_id=call_id,
                task_id="t",
                persona_id="p",
                engine="e",
                round=1,
                attempt=1,
                state="open",
                reserved_tokens=1,
            )
        )
    store.journal.commit(transition).result(WAIT_SECONDS)

    after = [[call.call_id for call in store.calls.scan("s", after=key)] for key in call_ids]

    assert after == [call_ids[1:], call_ids[2:], []]


def test_counts_are_by_prefix(filled: Store) -> None:
    assert (filled.tasks.count(), filled.tasks.count("aa"), filled.tasks.count("c")) == (33, 11, 0)


def test_a_deleted_record_is_gone_and_an_overwritten_one_is_new(
    filled: Store, make_task: Callable[..., Transition]
) -> None:
    task = filled.tasks.get("a", "task-000001")
    assert task is not None
    transition = make_task(2, "a")
    transition.delete(task)

    filled.journal.commit(transition).result(WAIT_SECONDS)

    assert filled.tasks.get("a", "task-000001") is None
    assert filled.tasks.count("a") == 10


def test_payloads_are_found_by_digest_and_stored_once(filled: Store) -> None:
    assert filled.payloads.get(payload_digest(b"team")) == b"team"
    assert filled.payloads.get(payload_digest(b"other")) is None
    assert filled.info().counts["payloads"] == 1
    assert filled.info().counts["references"] == 6


def test_an_unknown_session_is_not_found(filled: Store) -> None:
    with pytest.raises(NotFound, match="no such session: 'c'"):
        filled.require_session("c")
