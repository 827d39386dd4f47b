"""Sessions that a daemon runs for the command line, and a command line that may go."""

import os
import signal
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from subprocess import Popen

import pytest

from command_line import CommandLine
from maestro_runtime.cli._access import open_owner
from maestro_runtime.cli._attending import Attendance
from maestro_runtime.cli._following import followed
from maestro_runtime.cli._waiting import Deadline
from maestro_runtime.wire.errors import DaemonUnreachable
from maestro_runtime.wire.line import SOCKET_NAME
from maestro_runtime.wire.orders import Accepted
from running import BOUND_SECONDS, killed_at_the_end, wait_for_line
from served import (
    held_team,
    let_go,
    serving,
    session_under_way,
    slow_team,
    state_of,
    stopped,
    wait_for_event,
)


@pytest.fixture
def daemon(cli: CommandLine) -> Iterator[Popen[str]]:
    with serving(cli) as process:
        yield process


def test_a_daemon_runs_a_team_for_a_command_that_shows_all_of_it(
    cli: CommandLine, daemon: Popen[str]
) -> None:
    ran = cli("run", cli.team(), "--session", "hello")
    again = cli("run", cli.team(), "--session", "hello")

    assert ran.returncode == 0, ran.stderr
    assert "session hello started; workspace " in ran.stderr
    assert "note: done" in ran.stderr
    assert "session hello is done: 2 of 2 tasks done" in ran.stderr
    assert again.returncode == 0
    assert "session hello has already ended" in again.stderr
    assert again.stdout == ran.stdout
    assert (cli.directory / "maestro-output" / "hello" / "note.md").is_file()
    assert daemon.poll() is None


