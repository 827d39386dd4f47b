"""Progress on a real terminal: a live tree, unless the terminal or its user cannot have one."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios

import pytest

from command_line import CommandLine

ROWS, COLUMNS = 40, 160
ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def on_terminal(cli: CommandLine, *arguments: object) -> str:
    """Run with a terminal as stderr; return all that the terminal was sent."""
    ours, theirs = pty.openpty()
    try:
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        process = subprocess.Popen(
            cli.argv(*arguments),
            cwd=cli.directory,
            env=cli.environment,
            stdin=theirs,
            stdout=subprocess.DEVNULL,
            stderr=theirs,
        )
    finally:
        os.close(theirs)
    chunks = []
    with process, os.fdopen(ours, "rb", buffering=0) as terminal:
        while True:
            try:
                chunk = terminal.read(65536)
            except OSError:
                break  # this is how the end looks here: nobody has the other side open
            chunks.append(chunk)
    return b"".join(chunks).decode()


@pytest.fixture
def tty(cli: CommandLine) -> CommandLine:
    """The command line with the environment of an able terminal."""
    cli.environment |= {"TERM": "xterm-256color", "LANG": "C.UTF-8"}
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES"):
        cli.environment.pop(name, None)
    return cli


def test_the_tree_shows_phases_tasks_attempts_pauses_and_tokens(tty: CommandLine) -> None:
    team = tty.team(
        # Each for much longer than it takes to draw the tree anew.
        'script = ["transient", "ok"]\nbackoff_seconds = 2\nbackoff_max_seconds = 2\n'
        "latency_seconds = 1.5"
    )

    sent = on_terminal(tty, "run", team, "--session", "s1")

    assert "\x1b[" in sent
    text = ESCAPE.sub("", sent)
    for part in (
        r"s1  pair  [1-9][0-9]* tokens",
        r"write  0/1",
        r"write  1/1",
        r"check  1/1",
        r"· The review \(reviewer\)  queued",
        r"▶ The note \(writer\)  running  attempt 1 of round 1",
        r"… The note \(writer\)  waiting  attempt 1 of round 1: transient  next in \d s  \d+ token",
        r"▶ The note \(writer\)  running  attempt 2 of round 1  \d+ tokens",
        r"✓ The note \(writer\)  done",
    ):
        assert re.search(part, text), part
    assert not re.search(r"^\d\d:\d\d:\d\d ", text, re.MULTILINE)
    assert "session s1 is done: 2 of 2 tasks done" in text


def test_what_a_persona_says_cannot_drive_the_terminal(tty: CommandLine) -> None:
    (tty.directory / "rude.py").write_text(
        "from maestro_runtime.engines.errors import Permanent\n"
        "def work(task):\n"
        "    raise Permanent('\\x1b]0;owned\\x07 \\x9b31m')\n"
    )
    team = tty.team('engine = "python"\ncallable = "rude:work"')

    sent = on_terminal(tty, "run", team, "--session", "s1")

    assert "]0;owned" in sent
    assert "\x1b]0;owned" not in sent
    assert not {"\x07", "\x9b"} & set(sent)


def test_what_a_function_writes_to_stderr_comes_above_the_tree_without_secrets(
    tty: CommandLine,
) -> None:
    tty.environment["SERVICE_API_KEY"] = secret = "c4nary-of-a-terminal"
    (tty.directory / "loud.py").write_text(
        "import os, sys\n"
        "def work(task):\n"
        "    print('written', os.environ['SERVICE_API_KEY'], file=sys.stderr)\n"
        "    print('printed', os.environ['SERVICE_API_KEY'])\n"
        "    raise LookupError\n"
    )
    team = tty.team('engine = "python"\ncallable = "loud:work"')

    sent = on_terminal(tty, "run", team, "--session", "s1")

    lines = ESCAPE.sub("", sent).replace("\r", "\n").splitlines()
    assert {"written ***", "printed ***", "├── write  0/1"} <= set(lines)
    assert secret not in sent


@pytest.mark.parametrize("setting", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=str)
def test_a_plain_terminal_gets_plain_lines(tty: CommandLine, setting: dict[str, str]) -> None:
    tty.environment |= setting

    sent = on_terminal(tty, "run", tty.team(), "--session", "s1")

    assert "\x1b" not in sent
    assert "note: attempt 1 of round 1 started by writer" in sent
    assert "s1: done" in sent


def test_an_alert_of_a_budget_does_not_change_where_its_task_stands(tty: CommandLine) -> None:
    team = tty.team()
    team.write_text(
        team.read_text() + '[[budgets]]\nid = "tight"\nlimit = 9000\nthresholds = [0.001]'
    )

    sent = on_terminal(tty, "run", team, "--session", "s1")

    assert tty("tokens", "alerts").stdout.count("tight") == 1
    text = ESCAPE.sub("", sent)
    assert re.search(r"✓ The note \(writer\)  done", text)
    assert not re.search(r"\(writer\)  (budget_)?alert", text)


def test_an_engine_that_has_changed_is_told_above_the_tree(tty: CommandLine) -> None:
    program = tty.directory / "work.py"
    program.write_text("raise SystemExit(1)\n")
    team = tty.team(
        'engine = "command"\ncommand = { argv = ["python3", "work.py"] }\n'
        "max_attempts = 1\nmax_rounds = 1\ngive_up_on_failure = false"
    )
    assert tty("run", team, "--session", "s1").returncode == 8
    program.write_text("open('note.md', 'w').write('fine')\n")
    assert tty("help-needed", "answer", "s1", "note", "--retry").returncode == 0

    sent = on_terminal(tty, "session", "resume", "s1")

    text = ESCAPE.sub("", sent)
    assert text.count("engine command of writer is not what it was before") == 1
    assert "session s1 is done: 2 of 2 tasks done" in text
