"""A daemon comes up, goes on with what was under way, and goes in order."""

import json
import os
import resource
import signal
import time
from pathlib import Path

import pytest

from command_line import CommandLine
from maestro_actors.messages import encode
from maestro_actors.verbs.wish import Asked, wished
from maestro_runtime import RuntimeOptions, open_runtime
from maestro_runtime.daemon import _patience
from maestro_runtime.errors import RuntimeDraining
from maestro_runtime.wire.errors import WireError
from maestro_runtime.wire.line import SOCKET_NAME, Line
from maestro_runtime.wire.orders import SUPERVISOR_ADDRESS, KeepValues, ResumeSession
from maestro_storage import Store
from maestro_storage.errors import StateOwned, StoreFull
from running import BOUND_SECONDS, killed_at_the_end, wait_for_line
from served import (
    ServiceManager,
    attempts_of,
    let_go,
    serving,
    session_under_way,
    start,
    state_of,
    stopped,
    wait_for_event,
    workspace_of,
)

SESSIONS_MANY = 30
"""More than the messages that the kernel keeps for a service manager."""


def test_a_daemon_makes_a_state_says_in_one_line_that_it_is_ready_and_ends_with_0(
    cli: CommandLine,
) -> None:
    with killed_at_the_end(start(cli)) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        beside = cli("session", "list")
        stopped(process)

    assert "ready" in line
    assert f"state_dir={cli.state_dir}" in line
    assert f"socket={cli.state_dir / 'maestro.sock'}" in line
    assert "sessions_resumed=0" in line
    assert beside.returncode == 0, beside.stderr
    assert process.returncode == 0
    assert not (cli.state_dir / "maestro.sock").exists()


def test_the_log_can_be_a_file_that_is_opened_anew_when_it_is_moved_away(cli: CommandLine) -> None:
    file = cli.directory / "maestro.log"
    cli.environment |= {"MAESTRO_LOG_FILE": str(file), "MAESTRO_LOG_FORMAT": "json"}

    with ServiceManager(str(cli.directory / "notify")) as manager:
        cli.environment["NOTIFY_SOCKET"] = manager.address
        with killed_at_the_end(start(cli)) as process:
            manager.until("READY")
            file.rename(cli.directory / "maestro.log.1")
            said = stopped(process)

    before, after = (
        [json.loads(line)["event"] for line in path.read_text().splitlines()]
        for path in (cli.directory / "maestro.log.1", file)
    )
    assert "ready" in before + after
    assert "told to stop by SIGTERM" in after
    assert said == ""


def test_a_log_file_that_cannot_be_written_is_named(cli: CommandLine) -> None:
    cli.environment["MAESTRO_LOG_FILE"] = str(cli.directory)

    result = cli("serve")

    assert result.returncode == 2
    assert (
        "environment MAESTRO_LOG_FILE must be a file that can be written (Is a directory), "
        f"got {str(cli.directory)!r}"
    ) in result.stderr


