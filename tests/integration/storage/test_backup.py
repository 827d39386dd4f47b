import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from maestro_storage import Store, StoreOptions, compact, verify
from maestro_storage.errors import BackupTargetNotEmpty, StateNotWritable, StateOwned, StoreClosed
from maestro_storage.transition import Transition

WAIT_SECONDS = 20
"""Safety net; no test waits that long unless it fails."""


def test_a_backup_is_a_state_directory_with_everything_committed(
    tmp_path: Path,
    open_store: Callable[..., Store],
    make_session: Callable[..., Transition],
    make_task: Callable[..., Transition],
) -> None:
    store = open_store()
    store.journal.append(make_session())
    for number in range(1, 50):
        store.journal.append(make_task(number))
    store.journal.settle(WAIT_SECONDS)
    target = tmp_path / "backups" / "one"

    store.backup(target)

    assert verify(target).intact
    with Store.open(target) as restored:
        assert list(restored.tasks.scan()) == list(store.tasks.scan())
        assert list(restored.events.scan()) == list(store.events.scan())
        assert restored.state_id == store.state_id
        assert restored.epoch == store.epoch + 1
    assert (target / "data").stat().st_mode & 0o777 == 0o700
    assert (target / "data" / "data.mdb").stat().st_mode & 0o777 == 0o600


def test_a_backup_under_load_is_one_consistent_snapshot(
    tmp_path: Path, open_store: Callable[..., Store], make_task: Callable[..., Transition]
) -> None:
    store, stop = open_store(), threading.Event()

    def append() -> None:
        number = 0
        while not stop.is_set():
            store.journal.commit(make_task(number)).result(WAIT_SECONDS)
            number += 1

    writer = threading.Thread(target=append)
    writer.start()
    for number in range(5):
        store.backup(tmp_path / str(number))
    stop.set()
    writer.join(WAIT_SECONDS)

    for number in range(5):
        with Store.inspect(tmp_path / str(number)) as view:
            assert view.quarantined == {}
            assert view.tasks.count() == view.events.count()


def test_a_backup_writes_over_nothing(tmp_path: Path, open_store: Callable[..., Store]) -> None:
    target = tmp_path / "target"
    target.mkdir()
    (target / "precious").write_text("kept")

    with pytest.raises(BackupTargetNotEmpty):
        open_store().backup(target)

    assert [file.name for file in target.iterdir()] == ["precious"]


def test_a_backup_to_a_place_that_is_no_directory_is_refused(
    tmp_path: Path, open_store: Callable[..., Store]
) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises((StateNotWritable, BackupTargetNotEmpty)):
        open_store().backup(tmp_path / "file")


def test_a_state_that_is_only_looked_at_can_be_backed_up(
    tmp_path: Path, state: Path, open_store: Callable[..., Store]
) -> None:
    open_store().close()
    with Store.inspect(state) as view:
        view.backup(tmp_path / "target")

    with pytest.raises(StoreClosed):
        view.backup(tmp_path / "another")
    assert verify(tmp_path / "target").intact


def test_compaction_gives_free_pages_back_and_keeps_every_record(
    state: Path, open_store: Callable[..., Store], make_session: Callable[..., Transition]
) -> None:
    store = open_store()
    done = make_session("s-1", "done", finished_ms=0)
    done.payload("s-1", bytes(4 << 20))
    store.journal.append(done)
    store.journal.commit(make_session("s-2")).result(WAIT_SECONDS)
    store.retain(1 << 50)
    store.close()
    before = verify(state)

    saved_bytes = compact(state)

    after = verify(state)
    assert saved_bytes == before.file_bytes - after.file_bytes > 4 << 20
    assert after.records == before.records
    assert {file.name for file in state.iterdir()} == {"data", "owner.lock", "ballast"}
    with Store.open(state) as store:
        assert store.epoch == 2
        assert [session.session_id for session in store.sessions.scan()] == ["s-2"]


def test_compaction_starts_over_after_a_crash_in_the_middle(
    state: Path, open_store: Callable[..., Store]
) -> None:
    open_store().close()
    leftover = state / "compact" / "data"
    leftover.mkdir(parents=True)
    (leftover / "data.mdb").write_bytes(b"half a copy")

    compact(state)

    assert not (state / "compact").exists()
    assert verify(state).intact


def test_creation_starts_over_after_a_crash_in_the_middle(
    state: Path, open_store: Callable[..., Store]
) -> None:
    (state / "data.new").mkdir(parents=True)
    (state / "data.new" / "data.mdb").write_bytes(b"half a page")

    open_store()

    assert not (state / "data.new").exists()


def test_a_state_in_use_is_not_compacted(state: Path, open_store: Callable[..., Store]) -> None:
    open_store(StoreOptions(ballast_bytes=4096))

    with pytest.raises(StateOwned):
        compact(state)
