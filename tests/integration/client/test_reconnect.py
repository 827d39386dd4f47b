"""A client comes back after its daemon does, and nobody who waits has to know."""

import asyncio
import math
import os
import select
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from command_line import CommandLine
from daemon_team import TEAM
from hosted import BOUND_SECONDS, HASTY, Hosted
from maestro_actors.team import Persona
from maestro_runtime import Client, SessionOrder, connect, connect_async
from maestro_runtime.client import ClientOptions, Patience, _link
from maestro_runtime.errors import RuntimeDraining, SessionLeftAlone
from maestro_runtime.policy import RuntimePolicy
from maestro_runtime.wire.errors import DaemonUnreachable, ProtocolMismatch
from maestro_runtime.wire.faults import refusal
from maestro_runtime.wire.frames import (
    LENGTH,
    PROTOCOL,
    Ask,
    Reply,
    Welcome,
    decode_client_frame,
    packed,
)
from served import serving, stopped

SLOW = msgspec.structs.replace(
    TEAM, personas={"dev": Persona(persona_id="dev", latency_seconds=600.0)}
)

WELCOME = Welcome(protocol=PROTOCOL, version="x", state_id="state", epoch=1, pid=1, quarantined={})


def test_a_result_survives_a_restart_of_the_daemon(
    hosted: Hosted, client: Client, tmp_path: Path
) -> None:
    first = client.run(SessionOrder(SLOW, "slow", tmp_path / "slow"))
    waiting = client.ended("slow")
    epoch = client.welcome.epoch
    hosted.stop()

    hosted.start()

    client.cancel("slow", deadline_seconds=0.0)
    waiting.get(timeout=BOUND_SECONDS)
    assert first.result(BOUND_SECONDS).state == "cancelled"
    assert client.welcome.epoch == epoch + 1


def test_an_end_that_comes_while_nobody_listens_is_seen(
    hosted: Hosted, client: Client, tmp_path: Path
) -> None:
    """The next owner never tells of it: the record has to be looked at."""
    waiting = client.run(SessionOrder(SLOW, "slow", tmp_path / "slow"))
    other = client.run(SessionOrder(SLOW, "other", tmp_path / "other"))
    futures = [waiting._ended, other._ended]
    hosted.stop()
    beside = Hosted(tmp_path)
    beside.socket = tmp_path / "elsewhere"
    beside.start().cancel("slow", deadline_seconds=0.0).result(BOUND_SECONDS)
    beside.stop()

    hosted.start()

    assert waiting.result(BOUND_SECONDS).state == "cancelled"
    assert not futures[1].is_done


def test_who_waits_for_a_session_that_cannot_go_on_after_a_restart_hears_why(
    hosted: Hosted, client: Client, tmp_path: Path
) -> None:
    waiting = client.run(SessionOrder(SLOW, "slow", tmp_path / "slow"))
    other = client.run(SessionOrder(SLOW, "other", tmp_path / "other"))
    hosted.stop()
    (tmp_path / "slow").rename(tmp_path / "away")
    (tmp_path / "slow").write_text("in the way")

    hosted.start()

    with pytest.raises(SessionLeftAlone, match=r"'slow' does not go on until it is resumed: .*out"):
        waiting.result(BOUND_SECONDS)
    assert not other._ended.is_done
    (tmp_path / "slow").unlink()
    (tmp_path / "away").rename(tmp_path / "slow")
    again = client.resume("slow")
    client.cancel("slow", deadline_seconds=0.0)
    assert again.result(BOUND_SECONDS).state == "cancelled"


def test_streams_and_phases_of_a_session_that_cannot_go_on_after_a_restart_end_with_the_reason(
    hosted: Hosted, client: Client, tmp_path: Path
) -> None:
    name = client.create(SessionOrder(SLOW, "slow", tmp_path / "slow"))
    phases = client.run_phases(name, ["build"])
    following = client.next_events(name, 10_000)
    hosted.stop()
    (tmp_path / "slow").rename(tmp_path / "away")
    (tmp_path / "slow").write_text("in the way")

    hosted.start()

    with pytest.raises(SessionLeftAlone, match="'slow' does not go on until it is resumed"):
        following.get(timeout=BOUND_SECONDS)
    with pytest.raises(SessionLeftAlone, match="'slow' does not go on until it is resumed"):
        phases.result(BOUND_SECONDS)
    with pytest.raises(SessionLeftAlone):
        client.phase_run(name, ("build",)).result(BOUND_SECONDS)


