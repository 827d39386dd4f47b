"""A client comes back after its daemon does, and nobody who waits has to know."""

import math
import signal
import threading
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from command_line import CommandLine
from daemon_team import TEAM
from hosted import BOUND_SECONDS, HASTY, Hosted
from maestro_actors.team import Persona
from maestro_runtime import Client, SessionOrder, connect
from maestro_runtime.client import ClientOptions, Patience
from maestro_runtime.errors import SessionLeftAlone
from maestro_runtime.policy import RuntimePolicy
from maestro_runtime.wire.errors import DaemonUnreachable
from scripted_daemon import in_background
from served import serving, stopped

SLOW = msgspec.structs.replace(
    TEAM, personas={"dev": Persona(persona_id="dev", latency_seconds=600.0)}
)


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
