"""Whatever arrives at the socket: typed errors, bounded memory, and the others are served."""

import os
import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon_team import TEAM
from hostile import HELLO, dialled, framed, last_word
from maestro_runtime import SessionOrder, open_runtime
from maestro_runtime.daemon._gate import RuntimeGate
from maestro_runtime.daemon._server import SocketServer
from maestro_runtime.wire.errors import FrameInvalid, FrameTooLarge, ProtocolMismatch
from maestro_runtime.wire.faults import error_of
from maestro_runtime.wire.frames import (
    FRAME_BYTES_MAX,
    LENGTH,
    REQUESTS_MAX,
    Ask,
    Events,
    Follow,
    Hello,
    Leave,
    Refusal,
    packed,
    receive,
)
from maestro_runtime.wire.line import Line
from maestro_storage.records import EventRecord


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    directory = tmp_path_factory.mktemp("hostile")
    with open_runtime(directory / "state") as runtime:
        runtime.run(SessionOrder(TEAM, "s-1", directory / "output")).result(20)
        server = SocketServer(directory / "socket", RuntimeGate(runtime), (os.getuid(),))
        yield server.path
        server.close()


@settings(max_examples=150)
@given(noise=st.binary(max_size=400), greeted=st.booleans(), as_frame=st.booleans())
def test_noise_ends_at_most_its_own_connection(
    path: Path, noise: bytes, *, greeted: bool, as_frame: bool
) -> None:
    with closing(dialled(path, greeted=greeted)) as line:
        line.sendall(LENGTH.pack(len(noise)) + noise if as_frame else noise)
        line.shutdown(socket.SHUT_WR)
        error = last_word(line)

    assert error is None or isinstance(error, FrameInvalid | FrameTooLarge | ProtocolMismatch)
    with Line(path) as other:
        assert other.welcome.pid == os.getpid()


@pytest.mark.parametrize(
    ("frame", "error"),
    [
        (LENGTH.pack(FRAME_BYTES_MAX + 1), FrameTooLarge(FRAME_BYTES_MAX + 1, FRAME_BYTES_MAX)),
        (LENGTH.pack(0xFFFFFFFF), FrameTooLarge(0xFFFFFFFF, FRAME_BYTES_MAX)),
    ],
    ids=["one byte too long", "four gigabytes"],
)
def test_a_lie_about_length_is_refused_before_room_is_made(
    path: Path, frame: bytes, error: Exception
) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with closing(dialled(path, greeted=True)) as line:
        line.sendall(frame)
        found = last_word(line)

    assert str(found) == str(error)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10


@pytest.mark.parametrize(
    "frame",
    [
        LENGTH.pack(200_000) + b"\x91" * 200_000,
        framed({"type": "Ask", "id": "one", "address": "a", "message": b""}),
        framed({"type": "Shutdown"}),
        framed({"type": "Leave", "id": 1, "more": 1}),
        HELLO,
    ],
    ids=[
        "nested 200,000 deep",
        "another type",
        "an unknown kind",
        "an unknown field",
        "hello twice",
    ],
)
def test_a_frame_that_is_none_is_named_and_ends_the_connection(path: Path, frame: bytes) -> None:
    with closing(dialled(path, greeted=True)) as line:
        line.sendall(frame)

        assert isinstance(last_word(line), FrameInvalid)


def test_another_protocol_is_refused_by_name(path: Path) -> None:
    with closing(dialled(path)) as line:
        line.sendall(packed(Hello(protocol=9, version="9.9.9")))

        assert str(last_word(line)) == (
            "the protocol must have version 1, got 9 from release 9.9.9"
        )


def test_a_connection_with_too_many_requests_is_told_to_wait_and_goes_on(path: Path) -> None:
    with closing(dialled(path, greeted=True)) as line:
        for number in range(1, REQUESTS_MAX + 2):
            line.sendall(packed(Follow(id=number, session_id="s-1", since=1_000_000)))
        refused = receive(line)
        line.sendall(packed(Leave(id=1)))
        line.sendall(packed(Follow(id=1, session_id="s-1", since=1)))
        followed = receive(line)

    assert isinstance(refused, Refusal)
    assert refused.id == REQUESTS_MAX + 1
    assert str(error_of(refused)) == (
        "a connection may have 64 requests under way; try again in 0.1 s"
    )
    assert isinstance(followed, Events)
    assert msgspec.msgpack.decode(followed.events[0], type=EventRecord).sequence == 1


def test_a_thousand_idle_connections_keep_nobody_out(path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    try:
        with ExitStack() as idle:
            for number in range(1000):
                idle.enter_context(closing(dialled(path, greeted=number % 2 == 0)))
            with Line(path) as line:
                assert line.welcome.pid == os.getpid()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_client_that_sends_half_a_frame_keeps_nobody_waiting(path: Path) -> None:
    with closing(dialled(path, greeted=True)) as slow:
        slow.sendall(packed(Ask(id=1, address="a", message=b"x"))[:-1])
        with Line(path) as line:
            assert line.welcome.pid == os.getpid()