def test_a_stream_of_a_session_that_was_left_alone_yields_all_that_has_happened_before_it_ends(
    hosted: Hosted, tmp_path: Path
) -> None:
    runtime = hosted.runtime
    runtime.govern(RuntimePolicy(sessions_running=1))
    runtime.run(SessionOrder(SLOW, "first", tmp_path / "first"))
    queued = runtime.run(SessionOrder(SLOW, "second", tmp_path / "second"))
    following = runtime.next_events("second", 10_000)
    (tmp_path / "second").rmdir()
    (tmp_path / "second").write_text("in the way")

    runtime.cancel("first", deadline_seconds=0.0)

    with pytest.raises(SessionLeftAlone, match="'second' does not go on"):
        following.get(timeout=BOUND_SECONDS)
    stream = iter(queued.events())
    seen = [next(stream).kind for _ in runtime.store.events.scan("second")]
    assert "session_queued" in seen
    with pytest.raises(SessionLeftAlone):
        next(stream)


def test_who_waits_for_a_queued_session_that_cannot_begin_hears_why(
    hosted: Hosted, client: Client, tmp_path: Path
) -> None:
    hosted.runtime.govern(RuntimePolicy(sessions_running=1))
    client.run(SessionOrder(SLOW, "first", tmp_path / "first"))
    waiting = client.run(SessionOrder(SLOW, "second", tmp_path / "second"))
    future = client.ended("second")
    (tmp_path / "second").rmdir()
    (tmp_path / "second").write_text("in the way")

    client.cancel("first", deadline_seconds=0.0)

    with pytest.raises(SessionLeftAlone, match="'second' does not go on"):
        future.get(timeout=BOUND_SECONDS)
    assert waiting.report().state == "queued"


def test_an_event_stream_goes_on_without_gap_or_repeat(
    hosted: Hosted, client: Client, tmp_path: Path
) -> None:
    session = client.run(SessionOrder(SLOW, "slow", tmp_path / "slow"))
    seen = []
    begun, done = threading.Event(), threading.Event()

    def follow() -> None:
        for event in session.events():
            seen.append(event.sequence)
            if event.kind == "attempt_started":
                begun.set()
        done.set()

    follower = threading.Thread(target=follow, daemon=True)
    follower.start()
    for _ in range(3):
        assert begun.wait(BOUND_SECONDS)
        begun.clear()
        hosted.stop()
        hosted.start()
    client.cancel("slow", deadline_seconds=0.0)
    assert done.wait(BOUND_SECONDS)

    assert seen == list(range(1, len(seen) + 1))
    assert len(seen) == hosted.runtime.store.events.count("slow")


def test_the_next_request_after_a_loss_begins_anew(hosted: Hosted, tmp_path: Path) -> None:
    clock = Hurry()
    with connect(hosted.socket, options=clock.options) as client:
        waiting = client.run(SessionOrder(SLOW, "slow", tmp_path / "slow"))._ended
        hosted.stop()
        with pytest.raises(DaemonUnreachable, match="no daemon answers"):
            waiting.get(timeout=BOUND_SECONDS)
        assert clock.waited

        hosted.start()

        assert client.store.require_session("slow").state == "running"


