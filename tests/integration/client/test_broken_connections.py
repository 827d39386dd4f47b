"""What a client does when its connection breaks, is refused, or is silent; by a scripted daemon."""

import asyncio
import os
import select
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from hosted import BOUND_SECONDS, HASTY
from maestro_runtime import connect, connect_async
from maestro_runtime.client import ClientOptions, Patience, _link
from maestro_runtime.errors import RuntimeDraining
from maestro_runtime.wire.errors import DaemonUnreachable, ProtocolMismatch
from maestro_runtime.wire.faults import refusal
from maestro_runtime.wire.frames import (
    Ask,
    Reply,
    packed,
)
from scripted_daemon import WELCOME, Scripted, in_background


def test_what_has_no_answer_is_sent_again_in_its_order_and_with_its_id(tmp_path: Path) -> None:
    asked: list[list[Ask]] = [[], []]

    def script(scripted: Scripted) -> None:
        with scripted.greeted() as line:
            asked[0] += [scripted.ask(line), scripted.ask(line)]
        with scripted.greeted() as line:
            asked[1] += [scripted.ask(line), scripted.ask(line)]
            for ask in reversed(asked[1]):
                line.sendall(packed(Reply(id=ask.id, body=b"re: " + ask.message)))
            line.recv(1)

    thread = Scripted(tmp_path / "socket").begin(script)
    with connect(tmp_path / "socket", options=HASTY) as client:
        futures = [client.channel.ask("urn:a", b"1"), client.channel.ask("urn:a", b"2")]
        answers = [future.get(timeout=BOUND_SECONDS) for future in futures]
    thread.join(BOUND_SECONDS)

    assert answers == [b"re: 1", b"re: 2"]
    assert asked[0] == asked[1]


def test_an_owner_that_comes_to_its_end_is_not_asked_but_its_successor(tmp_path: Path) -> None:
    def script(scripted: Scripted) -> None:
        with scripted.greeted() as line:
            line.sendall(packed(refusal(scripted.ask(line).id, RuntimeDraining("s-1"))))
        with scripted.greeted() as line:
            line.sendall(packed(Reply(id=scripted.ask(line).id, body=b"done")))
            line.recv(1)

    thread = Scripted(tmp_path / "socket").begin(script)
    with connect(tmp_path / "socket", options=HASTY) as client:
        assert client.channel.ask("urn:a", b"1").get(timeout=BOUND_SECONDS) == b"done"
    thread.join(BOUND_SECONDS)


@pytest.mark.parametrize("other", ["state", "protocol"])
def test_who_is_somebody_else_is_not_asked(tmp_path: Path, other: str) -> None:
    def script(scripted: Scripted) -> None:
        with scripted.greeted() as line:
            scripted.ask(line)
        if other == "state":
            with scripted.greeted("another") as line:
                line.recv(1)
        else:
            with scripted.accept() as line:
                line.sendall(packed(refusal(0, ProtocolMismatch(2, 1, "9.9"))))
                line.recv(1)

    thread = Scripted(tmp_path / "socket").begin(script)
    with connect(tmp_path / "socket", options=HASTY) as client:
        waiting = client.channel.ask("urn:a", b"1")
        kind = DaemonUnreachable if other == "state" else ProtocolMismatch
        with pytest.raises(kind, match=r"another state is served there|must have version 2, got 1"):
            waiting.get(timeout=BOUND_SECONDS)
    thread.join(BOUND_SECONDS)


class Silence:
    """Stands for `select` in a link: a daemon has been silent for too long when a test says so."""

    POLLIN = select.POLLIN

    def __init__(self) -> None:
        self._passed = os.eventfd(0, os.EFD_SEMAPHORE)

    def passes(self) -> None:
        os.eventfd_write(self._passed, 1)

    def close(self) -> None:
        os.close(self._passed)

    def poll(self) -> "Silence.Poll":
        return Silence.Poll(self._passed)

    class Poll:
        """Waits for the daemon, or for the test; the daemon goes first."""

        def __init__(self, passed: int) -> None:
            self._passed = passed
            self._poll = select.poll()
            self._poll.register(passed, select.POLLIN)

        def register(self, line: socket.socket, events: int) -> None:
            self._poll.register(line, events)

        def poll(self, _timeout_ms: float) -> list[tuple[int, int]]:
            ready = self._poll.poll(BOUND_SECONDS * 1000)
            said = [item for item in ready if item[0] != self._passed]
            if ready and not said:
                os.eventfd_read(self._passed)
            return said


@pytest.fixture
def silence(monkeypatch: pytest.MonkeyPatch) -> Iterator[Silence]:
    with closing(Silence()) as silence:
        monkeypatch.setattr(_link, "select", silence)
        yield silence


