"""What a service manager with no room hears all the same."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from maestro_runtime.daemon._notifier import Notifier

BOUND_SECONDS = 20.0

PATIENCE_SECONDS = 0.2
"""Long enough for who does not wait to be through."""


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(BOUND_SECONDS)
        yield manager


def filled(notifier: Notifier, caplog: pytest.LogCaptureFixture) -> int:
    """Tell of statuses until there is no room for another; return how many were taken."""
    count = 0
    while not caplog.records:
        notifier.tell(STATUS=f"{count}")
        count += 1
    return count - 1


def test_a_status_that_finds_no_room_is_dropped_and_logged(
    manager: socket.socket, caplog: pytest.LogCaptureFixture
) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": manager.getsockname()})

    taken = filled(notifier, caplog)

    assert taken > 0
    assert "cannot be told ['STATUS']" in caplog.text
    assert [manager.recv(100) for _ in range(taken)][-1] == f"STATUS={taken - 1}".encode()


def test_that_it_is_ready_waits_for_room(
    manager: socket.socket, caplog: pytest.LogCaptureFixture
) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": manager.getsockname()})
    taken = filled(notifier, caplog)
    caplog.clear()
    telling = threading.Thread(target=lambda: notifier.tell(READY=1))
    telling.start()
    telling.join(PATIENCE_SECONDS)
    assert telling.is_alive()

    heard = [manager.recv(100) for _ in range(taken + 1)]

    telling.join(BOUND_SECONDS)
    assert heard[-1] == b"READY=1"
    assert not caplog.records
