"""What has happened, and what happens: each event once and in order, over restarts."""

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from command_line import CommandLine
from daemon_team import TEAM
from maestro_runtime import Runtime, SessionOrder, open_runtime
from maestro_runtime.cli import _events_live
from maestro_runtime.cli._events import Wanted, passed_over, recorded
from maestro_runtime.cli._events_live import followed
from maestro_runtime.daemon._gate import RuntimeGate
from maestro_runtime.daemon._server import SocketServer
from maestro_storage.records import EventRecord
from running import BOUND_SECONDS, killed_at_the_end, wait_for_line


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> CommandLine:
    """A state with two sessions that have ended."""
    cli = CommandLine(tmp_path_factory.mktemp("events"))
    team = cli.team('script = ["transient", "ok"]')
    assert cli("run", team, "--session", "s1").returncode == 0
    assert cli("run", team, "--session", "s2").returncode == 0
    return cli


def lines(result: "subprocess.CompletedProcess[str]") -> list[dict[str, object]]:
    assert (result.returncode, result.stderr) == (0, "")
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_events_are_those_of_all_sessions_in_the_order_of_time(two: CommandLine) -> None:
    events = lines(two("events", "--json"))

    assert {event["schema"] for event in events} == {"maestro.event/1"}
    assert events == sorted(events, key=lambda event: int(str(event["at_ms"])))
    for name in ("s1", "s2"):
        sequences = [event["sequence"] for event in events if event["session_id"] == name]
        assert sequences == list(range(1, len(sequences) + 1))


@pytest.mark.parametrize("kind", ["typo", "attempts", "", "attempt_", "Task"])
def test_a_kind_of_events_that_there_is_not_exits_with_2_and_names_the_known(
    two: CommandLine, kind: str
) -> None:
    refused = two("events", "-f", "--kind", kind)

    assert refused.returncode == 2
    message = " ".join(refused.stderr.split())
    assert "must be one of alert, attempt, breaker, budget" in message
    assert "session_done, session_failed" in message
    assert f"got {kind!r}" in message


def test_events_of_which_none_is_on_record_are_said_to_be_none(two: CommandLine) -> None:
    none = two("events", "--kind", "breaker_opened")

    assert (none.returncode, none.stdout, none.stderr) == (0, "", "no events\n")


def test_events_can_be_chosen_by_session_kind_and_beginning(two: CommandLine) -> None:
    everything = lines(two("events", "--json"))
    by_kind = lines(two("events", "--kind", "attempt", "--kind", "session_done", "--json"))
    by_session = lines(two("events", "--session", "s2", "--json"))
    from_third = lines(two("events", "--since", "3", "--json"))
    from_now = lines(two("events", "--since", "2100-01-01", "--json"))
    lately = lines(two("events", "--since", "86400s", "--json"))
    of_task = lines(two("session", "logs", "s1", "--task", "note", "--json"))

    assert {event["kind"] for event in by_kind} == {
        "attempt_started",
        "attempt_failed",
        "attempt_succeeded",
        "session_done",
    }
    assert by_session == [event for event in everything if event["session_id"] == "s2"]
    assert from_third == [event for event in everything if int(str(event["sequence"])) >= 3]
    assert from_now == []
    assert lately == everything
    assert of_task == [
        event for event in everything if (event["session_id"], event["task_id"]) == ("s1", "note")
    ]


def test_a_line_of_all_events_names_the_session_and_one_of_a_session_does_not(
    two: CommandLine,
) -> None:
    assert " s1/note: attempt 1 of round 1 started by writer\n" in two("events").stdout
    assert " note: attempt 1 of round 1 started by writer\n" in two("session", "logs", "s1").stdout


def test_a_beginning_that_is_none_is_refused(two: CommandLine) -> None:
    result = two("events", "--since", "soon")

    assert result.returncode == 2
    assert "must be an instant like" in result.stderr


def test_nothing_is_printed_from_an_event_on_that_is_not_there_yet(two: CommandLine) -> None:
    listed = two("events", "--since", "9999")
    logged = two("session", "logs", "@last", "--since", "9999")

    assert (listed.returncode, listed.stdout) == (0, "")
    assert (logged.returncode, logged.stdout) == (0, "")