def test_a_daemon_that_says_nothing_for_long_though_it_works_keeps_its_connection(
    tmp_path: Path, silence: Silence
) -> None:
    pings: list[Ask] = []

    def script(scripted: Scripted) -> None:
        with scripted.greeted() as line:
            asked = scripted.ask(line)
            while len(pings) < 3:
                silence.passes()
                pings.append(scripted.ask(line))
                line.sendall(packed(Reply(id=pings[-1].id, body=b"")))
            line.sendall(packed(Reply(id=asked.id, body=b"done")))
            # Nobody waits for anything any more, so there is nothing to be heard.
            silence.passes()
            line.settimeout(0.2)
            with pytest.raises(TimeoutError):
                line.recv(1)

    thread = Scripted(tmp_path / "socket").begin(script)
    options = ClientOptions(patience=Patience(seconds=0.0))
    with connect(tmp_path / "socket", options=options) as client:
        assert client.channel.ask("urn:a", b"1").get(timeout=BOUND_SECONDS) == b"done"
        thread.join(BOUND_SECONDS)

    assert not thread.is_alive()
    assert len({ping.id for ping in pings}) == 3


def test_a_client_that_is_given_up_while_it_connects_hangs_up(tmp_path: Path) -> None:
    left: list[bytes] = []
    arrived, given_up = threading.Event(), threading.Event()

    def script(scripted: Scripted) -> None:
        with scripted.accept() as line:
            scripted.frame(line)
            arrived.set()
            assert given_up.wait(BOUND_SECONDS)
            line.sendall(packed(WELCOME))
            left.append(line.recv(1))

    async def program() -> None:
        async def connected() -> None:
            async with connect_async(tmp_path / "socket", options=HASTY):
                pytest.fail("nobody has greeted it")

        connecting = asyncio.create_task(connected())
        await asyncio.to_thread(arrived.wait, BOUND_SECONDS)
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting
        given_up.set()

    thread = Scripted(tmp_path / "socket").begin(script)
    asyncio.run(asyncio.wait_for(program(), BOUND_SECONDS))
    thread.join(BOUND_SECONDS)

    assert left == [b""]


def test_an_owner_that_stands_still_on_its_way_out_is_given_up(
    tmp_path: Path, silence: Silence
) -> None:
    def script(scripted: Scripted) -> None:
        with scripted.greeted() as line:
            line.sendall(packed(refusal(scripted.ask(line).id, RuntimeDraining("s-1"))))
            # It is asked for a sign of life, and gives none.
            silence.passes()
            scripted.ask(line)
            silence.passes()
            assert line.recv(1) == b""
        with scripted.greeted() as line:
            line.sendall(packed(Reply(id=scripted.ask(line).id, body=b"done")))
            line.recv(1)

    thread = Scripted(tmp_path / "socket").begin(script)
    with connect(tmp_path / "socket", options=HASTY) as client:
        assert client.channel.ask("urn:a", b"1").get(timeout=BOUND_SECONDS) == b"done"
    thread.join(BOUND_SECONDS)

    assert not thread.is_alive()


def test_a_client_without_a_thread_hangs_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    left: list[bytes] = []

    def script(scripted: Scripted) -> None:
        with scripted.greeted() as line:
            left.append(line.recv(1))

    thread = Scripted(tmp_path / "socket").begin(script)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refused)
        with pytest.raises(RuntimeError, match="new thread"):
            connect(tmp_path / "socket", options=HASTY)
    thread.join(BOUND_SECONDS)

    assert left == [b""]


def test_a_client_that_is_closed_while_it_comes_back_hangs_up(tmp_path: Path) -> None:
    def script(scripted: Scripted) -> None:
        with scripted.greeted():
            pass
        with scripted.accept() as line:
            scripted.frame(line)
            came_back.set()
            assert closing_begins.wait(BOUND_SECONDS)
            line.sendall(packed(WELCOME))
            left.append(line.recv(1))

    came_back, closing_begins = threading.Event(), threading.Event()
    left: list[bytes] = []
    thread = Scripted(tmp_path / "socket").begin(script)
    client = connect(tmp_path / "socket", options=HASTY)
    assert came_back.wait(BOUND_SECONDS)
    closed = in_background(client.close)
    assert client._link._closed.wait(BOUND_SECONDS)
    closing_begins.set()
    closed.join(BOUND_SECONDS)
    thread.join(BOUND_SECONDS)

    assert not closed.is_alive()
    assert left == [b""]


def test_who_has_left_is_not_asked_for_of_the_successor(tmp_path: Path) -> None:
    asked: list[Ask] = []

    def script(scripted: Scripted) -> None:
        with scripted.greeted() as line:
            line.sendall(packed(refusal(scripted.ask(line).id, RuntimeDraining("s-1"))))
            line.sendall(packed(Reply(id=scripted.ask(line).id, body=b"seen")))
            assert has_left.wait(BOUND_SECONDS)
        with scripted.greeted() as line:
            asked.append(scripted.ask(line))
            line.sendall(packed(Reply(id=asked[0].id, body=b"done")))
            line.recv(1)

    has_left = threading.Event()
    thread = Scripted(tmp_path / "socket").begin(script)
    with connect(tmp_path / "socket", options=HASTY) as client:
        given_up = client._link.wait_for("urn:a", b"1")
        # Answered after the refusal of the first.
        assert client.channel.ask("urn:a", b"2").get(timeout=BOUND_SECONDS) == b"seen"
        client._link.leave(given_up)
        has_left.set()
        client.channel.ask("urn:a", b"3").get(timeout=BOUND_SECONDS)
    thread.join(BOUND_SECONDS)

    assert [ask.message for ask in asked] == [b"3"]