class Hurry:
    """Time that passes only while a client waits for its daemon."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.waited: list[float] = []
        patience = Patience(
            seconds=10.0, now=lambda: self.seconds, fraction=lambda: 0.5, wait=self._wait
        )
        self.options = ClientOptions(patience=patience)

    def _wait(self, closed: threading.Event, seconds: float) -> bool:
        self.waited.append(seconds)
        self.seconds += seconds
        return closed.is_set()


def test_pauses_grow_lose_a_random_part_and_end_with_patience() -> None:
    clock = Hurry()
    pauses = []
    for pause_seconds in clock.options.patience.pauses():
        pauses.append(pause_seconds)
        clock.seconds += pause_seconds

    assert pauses[:7] == pytest.approx([0.0375, 0.075, 0.15, 0.3, 0.6, 1.2, 1.5])
    assert sum(pauses) == pytest.approx(10.0)


class Scripted:
    """A daemon that answers as a test says, on a real socket."""

    def __init__(self, path: Path) -> None:
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen()
        self._listener.settimeout(BOUND_SECONDS)

    def begin(self, script: Callable[["Scripted"], None]) -> threading.Thread:
        """Do what a script says, on a thread of its own, and close."""

        def run() -> None:
            with self._listener:
                script(self)

        return in_background(run)

    @contextmanager
    def greeted(self, state_id: str = "state") -> Iterator[socket.socket]:
        """Let a client in and greet it; hang up at the end."""
        line, _ = self._listener.accept()
        line.settimeout(BOUND_SECONDS)
        with line:
            self.frame(line)
            line.sendall(packed(msgspec.structs.replace(WELCOME, state_id=state_id)))
            yield line

    @staticmethod
    def frame(line: socket.socket) -> object:
        """Return the next frame of a client."""
        (length,) = LENGTH.unpack(line.recv(LENGTH.size, socket.MSG_WAITALL))
        return decode_client_frame(line.recv(length, socket.MSG_WAITALL))

    def ask(self, line: socket.socket) -> Ask:
        """Return the next request of a client."""
        found = self.frame(line)
        assert isinstance(found, Ask)
        return found


def in_background(program: object) -> threading.Thread:
    thread = threading.Thread(target=program, daemon=True)  # type: ignore[arg-type] # called below
    thread.start()
    return thread


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
            line, _ = scripted._listener.accept()
            with line:
                line.sendall(packed(refusal(0, ProtocolMismatch(2, 1, "9.9"))))
                line.recv(1)

    thread = Scripted(tmp_path / "socket").begin(script)
    with connect(tmp_path / "socket", options=HASTY) as client:
        waiting = client.channel.ask("urn:a", b"1")
        kind = DaemonUnreachable if other == "state" else ProtocolMismatch
        with pytest.raises(kind, match=r"another state is served there|must have version 2, got 1"):
            waiting.get(timeout=BOUND_SECONDS)
    thread.join(BOUND_SECONDS)


def test_a_client_outlives_kills_and_stops_of_real_daemons(tmp_path: Path) -> None:
    """One is killed, one is told to stop; what was acknowledged is there and done once."""
    cli = CommandLine(tmp_path)
    with serving(cli) as process:
        client = connect(state_dir=cli.state_dir, options=HASTY)
        slow = client.run(SessionOrder(SLOW, "slow", tmp_path / "slow"))
        ended = slow._ended
        process.send_signal(signal.SIGKILL)
        process.wait(BOUND_SECONDS)
        asked = client.supervisor.name_checkpoint(
            session_id="slow", name="mine", request_id=HASTY.request_ids()
        )
    with serving(cli, "--drain-timeout", "0") as process:
        assert asked.get(timeout=BOUND_SECONDS).number == 2
        run = in_background(lambda: client.run(SessionOrder(TEAM, "quick", tmp_path / "quick")))
        stopped(process)
    with serving(cli):
        run.join(BOUND_SECONDS)
        assert client.session("quick").result(BOUND_SECONDS).state == "done"
        client.cancel("slow", deadline_seconds=0.0)
        ended.get(timeout=BOUND_SECONDS)
        names = [record.phase for record in client.store.checkpoints.scan("slow")]
        assert names.count("mine") == 1
        client.close()


def test_a_daemon_that_stands_still_is_given_up_and_found_again_and_nothing_is_done_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli = CommandLine(tmp_path)
    # Who gives up does so by a clock of its own: the daemon may be slow while it does not stand.
    quick = ClientOptions(patience=replace(Hurry().options.patience, silence_seconds=0.1))
    lasting = ClientOptions(patience=Patience(seconds=BOUND_SECONDS, silence_seconds=0.1))
    with serving(cli) as process, ExitStack() as stack:
        hasty, patient = (
            stack.enter_context(connect(state_dir=cli.state_dir, options=options))
            for options in (quick, lasting)
        )
        slow = hasty.run(SessionOrder(SLOW, "slow", tmp_path / "slow"))
        ended = patient.ended("slow")
        first = patient._link._socket

        process.send_signal(signal.SIGSTOP)
        try:
            with monkeypatch.context() as hasty_greeting:
                hasty_greeting.setattr("maestro_runtime.wire.line.WELCOME_SECONDS", 0.1)
                named = patient.supervisor.name_checkpoint(
                    session_id="slow", name="mine", request_id=HASTY.request_ids()
                )
                with pytest.raises(DaemonUnreachable, match="timed out"):
                    slow.result(BOUND_SECONDS)
        finally:
            process.send_signal(signal.SIGCONT)

        assert named.get(timeout=BOUND_SECONDS).number == 2
        assert patient._link._socket is not first
        hasty.cancel("slow", deadline_seconds=0.0)
        ended.get(timeout=BOUND_SECONDS)
        names = [record.phase for record in patient.store.checkpoints.scan("slow")]
        assert names.count("mine") == 1


def test_a_client_may_wait_for_ever_for_a_sign_of_life(hosted: Hosted) -> None:
    options = ClientOptions(patience=Patience(seconds=BOUND_SECONDS, silence_seconds=math.inf))

    with connect(hosted.socket, options=options) as client:
        answer = client.supervisor.keep_values(values={"a": b"1"})

        assert answer.get(timeout=BOUND_SECONDS) is not None


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
        line, _ = scripted._listener.accept()
        line.settimeout(BOUND_SECONDS)
        with line:
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
        line, _ = scripted._listener.accept()
        line.settimeout(BOUND_SECONDS)
        with line:
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
