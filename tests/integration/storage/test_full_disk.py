import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from maestro_storage import Store, StoreOptions, StorePorts, verify
from maestro_storage._ballast import Ballast
from maestro_storage.errors import QuotaExceeded, StorageError, StoreFull
from maestro_storage.transition import Payload, Transition

WAIT_SECONDS = 20
"""Safety net; no test waits that long unless it fails."""

BALLAST_BYTES = 256 << 10


def payload(number: int) -> Transition:
    return Transition(payloads=(Payload("s-1", number.to_bytes(8, "big") * 500),))


def fill(store: Store, until: threading.Event, acknowledged: list[int]) -> None:
    """Commit payloads one by one until `until` is set, and note those acknowledged."""
    while not until.is_set():
        store.journal.commit(payload(len(acknowledged))).result(WAIT_SECONDS)
        acknowledged.append(len(acknowledged))


def fill_file(path: Path) -> None:
    """Write a file until the disk is full."""
    with path.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a file system of 4 MiB."""
    path = tmp_path / "disk"
    path.mkdir()
    mount = ["/bin/mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(path)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("mounting a small file system needs root; the file size limit is tested anyway")
    yield path
    subprocess.run(["/bin/umount", str(path)], check=True)


def test_a_full_map_fails_the_batch_and_keeps_what_was_acknowledged(
    state: Path, open_store: Callable[..., Store]
) -> None:
    failures: list[StorageError] = []
    options = StoreOptions(map_bytes=1 << 20, ballast_bytes=BALLAST_BYTES)
    store = open_store(options, on_failure=failures.append)
    acknowledged: list[int] = []

    with pytest.raises(StoreFull, match="MDB_MAP_FULL"):
        fill(store, threading.Event(), acknowledged)

    with pytest.raises(StoreFull):
        store.journal.append(payload(0))
    store.close()
    assert [type(failure) for failure in failures] == [StoreFull]
    report = verify(state)
    assert report.intact
    assert report.records["payloads"] == len(acknowledged) > 0


def test_a_full_disk_costs_the_ballast_first_and_then_nothing_acknowledged(
    small_disk: Path,
) -> None:
    state, degraded = small_disk / "state", threading.Event()
    failed: Future[StorageError] = Future()
    reasons: list[str] = []
    acknowledged: list[int] = []

    def on_degraded(reason: str) -> None:
        reasons.append(reason)
        degraded.set()

    options = StoreOptions(ballast_bytes=BALLAST_BYTES)
    with open_on(state, options, on_degraded=on_degraded, on_failure=failed.set_result) as store:
        before = store.degraded, (state / "ballast").stat().st_blocks * 512
        fill(store, degraded, acknowledged)
        after = store.degraded, (state / "ballast").exists()
        with pytest.raises(StoreFull):
            fill(store, threading.Event(), acknowledged)

    assert before == ("", BALLAST_BYTES)
    assert after == (reasons[0], False)
    assert "No space left on device" in reasons[0]
    assert len(reasons) == 1
    assert isinstance(failed.result(0), StoreFull)
    with Store.inspect(state) as view:
        assert view.info().counts["payloads"] == len(acknowledged)


def test_the_store_recovers_without_a_restart_when_there_is_room_again(small_disk: Path) -> None:
    state, degraded = small_disk / "state", threading.Event()
    filler = small_disk / "filler"
    filler.write_bytes(bytes(2 << 20))
    options = StoreOptions(ballast_bytes=BALLAST_BYTES)
    with open_on(state, options, on_degraded=lambda _: degraded.set()) as store:
        fill(store, degraded, [])
        store.check_room()
        still_degraded = store.degraded
        filler.unlink()

        store.check_room()

        assert still_degraded
        assert store.degraded == ""
        assert (state / "ballast").stat().st_size == BALLAST_BYTES
        store.journal.commit(payload(999)).result(WAIT_SECONDS)


def test_the_ballast_is_only_taken_where_as_much_again_stays_free(small_disk: Path) -> None:
    ballast = Ballast(small_disk, BALLAST_BYTES)
    filler = small_disk / "filler"
    filler.write_bytes(bytes((4 << 20) - BALLAST_BYTES * 3 // 2))

    ballast.restore()
    taken_early = ballast.path.exists()
    filler.unlink()
    ballast.restore()

    assert not taken_early
    assert ballast.path.exists()
    assert ballast.missing_because == ""


def test_a_store_opens_on_a_full_disk(small_disk: Path) -> None:
    state = small_disk / "state"
    options = StoreOptions(ballast_bytes=BALLAST_BYTES)
    open_on(state, options).close()
    with pytest.raises(OSError, match="No space"):
        fill_file(small_disk / "filler")

    with open_on(state, options) as store:
        assert store.epoch == 2
        store.journal.commit(payload(0)).result(WAIT_SECONDS)


def test_a_limit_on_file_size_keeps_what_was_acknowledged(
    state: Path, start_child: Callable[..., subprocess.Popen[str]]
) -> None:
    program = """
import resource, sys
from maestro_storage import Store, StoreOptions
from maestro_storage._ballast import Ballast
from maestro_storage.errors import StoreFull
from maestro_storage.transition import Payload, Transition
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
store = Store.open(sys.argv[1], options=StoreOptions(ballast_bytes=1 << 16))
number = 0
try:
    while True:
        content = number.to_bytes(8, "big") * 500
        store.journal.commit(Transition(payloads=(Payload("s-1", content),))).result(20)
        number += 1
except StoreFull as error:
    print(number, store.degraded != "", "File too large" in str(error))
store.close()
"""
    child = start_child(program, str(state))

    output, _ = child.communicate(timeout=WAIT_SECONDS)

    acknowledged, degraded, explained = output.split()
    assert (degraded, explained) == ("True", "True")
    report = verify(state)
    assert report.intact
    assert report.records["payloads"] == int(acknowledged) > 0


def test_no_new_session_is_admitted_beyond_the_quota(open_store: Callable[..., Store]) -> None:
    store = open_store(StoreOptions(quota_bytes=1 << 20, ballast_bytes=BALLAST_BYTES))
    store.check_room()

    store.journal.commit(Transition(payloads=(Payload("s", bytes(1 << 20)),))).result(WAIT_SECONDS)

    with pytest.raises(QuotaExceeded) as caught:
        store.check_room()
    assert caught.value.quota_bytes == 1 << 20
    assert caught.value.used_bytes > 1 << 20


def test_deleted_records_do_not_count_against_the_quota(
    open_store: Callable[..., Store], make_session: Callable[..., Transition]
) -> None:
    store = open_store(StoreOptions(quota_bytes=1 << 20, ballast_bytes=BALLAST_BYTES))
    done = make_session("s-1", "done", finished_ms=0, payload=bytes(1 << 20))
    store.journal.commit(done).result(WAIT_SECONDS)

    store.retain(1 << 50)

    store.check_room()


def open_on(path: Path, options: StoreOptions, **ports: Any) -> Store:
    return Store.open(path, options=options, ports=StorePorts(**ports))
