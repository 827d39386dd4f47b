"""The overview: what runs, what waits for what, what is nearly used up."""

import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import termios

from command_line import CommandLine
from running import BOUND_SECONDS, killed_at_the_end, wait_for_line

BUDGET = """
[[budgets]]
id = "tiny"
limit = 200
action = "warn"
"""


def test_the_overview_has_what_waits_and_what_is_nearly_used_up(cli: CommandLine) -> None:
    persona = 'script = ["transient", "permanent"]\ngive_up_on_failure = false'
    persona += "\n[breakers.rehearsal]\nfailures_max = 1\nreset_seconds = 0.01"
    team = cli.team(persona)
    team.write_text(team.read_text() + BUDGET)
    assert cli("run", team, "--session", "s1").returncode == 8

    result = cli("top", "--json")
    found = json.loads(result.stdout)
    page = cli("top")

    assert found["sessions"] == {"help_needed": 1}
    assert found["tasks"] == {"help_needed": 1, "queued": 1}
    assert found["waits"] == {"person": 1}
    (row,) = found["rows"]
    assert (row["session_id"], row["state"]) == ("s1", "help_needed")
    assert row["tokens_used"] == row["tokens_per_minute"] == found["tokens_per_minute"] > 0
    (waiting,) = found["waiting"]
    assert (waiting["task_id"], waiting["waits_for"], waiting["attempt"]) == ("note", "person", 2)
    (budget,) = [line for line in found["budgets"] if line["budget_id"] == "tiny"]
    assert budget["spent"] == row["tokens_used"]
    assert budget["spent_permille"] == budget["spent"] * 1000 // 200 >= 500
    assert page.returncode == 0
    assert "sessions: 1 help needed\n" in page.stdout
    assert re.search(
        r"^s1 +note +person +- +2 of round 1 +writer +rehearsal$", page.stdout, re.MULTILINE
    )
    assert re.search(r"^tiny +- +s1 +session +total +200 ", page.stdout, re.MULTILINE)


def test_an_open_breaker_is_in_it(cli: CommandLine) -> None:
    assert cli("run", cli.team(), "--session", "s1").returncode == 0
    assert cli("breaker", "open", "rehearsal").returncode == 0

    (breaker,) = json.loads(cli("top", "--json").stdout)["breakers"]

    assert (breaker["name"], breaker["state"]) == ("rehearsal", "open")
    assert breaker["next_probe_ms"] > 0


def test_on_a_terminal_it_goes_on_until_ctrl_c_and_leaves_the_screen(cli: CommandLine) -> None:
    cli.environment |= {"TERM": "xterm-256color", "LANG": "C.UTF-8"}
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES"):
        cli.environment.pop(name, None)
    team = cli.team("latency_seconds = 600")
    with killed_at_the_end(cli.start("run", team, "--session", "hello")) as running:
        wait_for_line(running, "note: attempt 1 of round 1 started")
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 160, 0, 0))
        with subprocess.Popen(
            cli.argv("top"), env=cli.environment, stdin=theirs, stdout=theirs, stderr=theirs
        ) as top:
            os.close(theirs)
            sent = until(ours, "tokens a minute")
            top.send_signal(signal.SIGINT)
            sent += rest(ours)
            code = top.wait(BOUND_SECONDS)
        os.close(ours)

        assert "1 queued, 1 running" in sent
        assert sent.count("\x1b[?1049h") == sent.count("\x1b[?1049l") == 1
        assert code == 130
        assert running.poll() is None


def until(terminal: int, text: str) -> str:
    """Read what a terminal is sent until it has some text."""
    sent = b""
    while text.encode() not in sent:
        sent += os.read(terminal, 65536)
    return sent.decode()


def rest(terminal: int) -> str:
    """Read what a terminal is sent until nobody has its other side open."""
    sent = b""
    while True:
        try:
            sent += os.read(terminal, 65536)
        except OSError:
            return sent.decode()
