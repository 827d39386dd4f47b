"""A daemon on a machine that is short of descriptors or threads."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from maestro_runtime import RuntimeOptions, open_runtime
from maestro_runtime.config.daemon import DaemonFlags, resolve_daemon
from maestro_runtime.daemon import Daemon, SocketInUse, _process
from maestro_runtime.daemon._gate import RuntimeGate
from maestro_runtime.daemon._server import SocketServer
from maestro_storage import Store
from procfs import descriptors
from scarce import no_thread

USERS = (os.getuid(),)


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[RuntimeGate]:
    with open_runtime(tmp_path / "state") as runtime:
        yield RuntimeGate(runtime)


def test_a_server_that_gets_no_thread_leaves_no_descriptor_and_no_socket(
    tmp_path: Path, gate: RuntimeGate
) -> None:
    path = tmp_path / "socket"
    before = descriptors(os.getpid())

    with no_thread("socket"), pytest.raises(RuntimeError, match="can't start new thread"):
        SocketServer(path, gate, USERS)

    assert descriptors(os.getpid()) == before
    assert not path.exists()


def test_a_daemon_without_threads_of_its_own_closes_the_state_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def listening(path: Path, *_: object, **__: object) -> None:
        raise SocketInUse(str(path))

    monkeypatch.setattr(_process, "SocketServer", listening)
    settings = resolve_daemon(DaemonFlags(state_dir=str(tmp_path)), {})

    with no_thread("daemon"), pytest.raises(SocketInUse):
        Daemon(lambda: settings, RuntimeOptions(), {}).run()

    # Owned by nobody any more.
    with Store.inspect(tmp_path) as store:
        assert list(store.sessions.scan()) == []