def leave_a_wish(cli: CommandLine, session: str) -> None:
    """Leave a session as a crash does that comes between an order and what follows it."""
    with Store.open(cli.state_dir) as store:
        asked = Asked(wish="cancel")
        _, draft = wished(store.require_session(session), asked, time.time_ns() // 10**6, 1)
        store.journal.commit(draft).result(BOUND_SECONDS)


def test_sessions_that_were_under_way_go_on_and_those_at_rest_stay(cli: CommandLine) -> None:
    session_under_way(cli, "going", seconds=0.1)
    session_under_way(cli, "resting")
    session_under_way(cli, "leaving")
    with open_runtime(cli.state_dir) as runtime:
        runtime.pause("resting").result(BOUND_SECONDS)
    leave_a_wish(cli, "leaving")

    with serving(cli) as process:
        wait_for_event(cli, "going", "session_done")
        wait_for_event(cli, "leaving", "session_cancelled")
        stopped(process)

    assert {name: state_of(cli, name) for name in ("going", "resting", "leaving")} == {
        "going": "done",
        "resting": "paused",
        "leaving": "cancelled",
    }


def test_a_session_that_cannot_go_on_is_told_and_left_and_keeps_no_other(cli: CommandLine) -> None:
    session_under_way(cli, "good", seconds=0.1)
    session_under_way(cli, "bad")
    workspace_of(cli, "bad").rmdir()
    workspace_of(cli, "bad").write_text("a file where the directory was")

    with killed_at_the_end(start(cli)) as process:
        assert process.stderr is not None
        told, ready = process.stderr.readline(), process.stderr.readline()
        wait_for_event(cli, "good", "session_done")
        stopped(process)

    assert "session_id=bad" in told
    assert "sessions_resumed=1" in ready
    assert "sessions_left=1" in ready
    assert state_of(cli, "good") == "done"
    assert state_of(cli, "bad") == "running"


@pytest.mark.parametrize("place", ["path", "abstract"])
def test_the_service_manager_hears_each_step(cli: CommandLine, place: str) -> None:
    address = f"@maestro-{os.getpid()}" if place == "abstract" else str(cli.directory / "notify")
    with ServiceManager(address) as manager:
        cli.environment["NOTIFY_SOCKET"] = address
        with killed_at_the_end(start(cli)) as process:
            before = manager.until("READY")
            os.kill(process.pid, signal.SIGTERM)
            assert process.wait(BOUND_SECONDS) == 0
        after = manager.heard()

    assert before[0] == {"STATUS": "verifying the state"}
    assert any("EXTEND_TIMEOUT_USEC" in message for message in before)
    assert before[-2] == {"STATUS": "sessions under way: 0"}
    statuses = [message["STATUS"] for message in after if "STATUS" in message]
    # With each request for time it is said again.
    assert [*dict.fromkeys(statuses)] == ["draining for at most 30 s", "closing the state"]
    assert {"STOPPING": "1"} in after


def test_how_many_sessions_are_taken_up_is_not_told_for_each(cli: CommandLine) -> None:
    for number in range(SESSIONS_MANY):
        session_under_way(cli, f"s{number}")
    with ServiceManager(str(cli.directory / "notify")) as manager:
        cli.environment["NOTIFY_SOCKET"] = manager.address
        with serving(cli):
            said = manager.until("READY")

    assert said[-2] == {"STATUS": f"sessions under way: {SESSIONS_MANY}"}
    assert len(said) < SESSIONS_MANY


def test_a_second_daemon_is_refused_and_the_first_does_not_notice(cli: CommandLine) -> None:
    with serving(cli) as process:
        second = cli("serve")
        stopped(process)

    assert second.returncode == 4
    assert f"owned by pid {process.pid}" in second.stderr
    assert process.returncode == 0


def test_a_command_that_only_looks_does_not_keep_a_daemon_from_starting(cli: CommandLine) -> None:
    session_under_way(cli, "going")
    address = str(cli.directory / "notify")
    with ServiceManager(address) as manager:
        cli.environment["NOTIFY_SOCKET"] = address
        with Store.inspect(cli.state_dir) as view, killed_at_the_end(start(cli)):
            while "waiting" not in manager.until("STATUS")[-1]["STATUS"]:
                pass
            view.close()
            manager.until("READY")


@pytest.mark.parametrize("why", ["told to stop", "patience"])
def test_another_owner_is_not_waited_for_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    monkeypatch.setattr(_patience, "PATIENCE_SECONDS", 0.0 if why == "patience" else 600.0)
    state = tmp_path / "state"
    with Store.open(state), pytest.raises(StateOwned):
        _patience.opened_patiently(state, RuntimeOptions(), lambda: why == "patience")


def test_a_program_that_has_the_state_and_does_not_listen_is_not_waited_for(tmp_path: Path) -> None:
    def goes_on() -> bool:
        raise AssertionError("it waits")

    with open_runtime(tmp_path), pytest.raises(StateOwned, match="which does not listen"):
        _patience.opened_patiently(tmp_path, RuntimeOptions(), goes_on)


def test_a_socket_that_cannot_be_made_keeps_a_daemon_from_starting(cli: CommandLine) -> None:
    result = cli("serve", "--socket", cli.directory / "missing" / "socket")

    assert result.returncode == 3
    assert "cannot be made" in result.stderr


def test_attempts_in_flight_end_before_a_daemon_does(cli: CommandLine) -> None:
    session_under_way(cli, "going", seconds=None)

    with serving(cli) as process:
        wait_for_event(cli, "going", "attempt_started", count=2)
        os.kill(process.pid, signal.SIGTERM)
        wait_for_line(process, "told to stop")
        let_go(cli, "going")
        _, said = process.communicate(timeout=BOUND_SECONDS)

    assert process.returncode == 0
    assert "drained" in said
    assert state_of(cli, "going") == "running"
    assert attempts_of(cli, "going") == {"note": ["ok"], "review": ["ok"]}


@pytest.mark.parametrize("reason", ["timeout", "second signal"])
def test_what_does_not_end_in_time_is_interrupted_and_can_go_on(
    cli: CommandLine, reason: str
) -> None:
    session_under_way(cli, "going")
    timeout = "0.1" if reason == "timeout" else "600"

    with serving(cli, "--drain-timeout", timeout) as process:
        wait_for_event(cli, "going", "attempt_started", count=2)
        os.kill(process.pid, signal.SIGTERM)
        if reason == "second signal":
            wait_for_line(process, "told to stop")
            os.kill(process.pid, signal.SIGINT)
        process.communicate(timeout=BOUND_SECONDS)

    assert process.returncode == 0
    assert state_of(cli, "going") == "running"
    assert attempts_of(cli, "going") == {"note": ["ok"], "review": ["interrupted"]}


def test_a_dump_tells_of_actors_and_threads(cli: CommandLine) -> None:
    session_under_way(cli, "going")

    with serving(cli) as process:
        wait_for_event(cli, "going", "attempt_started", count=2)
        os.kill(process.pid, signal.SIGUSR1)
        wait_for_line(process, "actors wait for a turn on their lane")
        wait_for_line(process, "(Coordinator): idle, 0 waiting, 0 restarts")
        wait_for_line(process, "thread maestro-journal")
        os.kill(process.pid, signal.SIGTERM)
        os.kill(process.pid, signal.SIGINT)


def test_a_daemon_that_draws_to_its_end_is_looked_at_as_before(cli: CommandLine) -> None:
    session_under_way(cli, "going")

    with serving(cli) as process:
        wait_for_event(cli, "going", "attempt_started", count=2)
        os.kill(process.pid, signal.SIGTERM)
        wait_for_line(process, "told to stop")
        listed = cli("session", "list")
        with Line(cli.state_dir / SOCKET_NAME) as line, pytest.raises(RuntimeDraining):
            line.ask(SUPERVISOR_ADDRESS, encode(ResumeSession(session_id="going")))
        os.kill(process.pid, signal.SIGTERM)

    assert listed.returncode == 0
    assert "going" in listed.stdout


def test_a_restart_goes_on_with_everything_and_repeats_nothing_that_was_done(
    cli: CommandLine,
) -> None:
    session_under_way(cli, "going", seconds=None)
    with serving(cli, "--drain-timeout", "0") as process:
        wait_for_event(cli, "going", "attempt_started", count=2)
        stopped(process)
    let_go(cli, "going")
    with serving(cli) as process:
        wait_for_event(cli, "going", "session_done")
        stopped(process)

    assert attempts_of(cli, "going") == {"note": ["ok"], "review": ["interrupted", "ok"]}


def test_a_disk_that_is_full_ends_a_daemon_with_a_code_of_its_own(cli: CommandLine) -> None:
    with serving(cli) as process:
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (4096, 4096))
        order = KeepValues(values={str(at): b"0" * 100_000 for at in range(8)})
        with Line(cli.state_dir / SOCKET_NAME) as line, pytest.raises((StoreFull, WireError)):
            line.ask(SUPERVISOR_ADDRESS, encode(order))
        _, said = process.communicate(timeout=BOUND_SECONDS)

    assert process.returncode == 74, said
    assert "error:" in said
