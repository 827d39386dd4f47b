"""What makes the command line pleasant: suggestions, short names, quiet pipes, plain terminals."""

import json
import subprocess
from pathlib import Path

import pytest

from command_line import CommandLine

COMMANDS = [
    "",
    "run",
    "demo",
    "doctor",
    "version",
    "session",
    "session list",
    "session show",
    "session result",
    "session resume",
    "session fork",
    "checkpoint",
    "checkpoint list",
    "checkpoint show",
    "checkpoint verify",
    "checkpoint diff",
    "checkpoint prune",
    "checkpoint export",
    "checkpoint import",
    "tokens",
    "tokens report",
    "tokens history",
    "tokens budget",
    "tokens top-up",
    "tokens waste",
    "tokens alerts",
    "tokens lost",
    "tokens export",
    "tokens correct",
    "breaker",
    "breaker list",
    "breaker show",
    "breaker open",
    "breaker reset",
    "help-needed",
    "help-needed list",
    "help-needed show",
    "help-needed answer",
    "state",
    "state info",
    "state verify",
    "state backup",
    "state compact",
    "config",
    "config show",
]

NAMING = [
    "session show",
    "session result",
    "session resume",
    "checkpoint list",
    "checkpoint show",
    "checkpoint verify",
    "tokens report",
    "tokens waste",
    "help-needed list",
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command or "root")
def test_help_has_an_example_on_one_line(past: CommandLine, command: str) -> None:
    result = past(*command.split(), "-h")

    assert result.returncode == 0
    [example] = [line for line in result.stdout.splitlines() if "Example: " in line]
    assert example.strip().startswith(f"Example: maestro-runtime {command}".strip())
    assert "..." not in result.stdout.replace("[ARGS]...", "")


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("sesion", "session"),
        ("session shw x", "show"),
        ("state verfy", "verify"),
        ("session list --jsn", "--json"),
        ("run team.toml --sesion x", "--session"),
    ],
)
def test_a_mistyped_name_exits_with_2_and_suggests_one(
    past: CommandLine, wrong: str, meant: str
) -> None:
    result = past(*wrong.split())

    assert (result.returncode, result.stdout) == (2, "")
    assert "id you mean" in result.stderr
    assert f"'{meant}'" in result.stderr


def test_what_there_is_to_choose_from_is_legible(cli: CommandLine) -> None:
    result = cli("completion")

    assert result.returncode == 2
    assert result.stderr.endswith("Choose from:\n    bash,\n    zsh,\n    fish\n")


@pytest.mark.parametrize("command", NAMING)
def test_a_unique_beginning_of_a_session_id_is_enough(past: CommandLine, command: str) -> None:
    whole = past(*command.split(), "note-done", "--json")

    result = past(*command.split(), "note-d", "--json")

    assert result.returncode == 0
    assert json.loads(result.stdout) == json.loads(whole.stdout)


@pytest.mark.parametrize("command", NAMING)
def test_an_ambiguous_beginning_exits_with_2_and_names_the_candidates(
    past: CommandLine, command: str
) -> None:
    result = past(*command.split(), "note")

    assert (result.returncode, result.stdout) == (2, "")
    assert "several sessions begin with 'note': note-done, note-failed" in result.stderr


def test_an_empty_name_means_no_session_even_where_there_is_only_one(cli: CommandLine) -> None:
    cli("run", cli.team(), "--session", "s1")

    for command in ("show", "cancel", "remove"):
        refused = cli("session", command, "")

        assert refused.returncode == 5
        assert refused.stderr.endswith("error: no such session: ''\n")
    assert cli("session", "show", "s1").returncode == 0


def test_a_whole_id_wins_over_longer_ones_that_begin_with_it(cli: CommandLine) -> None:
    team = cli.team()
    for session in ("a", "ab"):
        cli("run", team, "--session", session)

    assert json.loads(cli("session", "show", "a", "--json").stdout)["session_id"] == "a"


def test_last_is_the_session_that_was_started_last(past: CommandLine) -> None:
    result = past("session", "show", "@last", "--json")

    assert json.loads(result.stdout)["session_id"] == "waits"


def test_without_any_session_a_list_is_empty_and_says_so(cli: CommandLine) -> None:
    listed = cli("session", "list")

    assert (listed.returncode, listed.stdout) == (0, "")
    assert listed.stderr == f"no sessions: no such state: {str(cli.state_dir)!r}\n"
    assert json.loads(cli("session", "list", "--json").stdout)["sessions"] == []
    assert cli("session", "show", "@last").returncode == 5


def test_tables_without_rows_say_so_on_stderr(past: CommandLine) -> None:
    shown = past("session", "show", "poor")
    delivered = past("session", "result", "poor")

    assert "no attempts yet" in shown.stderr
    assert (delivered.stdout, delivered.stderr) == ("", "no artifacts yet\n")


