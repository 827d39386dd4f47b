import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from maestro_storage import Store, StoreOptions, _ownership
from maestro_storage.errors import NetworkFileSystem, StateNotWritable, StoreFailed
from maestro_storage.transition import Transition

WAIT_SECONDS = 20
"""Safety net; no test waits that long unless it fails."""


def test_everything_in_the_state_is_for_its_owner_only(
    state: Path, open_store: Callable[..., Store]
) -> None:
    before = os.umask(0)
    try:
        open_store()
    finally:
        os.umask(before)

    modes = {path: path.stat().st_mode & 0o777 for path in [state, *state.rglob("*")]}
    assert {path for path, mode in modes.items() if mode == 0o700} == {state, state / "data"}
    assert {path for path, mode in modes.items() if mode == 0o600} == {
        state / "owner.lock",
        state / "ballast",
        state / "data" / "data.mdb",
        state / "data" / "lock.mdb",
    }


def test_programs_we_start_do_not_inherit_the_data_file(
    state: Path, open_store: Callable[..., Store]
) -> None:
    open_store()
    data = (state / "data" / "data.mdb").stat().st_ino

    flags = [
        fcntl.fcntl(int(entry.name), fcntl.F_GETFD)
        for entry in Path("/proc/self/fd").iterdir()
        if entry.exists() and entry.stat().st_ino == data
    ]

    assert flags
    assert all(flag & fcntl.FD_CLOEXEC for flag in flags)


def test_every_start_raises_the_epoch_and_keeps_the_identity(
    open_store: Callable[..., Store],
) -> None:
    seen: list[tuple[int, str]] = []
    for _ in range(3):
        with open_store() as store:
            seen.append((store.epoch, store.state_id))

    assert [epoch for epoch, _ in seen] == [1, 2, 3]
    assert len({state_id for _, state_id in seen}) == 1
    assert len(seen[0][1]) == 32


def test_looking_changes_no_data_and_raises_no_epoch(
    state: Path, open_store: Callable[..., Store], make_session: Callable[..., Transition]
) -> None:
    store = open_store()
    store.journal.append(make_session())
    store.close()
    data = state / "data"
    before = {file.name: file.read_bytes() for file in data.iterdir()}

    with Store.inspect(state) as view:
        assert view.require_session("s-1").team_name == "team"
        assert view.info().epoch == view.epoch == 1

    assert {file.name: file.read_bytes() for file in data.iterdir()} == before


def test_the_figures_of_an_open_store(
    open_store: Callable[..., Store], state: Path, make_session: Callable[..., Transition]
) -> None:
    store = open_store()
    store.journal.commit(make_session()).result(WAIT_SECONDS)

    info = store.info()

    assert (info.path, info.schema, info.epoch, info.degraded) == (str(state), 1, 1, "")
    assert (info.counts["sessions"], info.counts["events"], info.counts["payloads"]) == (1, 1, 1)
    assert 0 < info.used_bytes <= info.file_bytes
    assert (info.map_bytes, info.quota_bytes) == (64 << 30, 8 << 30)
    assert (info.lmdb_version, info.lmdb_patched) == ("0.9.36", True)


def test_a_state_on_a_network_file_system_is_refused_and_nothing_created(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_ownership, "network_kind", lambda *_: "nfs4")

    with pytest.raises(NetworkFileSystem):
        Store.open(state)

    assert not state.exists()


def test_a_data_directory_that_is_not_ours_is_refused(state: Path) -> None:
    (state / "data").mkdir(parents=True)
    (state / "data" / "something").write_text("")

    with pytest.raises(StoreFailed, match="not empty"):
        Store.open(state)


def test_a_failed_start_leaves_the_lock_free(state: Path) -> None:
    (state / "ballast").mkdir(parents=True)
    with pytest.raises((StoreFailed, StateNotWritable)):
        Store.open(state)
    (state / "ballast").rmdir()

    with Store.open(state, options=StoreOptions(ballast_bytes=4096)) as store:
        assert store.degraded == ""