@pytest.mark.parametrize(
    ("number", "code", "what"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")],
)
def test_whoever_stops_waiting_leaves_the_run_alone_and_hears_how_to_come_back(
    cli: CommandLine, daemon: Popen[str], number: signal.Signals, code: int, what: str
) -> None:
    with killed_at_the_end(cli.start("run", held_team(cli), "--session", "hello")) as process:
        wait_for_line(process, "review: attempt 1 of round 1 started")
        process.send_signal(number)
        _, said = process.communicate(timeout=BOUND_SECONDS)
    let_go(cli, "hello")
    wait_for_event(cli, "hello", "session_done")

    assert process.returncode == code
    assert said.splitlines()[-1] == (
        f"{what}; detached: session hello goes on in process {daemon.pid}; "
        "to come back: maestro-runtime session watch hello"
    )


def test_a_run_is_waited_for_no_longer_than_it_is_said_and_goes_on(
    cli: CommandLine, daemon: Popen[str]
) -> None:
    team = slow_team(cli)

    waited = cli("run", team, "--session", "hello", "--timeout", "0.5")

    assert waited.returncode == 124, waited.stderr
    assert f"it takes longer; detached: session hello goes on in process {daemon.pid}" in (
        waited.stderr
    )
    assert daemon.poll() is None


def test_without_a_daemon_a_run_that_takes_longer_stays_resumable(cli: CommandLine) -> None:
    waited = cli("run", slow_team(cli), "--session", "hello", "--timeout", "0.5")

    assert waited.returncode == 124, waited.stderr
    assert "it takes longer; to go on: maestro-runtime session resume hello" in waited.stderr


def test_a_detached_run_prints_its_id_and_goes_on(cli: CommandLine, daemon: Popen[str]) -> None:
    started = cli("run", cli.team(), "--session", "hello", "--detach")
    wait_for_event(cli, "hello", "session_done")

    assert (started.returncode, started.stdout) == (0, "hello\n")
    assert "to come back: maestro-runtime session watch hello" in started.stderr
    assert daemon.poll() is None


def test_a_detached_run_needs_a_daemon(cli: CommandLine) -> None:
    refused = cli("run", cli.team(), "--detach")

    assert (refused.returncode, refused.stdout) == (3, "")
    assert f"error: no daemon has the state directory {cli.state_dir}" in refused.stderr
    assert "maestro-runtime serve --state-dir" in refused.stderr
    assert not cli.state_dir.exists()


def test_the_same_key_and_input_attach_to_the_session_that_runs(
    cli: CommandLine, daemon: Popen[str]
) -> None:
    order = ("run", slow_team(cli), "--idempotency-key", "k-1")
    with killed_at_the_end(cli.start(*order)) as process:
        wait_for_line(process, "review: attempt 1 of round 1 started")
        attached = cli(*order, "--timeout", "0.5")
        other = cli("run", cli.team(), "--idempotency-key", "k-1", "--requirement", "else")

    assert attached.returncode == 124, attached.stderr
    assert other.returncode == 6
    assert daemon.poll() is None


def test_who_watches_sees_all_of_a_run_over_a_restart_of_its_daemon(cli: CommandLine) -> None:
    with serving(cli) as first:
        team = slow_team(cli)
        with killed_at_the_end(cli.start("run", team, "--session", "hello")) as process:
            wait_for_line(process, "review: attempt 1 of round 1 started")
            first.kill()
            first.communicate(timeout=BOUND_SECONDS)
            with serving(cli) as second:
                wait_for_line(process, "review: attempt 2 of round 1 started")
                cli("session", "cancel", "hello")
                _, said = process.communicate(timeout=BOUND_SECONDS)
                stopped(second)

    assert "hello: cancelled" in said
    assert process.returncode == 1


def test_who_attends_a_daemon_that_stands_still_leaves_it_and_finds_it_again(
    cli: CommandLine, daemon: Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cli("run", slow_team(cli), "--session", "hello", "--detach")
    attending = followed(cli.state_dir / SOCKET_NAME, "hello")
    # Whoever works has as long as ever, whatever else the machine does.
    with monkeypatch.context() as hasty:
        hasty.setattr("maestro_runtime.wire.line.ANSWER_SECONDS", 0.2)
        owner, _ = next(attending)
    assert owner is not None

    daemon.send_signal(signal.SIGSTOP)
    # Its threads stop one after the other: until the last has, it may answer.
    os.waitid(os.P_PID, daemon.pid, os.WSTOPPED)
    try:
        with pytest.raises(DaemonUnreachable, match="timed out"):
            owner.why_left("hello")
        with monkeypatch.context() as hasty:
            hasty.setattr("maestro_runtime.wire.line.WELCOME_SECONDS", 0.2)
            # What was on its way when it was stopped, at most, is seen before.
            assert any(found is None for found, _ in islice(attending, 10))
    finally:
        daemon.send_signal(signal.SIGCONT)

    back = next(found for found, _ in attending if found is not None)
    assert back.why_left("hello") is None


def test_a_run_beside_a_foreground_run_attaches_to_that_and_to_no_other(
    cli: CommandLine, running: Popen[str]
) -> None:
    team = cli.directory / "team.toml"

    attached = cli("run", team, "--session", "hello", "--timeout", "0.5")
    other = cli("run", team, "--session", "other")
    resumed = cli("session", "resume", "hello", "--timeout", "0.5")
    changed = cli("run", team, "--session", "hello", "--requirement", "else")

    assert (attached.returncode, resumed.returncode) == (124, 124), attached.stderr
    assert other.returncode == 4
    assert "`maestro-runtime serve`" in other.stderr
    assert changed.returncode == 6
    assert running.poll() is None


def test_who_attends_a_foreground_run_sees_its_end_though_its_process_goes_with_it(
    cli: CommandLine, running: Popen[str]
) -> None:
    attending = cli.start("run", cli.directory / "team.toml", "--session", "hello")
    with killed_at_the_end(attending):
        wait_for_line(attending, "session hello resumed")
        cancelled = cli("session", "cancel", "hello", "--json")
        out, said = attending.communicate(timeout=BOUND_SECONDS)
    running.communicate(timeout=BOUND_SECONDS)

    assert cancelled.returncode == 0, cancelled.stderr
    assert '"state": "cancelled"' in cancelled.stdout
    assert attending.returncode == 1
    assert "session hello is cancelled" in said
    assert "cancelled" in out


@pytest.mark.parametrize("hosted", [True, False])
def test_a_session_that_runs_is_rerun_and_removed_from_another_process(
    cli: CommandLine, request: pytest.FixtureRequest, hosted: bool
) -> None:
    if hosted:
        request.getfixturevalue("daemon")
        cli("run", slow_team(cli), "--session", "hello", "--detach")
        wait_for_event(cli, "hello", "attempt_started", count=2)
    else:
        request.getfixturevalue("running")

    rerun = cli("session", "rerun", "hello", "--from", "write", "--interrupt")
    wait_for_event(cli, "hello", "attempt_started", count=4)
    refused = cli("session", "remove", "hello")
    removed = cli("session", "remove", "hello", "--cancel")

    assert rerun.returncode == 0, rerun.stderr
    assert "queued; it goes on by itself" in rerun.stderr
    assert refused.returncode == 6
    assert removed.returncode == 0, removed.stderr
    assert "session hello is removed" in removed.stderr
    assert cli("session", "show", "hello").returncode == 5


def test_a_daemon_is_found_at_the_socket_that_the_environment_names(
    cli: CommandLine, tmp_path: Path
) -> None:
    cli.environment["MAESTRO_SOCKET"] = str(tmp_path / "elsewhere.sock")
    with serving(cli):
        ran = cli("run", cli.team(), "--session", "hello")
        pruned = cli("checkpoint", "prune", "hello")

    assert ran.returncode == 0, ran.stderr
    assert pruned.returncode == 0, pruned.stderr
    assert not (cli.state_dir / "maestro.sock").exists()


def test_whoever_comes_when_the_daemon_dies_is_shown_what_the_next_one_does(
    cli: CommandLine, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(cli) as first:
        cli("run", held_team(cli), "--session", "hello", "--detach")
        with open_owner(str(cli.state_dir)) as owner:
            assert owner is not None
            first.kill()
            first.wait(BOUND_SECONDS)
            accepted = Accepted(session_id="hello", rests=False)
            attendance = Attendance(cli.state_dir, owner, accepted)
            let_go(cli, "hello")
            with serving(cli):
                report = attendance.to_the_end(
                    "started", known=0, as_json=False, deadline=Deadline(BOUND_SECONDS)
                )

    assert report.state == "done"
    shown = capsys.readouterr().err
    assert shown.startswith("session hello started; workspace ")
    assert "hello: started" in shown
    assert "hello: done" in shown


def test_a_state_that_a_flag_names_is_meant_whatever_socket_the_environment_names(
    cli: CommandLine, tmp_path: Path
) -> None:
    session_under_way(cli, "mine", seconds=0.1)
    other = CommandLine(tmp_path / "other")
    other.directory.mkdir()
    session_under_way(other, "mine", seconds=0.1)
    named = ("--state-dir", other.state_dir)
    with serving(cli):
        wait_for_event(cli, "mine", "session_done")
        cli.environment["MAESTRO_SOCKET"] = str(cli.state_dir / SOCKET_NAME)

        refused = cli("session", "remove", "mine", *named)
        listed = cli("session", "list", *named)
        removed = cli("session", "remove", "mine", "--state-dir", cli.state_dir)

    assert refused.returncode == 6, refused.stderr
    assert "it must have ended" in refused.stderr
    assert "mine" in listed.stdout
    assert removed.returncode == 0, removed.stderr
    assert state_of(other, "mine") == "running"


def test_a_state_that_a_flag_names_is_reached_at_its_own_socket(
    cli: CommandLine, tmp_path: Path
) -> None:
    session_under_way(cli, "mine", seconds=0.1)
    other = CommandLine(tmp_path / "other")
    other.directory.mkdir()
    with serving(other), serving(cli) as daemon:
        wait_for_event(cli, "mine", "session_done")
        other.environment["MAESTRO_SOCKET"] = str(other.state_dir / SOCKET_NAME)

        checkpointed = other(
            *("session", "checkpoint", "mine", "--name", "end", "--state-dir", cli.state_dir)
        )
        diagnosed = other("doctor", "--state-dir", cli.state_dir, "--json")
        followed = other.start("events", "-f", "--since", "1", "--state-dir", cli.state_dir)
        with killed_at_the_end(followed):
            assert followed.stdout is not None
            first = followed.stdout.readline()

    assert checkpointed.returncode == 0, checkpointed.stderr
    assert "mine: started" in first
    assert f"pid {daemon.pid}, " in diagnosed.stdout


def test_a_socket_that_the_environment_names_is_asked_for_records_too(
    cli: CommandLine, tmp_path: Path
) -> None:
    session_under_way(cli, "mine", seconds=0.1)
    socket = cli.state_dir / SOCKET_NAME
    stranger = CommandLine(tmp_path / "stranger")
    stranger.directory.mkdir()
    stranger.environment["MAESTRO_SOCKET"] = str(socket)
    with serving(cli):
        shown = stranger("session", "show", "mine")
        verified = stranger("state", "verify")

    assert shown.returncode == 0, shown.stderr
    assert verified.returncode == 0, verified.stderr
    assert str(cli.state_dir) in verified.stderr
    assert not stranger.state_dir.exists()


def test_a_state_beside_a_daemon_is_not_compacted_and_it_is_said_what_can_be_done(
    cli: CommandLine, daemon: Popen[str]
) -> None:
    refused = cli("state", "compact")
    named = cli("state", "backup", "copy")

    assert refused.returncode == 4, refused.stderr
    hint, error = refused.stderr.splitlines()
    assert hint.endswith("a compact copy can be had now: `state backup`")
    assert f"is owned by pid {daemon.pid} " in error
    assert named.returncode == 0, named.stderr