def test_progress_to_a_pipe_that_closes_is_dropped_and_the_run_goes_on(cli: CommandLine) -> None:
    with cli.start("run", cli.team(), "--session", "s1", "--json") as process:
        assert process.stderr is not None
        assert process.stdout is not None
        process.stderr.close()
        report = json.loads(process.stdout.read())

    assert process.returncode == 0
    assert report["state"] == "done"


def test_a_result_nobody_reads_ends_quietly_with_the_code_of_the_run(cli: CommandLine) -> None:
    team = cli.team('script = ["permanent"]')
    with cli.start("run", team, "--session", "s1") as process:
        assert process.stderr is not None
        assert process.stdout is not None
        process.stdout.close()
        messages = process.stderr.read()

    assert process.returncode == 1
    assert "Traceback" not in messages
    assert "Broken pipe" not in messages
    assert "session s1 is failed" in messages


def test_a_reader_of_both_streams_that_leaves_does_not_stop_the_run(cli: CommandLine) -> None:
    """As with `2>&1 | head -1`: a persona that prints much must not fail for it."""
    (cli.directory / "chatty.py").write_text(
        "from pathlib import Path\n"
        "def work(task):\n"
        "    for _ in range(5000):\n"
        "        print('x' * 50)\n"
        "    Path(task.workspace, 'note.md').write_text('x')\n"
    )
    team = cli.team('engine = "python"\ncallable = "chatty:work"\nmax_attempts = 1')
    process = subprocess.Popen(
        cli.argv("run", team, "--session", "s1"),
        cwd=cli.directory,
        env=cli.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    with process:
        assert process.stdout is not None
        process.stdout.close()

    assert process.returncode == 0


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_streams_that_are_closed_from_the_start_do_no_harm(cli: CommandLine, closed: str) -> None:
    """The store must not be opened under the number of a standard stream."""
    team = cli.team()
    argv = cli.argv("run", team, "--session", "s1")

    result = subprocess.run(
        ["/bin/sh", "-c", f'exec "$@" {closed}', "sh", *argv],
        cwd=cli.directory,
        env=cli.environment,
        check=False,
        timeout=120,
    )

    assert result.returncode == 0
    assert cli("session", "result", "s1").returncode == 0


def test_a_name_the_terminal_cannot_show_does_not_end_the_command(cli: CommandLine) -> None:
    cli.environment["PYTHONIOENCODING"] = "iso-8859-1"
    team = cli.team()
    team.write_text(team.read_text().replace('"note.md"', '"\u540d.md"'))
    cli("run", team, "--session", "s1")

    result = cli("session", "result", "s1")

    assert result.returncode == 0
    assert "\\u540d.md" in result.stdout


def test_control_characters_of_a_persona_are_replaced(cli: CommandLine) -> None:
    (cli.directory / "rude.py").write_text(
        "from maestro_runtime.engines.errors import Permanent\n"
        "def work(task):\n"
        "    raise Permanent('\\x1b]0;owned\\x07 \\x9b31m \\u202e')\n"
    )
    team = cli.team('engine = "python"\ncallable = "rude:work"')

    result = cli("run", team, "--session", "s1")

    assert result.returncode == 1
    assert "\N{REPLACEMENT CHARACTER}]0;owned" in result.stderr
    assert (result.stdout + result.stderr).replace("\n", "").isprintable()


def test_a_session_is_started_only_once(cli: CommandLine) -> None:
    team = cli.team('script = ["permanent"]\ngive_up_on_failure = false')
    first = cli("run", team, "--session", "s1")

    again = cli("run", team, "--session", "s1")

    assert first.stderr.startswith("session s1 started; workspace ")
    assert again.stderr.startswith("session s1 resumed; workspace ")


def test_demo_refuses_to_write_into_a_directory_that_is_used(cli: CommandLine) -> None:
    Path(cli.team())

    result = cli("demo", "--keep", cli.directory)

    assert result.returncode == 2
    assert "--keep must name an empty directory" in result.stderr


def test_who_mistypes_a_session_is_told_what_may_be_meant(past: CommandLine) -> None:
    close = past("session", "show", "note-doen")
    far = past("session", "show", "nobody", "--state-dir", past.state_dir)

    assert (close.returncode, far.returncode) == (5, 5)
    assert close.stderr == (
        "did you mean 'note-done'? to see all sessions: maestro-runtime session list\n"
        "error: no such session: 'note-doen'\n"
    )
    assert far.stderr.startswith(
        f"to see all sessions: maestro-runtime session list --state-dir {past.state_dir}\n"
    )
