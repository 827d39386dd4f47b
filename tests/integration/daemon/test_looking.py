"""Commands that look work while another process runs a session, and say what they say alone."""

from subprocess import Popen

from command_line import CommandLine
from running import BOUND_SECONDS

LOOKING = (
    "session list",
    "session show hello",
    "checkpoint list hello",
    "checkpoint show hello",
    "tokens report",
    "tokens history",
    "tokens alerts",
    "tokens lost",
    "tokens waste",
    "breaker list",
    "breaker show rehearsal",
    "help-needed list",
)


def test_a_command_that_looks_prints_the_same_beside_a_run_and_after_it(
    cli: CommandLine, running: Popen[str]
) -> None:
    beside = {command: cli(*command.split(), "--json") for command in LOOKING}
    running.kill()
    running.communicate(timeout=BOUND_SECONDS)
    after = {command: cli(*command.split(), "--json") for command in LOOKING}

    assert {command: result.stderr for command, result in beside.items() if result.stderr} == {}
    for command in LOOKING:
        assert beside[command].stdout == after[command].stdout != ""


def test_what_a_fork_or_a_rerun_would_cost_is_said_beside_a_run(
    cli: CommandLine, running: Popen[str]
) -> None:
    forked = cli("session", "fork", "hello", "--from", "write", "--dry-run")
    rerun = cli("session", "rerun", "hello", "--from", "write", "--dry-run")

    assert forked.returncode == 0, forked.stderr
    assert "phase check runs review" in forked.stderr
    assert rerun.returncode == 0, rerun.stderr
    assert "phases write, check run note, review" in rerun.stderr
    assert running.poll() is None


def test_show_says_how_to_go_on_only_if_nobody_runs_the_session(
    cli: CommandLine, running: Popen[str]
) -> None:
    beside = cli("session", "show", "hello").stderr
    running.kill()
    running.communicate(timeout=BOUND_SECONDS)

    assert "session resume" not in beside
    assert "session resume hello" in cli("session", "show", "hello").stderr


def test_an_owner_without_a_socket_is_named(cli: CommandLine, running: Popen[str]) -> None:
    (cli.state_dir / "maestro.sock").unlink()

    result = cli("session", "list")

    assert result.returncode == 4
    assert f"is owned by pid {running.pid}" in result.stderr