def test_the_log_of_a_task_that_is_not_there_is_not_an_empty_one(two: CommandLine) -> None:
    result = two("session", "logs", "@last", "--task", "nowhere")

    assert result.returncode == 5
    assert "no such task: '" in result.stderr
    assert "/nowhere'" in result.stderr


def test_a_reader_that_goes_away_ends_the_command_quietly(two: CommandLine) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with subprocess.Popen(
        two.argv("events", "-f", "--since", "1"),
        env=two.environment,
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        os.close(writing)
        _, stderr = process.communicate(timeout=BOUND_SECONDS)

    assert (process.returncode, stderr) == (0, "")


Serve = Callable[[], SocketServer]


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[Runtime]:
    with open_runtime(tmp_path / "state") as runtime:
        yield runtime


@pytest.fixture
def serve(runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    monkeypatch.setenv("MAESTRO_SOCKET", str(tmp_path / "socket"))
    servers: list[SocketServer] = []

    def start() -> SocketServer:
        servers.append(SocketServer(tmp_path / "socket", RuntimeGate(runtime), (os.getuid(),)))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def until(events: Iterator[EventRecord], session_id: str) -> list[EventRecord]:
    """Take events until a session is done."""
    taken = []
    for event in events:
        taken.append(event)
        if (event.session_id, event.kind) == (session_id, "session_done"):
            return taken
    raise EOFError


def run(runtime: Runtime, session_id: str, directory: Path) -> None:
    runtime.run(SessionOrder(TEAM, session_id, directory / session_id)).result(BOUND_SECONDS)


def test_over_a_restart_nothing_is_missed_and_nothing_comes_twice(
    runtime: Runtime, serve: Serve, tmp_path: Path
) -> None:
    first = serve()
    events = followed(None, Wanted(), {})
    run(runtime, "s1", tmp_path)
    taken = until(events, "s1")
    first.close()
    run(runtime, "s2", tmp_path)
    serve()
    taken += until(events, "s2")
    run(runtime, "s3", tmp_path)
    runtime.remove("s1")
    run(runtime, "s1", tmp_path)
    taken += until(events, "s1")

    removed = len([event for event in taken if event.session_id == "s1"]) // 2
    for session_id, count in (("s1", removed), ("s2", 0), ("s3", 0)):
        of_session = [event for event in taken if event.session_id == session_id]
        assert of_session[count:] == list(runtime.store.events.scan(session_id))


def test_what_happens_while_the_records_are_read_comes_once(
    runtime: Runtime, serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []

    def say(text: str) -> None:
        """Act at the two moments in which nobody knows the other's view."""
        said.append(text)
        if text == "it is back":
            run(runtime, "s1", tmp_path)
        else:
            serve()

    monkeypatch.setattr(_events_live, "say", say)
    events = followed(None, Wanted(), {})
    taken = until(events, "s1")
    run(runtime, "s2", tmp_path)
    taken += until(events, "s2")

    assert said == ["nobody runs sessions here; waiting for somebody", "it is back"]
    assert taken == [event for name in ("s1", "s2") for event in runtime.store.events.scan(name)]


def test_what_there_is_can_be_passed_over_and_what_comes_then_is_not(
    runtime: Runtime, tmp_path: Path
) -> None:
    run(runtime, "s1", tmp_path)

    seen = passed_over(runtime.store, Wanted())
    before = list(recorded(runtime.store, Wanted(), seen))
    run(runtime, "s2", tmp_path)
    after = list(recorded(runtime.store, Wanted(), seen))

    assert before == []
    assert after == list(runtime.store.events.scan("s2"))


def test_ctrl_c_ends_it_with_130_and_harms_nothing(cli: CommandLine) -> None:
    team = cli.team("latency_seconds = 600")
    with killed_at_the_end(cli.start("run", team, "--session", "hello")) as running:
        wait_for_line(running, "note: attempt 1 of round 1 started")
        with subprocess.Popen(
            cli.argv("session", "logs", "hello", "-f"),
            env=cli.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as logs:
            assert logs.stdout is not None
            told = [logs.stdout.readline(), logs.stdout.readline()]
            logs.send_signal(signal.SIGINT)
            _, stderr = logs.communicate(timeout=BOUND_SECONDS)

        assert "hello: started: 2 tasks" in told[0]
        assert "note: attempt 1 of round 1 started" in told[1]
        assert (logs.returncode, stderr.strip()) == (130, "")
        assert running.poll() is None
