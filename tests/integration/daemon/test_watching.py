"""Watching what another process runs."""

import signal
from subprocess import Popen

import pytest

from command_line import CommandLine
from running import BOUND_SECONDS, killed_at_the_end, wait_for_line
from served import held_team, let_go, serving


def held(cli: CommandLine, session: str, code: int = 0) -> None:
    """Have a daemon run a session whose second task is held."""
    assert cli("run", held_team(cli, code), "--session", session, "--detach").returncode == 0


@pytest.mark.parametrize(("code", "state"), [(0, "done"), (1, "failed")])
def test_a_session_is_watched_to_its_end_with_its_exit_code(
    cli: CommandLine, code: int, state: str
) -> None:
    with serving(cli):
        held(cli, "hello", code)
        with killed_at_the_end(cli.start("session", "watch", "hello")) as watch:
            wait_for_line(watch, "review: attempt 1 of round 1 started")
            let_go(cli, "hello")
            out, said = watch.communicate(timeout=BOUND_SECONDS)
        again = cli("session", "watch", "hello")

    assert (watch.returncode, again.returncode) == (code, code), said
    assert f"review: {state}" in said
    assert f"session hello is {state}" in said
    assert again.stdout == out


def test_a_watch_goes_on_over_the_death_of_a_daemon(cli: CommandLine) -> None:
    with serving(cli) as first:
        held(cli, "hello")
        with killed_at_the_end(cli.start("session", "watch", "hello")) as watch:
            wait_for_line(watch, "review: attempt 1 of round 1 started")
            first.kill()
            first.communicate(timeout=BOUND_SECONDS)
            with serving(cli):
                let_go(cli, "hello")
                _, said = watch.communicate(timeout=BOUND_SECONDS)

    assert watch.returncode == 0, said
    assert said.count("review: attempt 1 of round 1 failed: interrupted") == 1
    assert said.count("review: done") == 1
    assert "session hello is done" in said


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["SIGINT", "SIGTERM"]
)
def test_who_stops_watching_leaves_the_session_alone(
    cli: CommandLine, running: Popen[str], number: signal.Signals, code: int
) -> None:
    with killed_at_the_end(cli.start("session", "watch", "hello")) as watch:
        wait_for_line(watch, "review: attempt 1 of round 1 started")
        watch.send_signal(number)
        _, said = watch.communicate(timeout=BOUND_SECONDS)

    assert watch.returncode == code
    assert f"session hello goes on in process {running.pid}" in said
    assert running.poll() is None


def test_a_session_that_nobody_runs_is_shown_as_it_is(
    cli: CommandLine, running: Popen[str]
) -> None:
    running.kill()
    running.communicate(timeout=BOUND_SECONDS)

    left = cli("session", "watch", "hello")
    missing = cli("session", "watch", "nothing")

    assert left.returncode == 1
    assert "no process runs it; to go on: maestro-runtime session resume hello" in left.stderr
    assert missing.returncode == 5
