import fcntl
import os
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from maestro_storage import Store, verify
from maestro_storage._ownership import Ownership
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
