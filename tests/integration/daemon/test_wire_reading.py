"""What is on record reads the same through the socket as in the process that has it open."""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from threading import Event, Thread

import msgspec
import pytest

from daemon_team import TEAM
from maestro_runtime import Runtime, SessionOrder, open_runtime
from maestro_runtime.daemon._gate import RuntimeGate
from maestro_runtime.daemon._server import SocketServer
from maestro_runtime.daemon.errors import SocketInUse, SocketUnusable
from maestro_runtime.wire import records
from maestro_runtime.wire.errors import DaemonUnreachable, PeerRefused, RequestInvalid
from maestro_runtime.wire.frames import PROTOCOL, Reply, Welcome, packed
from maestro_runtime.wire.line import Line
from maestro_runtime.wire.records import RECORDS_ADDRESS, LineRows
from maestro_storage import Records
from maestro_storage.transition import Transition

BOUND_SECONDS = 20.0

Serve = Callable[[Path], SocketServer]


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[Runtime]:
    with open_runtime(tmp_path / "state") as runtime:
        runtime.run(SessionOrder(TEAM, "s-1", tmp_path / "output")).result(BOUND_SECONDS)
        yield runtime


@pytest.fixture
def serve(runtime: Runtime) -> Iterator[Serve]:
    servers = []

    def start(path: Path, users: tuple[int, ...] = (os.getuid(),)) -> SocketServer:
        servers.append(SocketServer(path, RuntimeGate(runtime), users))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def line(tmp_path: Path, serve: Serve) -> Iterator[Line]:
    serve(tmp_path / "socket")
    with Line(tmp_path / "socket") as line:
        yield line


def through(line: Line) -> Records:
    welcome = line.welcome
    return Records(LineRows(line), epoch=welcome.epoch, quarantined=welcome.quarantined)


def test_every_kind_of_record_reads_the_same_through_the_socket(
    runtime: Runtime, line: Line
) -> None:
    remote, local = through(line), runtime.store

    for kind in ("sessions", "tasks", "attempts", "calls", "budgets", "events", "checkpoints"):
        here, there = getattr(local, kind), getattr(remote, kind)
        assert list(there.scan()) == list(here.scan()) != []
        assert there.count("s-1") == here.count("s-1") > 0
    session = remote.require_session("s-1")
    assert remote.payloads.require(session.team) == runtime.store.payloads.require(session.team)
    assert remote.sessions.get("s-2") is None


def test_a_value_longer_than_a_frame_comes_whole(runtime: Runtime, line: Line) -> None:
    content = os.urandom(3 << 20)
    draft = Transition()
    digest = draft.payload("s-1", content)
    runtime.store.journal.commit(draft).result(BOUND_SECONDS)

    assert through(line).payloads.require(digest) == content


@pytest.mark.parametrize("room_bytes", [1, 300, 4000])
def test_a_page_that_does_not_fit_into_an_answer_comes_in_several(
    runtime: Runtime, line: Line, monkeypatch: pytest.MonkeyPatch, room_bytes: int
) -> None:
    monkeypatch.setattr(records, "PIECE_BYTES_MAX", room_bytes)

    assert list(through(line).events.scan("s-1")) == list(runtime.store.events.scan("s-1"))


def test_a_request_that_is_none_is_refused_and_the_line_goes_on(line: Line) -> None:
    for address, message in (
        (RECORDS_ADDRESS, b"\xc1"),
        ("urn:maestro:accountant", msgspec.msgpack.encode({"type": "ForgetSession"})),
        ("urn:maestro:nobody", b""),
    ):
        with pytest.raises(RequestInvalid, match=address):
            line.ask(address, message)

    assert through(line).sessions.count() == 1


def test_a_socket_lies_as_deep_as_its_state(tmp_path: Path, serve: Serve) -> None:
    deep = tmp_path.joinpath(*["directory"] * 20)
    deep.mkdir(parents=True)
    serve(deep / "socket")

    with Line(deep / "socket") as line:
        assert line.welcome.pid == os.getpid()


def test_only_its_user_reaches_the_socket(tmp_path: Path, serve: Serve) -> None:
    server = serve(tmp_path / "socket")

    assert server.path.stat().st_mode & 0o777 == 0o600


def test_a_user_who_is_not_on_the_list_is_refused_until_put_there(
    tmp_path: Path, runtime: Runtime
) -> None:
    server = SocketServer(tmp_path / "socket", RuntimeGate(runtime), users=(os.getuid() + 1,))

    with pytest.raises(PeerRefused, match=f"user {os.getuid()} is not on the list"):
        Line(tmp_path / "socket")

    server.users = frozenset({os.getuid()})
    Line(tmp_path / "socket").close()
    server.close()


def test_a_stale_socket_is_replaced_and_one_that_answers_is_left_alone(
    tmp_path: Path, serve: Serve
) -> None:
    first = serve(tmp_path / "socket")
    with pytest.raises(SocketInUse, match="another daemon answers at socket"):
        serve(tmp_path / "socket")
    os.link(first.path, tmp_path / "left")
    first.close()

    serve(tmp_path / "left")

    with Line(tmp_path / "left") as line:
        assert line.welcome.pid == os.getpid()


def test_a_file_in_place_of_the_socket_is_left_alone(tmp_path: Path, serve: Serve) -> None:
    (tmp_path / "socket").write_text("mine")

    with pytest.raises(SocketUnusable, match="there is a file of another kind"):
        serve(tmp_path / "socket")

    assert (tmp_path / "socket").read_text() == "mine"


def test_an_answer_is_waited_for_as_long_as_the_line_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("maestro_runtime.wire.line.ANSWER_SECONDS", 0.01)
    path = tmp_path / "socket"
    told = Welcome(protocol=PROTOCOL, version="x", state_id="s", epoch=1, pid=1, quarantined={})
    given_up = Event()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server, ExitStack() as open_ones:
        server.bind(str(path))
        server.listen()

        def answer() -> None:
            """Welcome two, and answer the second one once the first has given up."""
            for _ in range(2):
                one = open_ones.enter_context(server.accept()[0])
                one.sendall(packed(told))
            assert given_up.wait(BOUND_SECONDS)
            one.sendall(packed(Reply(id=1, body=b"late")))

        answerer = Thread(target=answer)
        answerer.start()
        with Line(path) as hasty, Line(path, is_patient=True) as patient:
            with pytest.raises(DaemonUnreachable, match="timed out"):
                hasty.ask(RECORDS_ADDRESS, b"")
            given_up.set()
            assert patient.ask(RECORDS_ADDRESS, b"") == b"late"
        answerer.join(BOUND_SECONDS)


def test_a_daemon_that_is_gone_is_unreachable(tmp_path: Path, serve: Serve) -> None:
    server = serve(tmp_path / "socket")
    with Line(tmp_path / "socket") as line:
        server.close()
        with pytest.raises(DaemonUnreachable, match=r"no daemon answers at socket .*/socket'"):
            line.ask(RECORDS_ADDRESS, b"")

    with pytest.raises(DaemonUnreachable, match="No such file or directory"):
        Line(tmp_path / "socket")
