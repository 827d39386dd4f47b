"""A program that comes while its daemon is being started waits for it, and not for nobody."""

import asyncio
import itertools
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from hosted import Hosted
from maestro_runtime import Runtime, RuntimeOptions, connect, connect_async, open_runtime
from maestro_runtime.client import ClientOptions, Patience
from maestro_runtime.client._first_contact import first_contact
from maestro_runtime.daemon import reachable
from maestro_runtime.daemon._gate import RuntimeGate
from maestro_runtime.daemon._server import SocketServer
from maestro_runtime.wire.errors import DaemonUnreachable
from maestro_runtime.wire.line import SOCKET_NAME
from maestro_storage import Store, require_unowned
from maestro_storage.errors import StateOwned


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def served(runtime: Runtime, path: Path, stack: ExitStack) -> None:
    server = SocketServer(path, RuntimeGate(runtime, hosts=True), users=(os.getuid(),))
    stack.callback(server.close)


def at_the_third_look(begin: Callable[[], object]) -> ClientOptions:
    """Return options of a client that lets something begin instead of its third pause."""
    looks = itertools.count(1)

    def wait(_never: threading.Event, _pause_seconds: float) -> bool:
        if next(looks) == 3:
            begin()
        return False

    return ClientOptions(patience=Patience(wait=wait))


def stale(path: Path) -> None:
    """Leave the socket of a daemon that was killed."""
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))


def test_a_daemon_that_was_killed_and_is_started_again_is_waited_for(tmp_path: Path) -> None:
    hosted = Hosted(tmp_path)
    stale(hosted.socket)

    with connect(hosted.socket, options=at_the_third_look(hosted.start)) as client:
        assert client.welcome.pid == os.getpid()
    hosted.stop()


def test_an_owner_that_does_not_listen_yet_is_waited_for(tmp_path: Path, stack: ExitStack) -> None:
    state = tmp_path / "state"
    runtime = stack.enter_context(Runtime(state, RuntimeOptions()))

    options = at_the_third_look(lambda: served(runtime, state / SOCKET_NAME, stack))

    with connect(state_dir=state, options=options) as client:
        assert client.welcome.pid == os.getpid()


def test_so_it_is_by_a_program_of_asyncio(tmp_path: Path, stack: ExitStack) -> None:
    state = tmp_path / "state"
    runtime = stack.enter_context(Runtime(state, RuntimeOptions()))
    options = at_the_third_look(lambda: served(runtime, state / SOCKET_NAME, stack))

    async def program() -> None:
        async with connect_async(state_dir=state, options=options) as client:
            await client.keep_values({"came": b"1"})

    asyncio.run(program())
    assert runtime.store.values.get("came") is not None


@pytest.mark.parametrize("place", ["state", "none/state", "file/state"])
def test_where_nobody_is_on_the_way_nobody_is_waited_for(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    with open_runtime(tmp_path / "state"):
        pass

    with pytest.raises(DaemonUnreachable):
        connect(state_dir=tmp_path / place, options=ClientOptions(Patience(wait=_never)))


def _never(_event: threading.Event, pause_seconds: float) -> bool:
    raise AssertionError(f"waited for {pause_seconds} s")


@pytest.mark.parametrize("left", ["nothing", "a socket"])
def test_a_program_that_embeds_a_runtime_and_does_not_listen_is_not_waited_for(
    tmp_path: Path, left: str
) -> None:
    tmp_path.joinpath("state").mkdir()
    if left == "a socket":
        stale(tmp_path / "state" / SOCKET_NAME)

    with open_runtime(tmp_path / "state"), pytest.raises(DaemonUnreachable):
        connect(state_dir=tmp_path / "state", options=ClientOptions(Patience(wait=_never)))


def test_an_owner_that_hangs_on_its_way_is_waited_for_in_vain_and_not_for_ever(
    tmp_path: Path,
) -> None:
    state = tmp_path / "state"
    seconds = itertools.count()
    patience = Patience(coming_seconds=7.0, now=lambda: float(next(seconds)), wait=lambda *_: False)

    with Store.open(state), pytest.raises(DaemonUnreachable, match="No such file"):
        connect(state_dir=state, options=ClientOptions(patience))

    # One look at the clock to begin with, and one before each pause but the last.
    assert next(seconds) == 8


def test_what_a_try_takes_beside_a_process_that_stands_still_counts_as_waiting() -> None:
    seconds = 0.0

    def connect_slowly() -> None:
        nonlocal seconds
        seconds += 5
        raise DaemonUnreachable("here", "timed out") from TimeoutError()

    patience = Patience(coming_seconds=10.0, now=lambda: seconds, wait=lambda *_: False)
    with pytest.raises(DaemonUnreachable, match="timed out"):
        first_contact(connect_slowly, lambda _: True, patience)

    assert seconds == 10


def test_whoever_finds_no_place_for_his_socket_says_that_he_does_not_listen(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / SOCKET_NAME).touch()

    with (
        Runtime(tmp_path, RuntimeOptions()) as runtime,
        reachable(runtime),
        pytest.raises(StateOwned, match="which does not listen"),
    ):
        require_unowned(tmp_path)

    assert "others cannot look at this state" in caplog.text


def test_a_name_that_is_too_long_for_a_socket_is_told_with_its_rule(tmp_path: Path) -> None:
    path = tmp_path / ("s" * 86)

    with pytest.raises(DaemonUnreachable, match="its name must have at most 85 bytes, got 86"):
        connect(path)


def test_a_socket_may_lie_as_deep_as_it_likes_and_have_a_long_name(
    tmp_path: Path, stack: ExitStack
) -> None:
    deep = tmp_path.joinpath(*["deep" * 10] * 10)
    deep.mkdir(parents=True)
    runtime = stack.enter_context(open_runtime(deep / "state"))
    for path in (deep / "state" / SOCKET_NAME, deep / ("s" * 85)):
        served(runtime, path, stack)

        with connect(path) as client:
            assert client.welcome.pid == os.getpid()


def test_whoever_looks_who_owns_a_state_takes_nothing(tmp_path: Path) -> None:
    require_unowned(tmp_path)
    with open_runtime(tmp_path), pytest.raises(StateOwned, match=f"pid {os.getpid()}"):
        require_unowned(tmp_path)
    require_unowned(tmp_path)
    with open_runtime(tmp_path):
        pass
