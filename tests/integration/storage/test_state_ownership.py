import fcntl
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from maestro_storage import Store, _ownership, verify
from maestro_storage._ownership import Ownership, require_unowned
from maestro_storage.errors import StateNotWritable, StateOwned

OWN = """
import sys
from maestro_storage import Store
store = Store.open(sys.argv[1])
print("owned")
sys.stdin.read()
"""


def test_a_second_process_is_refused_in_under_a_second_and_told_the_holder(
    state: Path, start_child: Callable[..., subprocess.Popen[str]]
) -> None:
    child = start_child(OWN, str(state))
    assert child.stdout is not None
    assert child.stdout.readline() == "owned\n"

    tries_seconds = []
    for _ in range(5):
        started = time.monotonic()
        with pytest.raises(StateOwned) as caught:
            Store.open(state)
        tries_seconds.append(time.monotonic() - started)

    # The others may have waited for the machine.
    assert min(tries_seconds) < 1
    assert caught.value.pid == child.pid
    assert caught.value.host == socket.gethostname()
    assert caught.value.started


def test_after_sigkill_of_the_owner_the_next_start_takes_over(
    state: Path, start_child: Callable[..., subprocess.Popen[str]]
) -> None:
    child = start_child(OWN, str(state))
    assert child.stdout is not None
    assert child.stdout.readline() == "owned\n"
    child.kill()
    child.wait()

    with Store.open(state) as store:
        assert store.epoch == 2


@pytest.fixture
def bereaved(state: Path, start_child: Callable[..., subprocess.Popen[str]]) -> Iterator[BinaryIO]:
    """The lock of an owner who was killed, as a child has it that has not begun its program."""
    child = start_child(OWN, str(state))
    assert child.stdout is not None
    assert child.stdout.readline() == "owned\n"
    child.kill()
    child.wait()
    with (state / "owner.lock").open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield held


@pytest.mark.parametrize("look", [Ownership, require_unowned])
def test_a_lock_that_its_dead_holder_has_left_to_a_child_is_waited_for(
    state: Path,
    bereaved: BinaryIO,
    look: Callable[[Path], object],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The child begins its program while we pause.
    monkeypatch.setattr(time, "sleep", lambda _: bereaved.close())

    look(state)

    assert bereaved.closed


@pytest.mark.parametrize("look", [Ownership, require_unowned])
def test_a_lock_that_a_dead_holder_has_left_for_long_is_refused(
    state: Path,
    bereaved: BinaryIO,
    look: Callable[[Path], object],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_ownership, "BEREAVED_SECONDS", 0.0)

    with pytest.raises(StateOwned, match="is owned by pid"):
        look(state)

    assert not bereaved.closed


def test_who_only_looks_keeps_nobody_out_though_the_last_owner_lives(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Ownership(state).close()
    with (state / "owner.lock").open("rb") as looked_at:
        fcntl.flock(looked_at, fcntl.LOCK_SH)
        monkeypatch.setattr(time, "sleep", lambda _: looked_at.close())

        Ownership(state).close()

        assert looked_at.closed


def test_a_living_holder_is_not_waited_for(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def wait(_seconds: float) -> None:
        raise AssertionError("it waits")

    with Store.open(state):
        monkeypatch.setattr(time, "sleep", wait)

        with pytest.raises(StateOwned, match=f"pid {os.getpid()}"):
            Ownership(state)


@pytest.mark.parametrize("look", [Store.open, Store.inspect, verify])
def test_every_way_in_respects_the_owner(state: Path, look: Callable[[Path], object]) -> None:
    with Store.open(state), pytest.raises(StateOwned, match=f"pid {os.getpid()}"):
        look(state)


def test_an_owner_without_a_name_is_reported_as_such(state: Path) -> None:
    state.mkdir()
    with (state / "owner.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)

        with pytest.raises(StateOwned) as caught:
            Ownership(state)

    assert caught.value.pid == 0


def test_an_owner_that_does_not_listen_says_so_and_the_next_one_says_it_anew(state: Path) -> None:
    with Store.open(state) as store:
        with pytest.raises(StateOwned) as on_its_way:
            require_unowned(state)
        store.stay_silent()
        with pytest.raises(StateOwned) as silent:
            require_unowned(state)
    with Store.open(state), pytest.raises(StateOwned) as following:
        require_unowned(state)

    said = [caught.value.is_silent for caught in (on_its_way, silent, following)]
    assert said == [False, True, False]
    assert silent.value.args[:-1] == on_its_way.value.args[:-1]


def test_an_owner_that_is_about_to_go_no_longer_says_that_it_does_not_listen(state: Path) -> None:
    with Store.open(state) as store:
        store.stay_silent()
        store.take_leave()
        with pytest.raises(StateOwned) as caught:
            require_unowned(state)

    assert (caught.value.pid, caught.value.is_silent) == (os.getpid(), False)


def test_the_next_owner_is_not_taken_for_the_silent_one_before_he_has_given_his_name(
    state: Path,
) -> None:
    with Store.open(state) as store:
        store.stay_silent()

    with (state / "owner.lock").open("r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(StateOwned) as caught:
            require_unowned(state)

    assert (caught.value.pid, caught.value.is_silent) == (os.getpid(), False)


def test_an_owner_of_a_version_that_does_not_say_whether_it_listens_may_be_on_its_way(
    state: Path,
) -> None:
    state.mkdir()
    with (state / "owner.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(f'{{"pid":{os.getpid()},"host":"h","boot_id":"b","started":"s"}}')
        file.flush()

        with pytest.raises(StateOwned) as caught:
            require_unowned(state)

    assert (caught.value.pid, caught.value.is_silent) == (os.getpid(), False)


def test_a_directory_that_cannot_be_created_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(StateNotWritable, match=r"Not a directory.*MAESTRO_STATE_DIR"):
        Ownership(tmp_path / "file" / "state")


def test_the_lock_file_is_not_followed_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "owner.lock").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(StateNotWritable):
        Ownership(tmp_path)
    assert not (tmp_path / "elsewhere").exists()


def test_the_lock_is_private_and_not_inherited(state: Path) -> None:
    ownership = Ownership(state)

    assert (state / "owner.lock").stat().st_mode & 0o777 == 0o600
    assert not os.get_inheritable(ownership._descriptor)
    ownership.close()
    Ownership(state).close()
