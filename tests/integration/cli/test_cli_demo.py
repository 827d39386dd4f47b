"""The demo: a kill in the middle of a phase, a resume, and an honest account of both."""

import json
import re
from pathlib import Path

import pytest

from command_line import CommandLine
from maestro_runtime.cli import demo
from maestro_runtime.cli._exit import ExitCode


def test_the_demo_kills_a_run_resumes_it_and_shows_what_was_kept(cli: CommandLine) -> None:
    # Whatever is configured here, the demo is the same.
    cli.environment |= {"MAESTRO_TOKEN_BUDGET": "1", "MAESTRO_MAX_ATTEMPTS": "1"}

    result = cli("demo", "--keep", "kept")

    assert result.returncode == 0, result.stderr
    messages = result.stderr
    assert re.search(r"kill -9: process \d+ is gone, in the middle of a phase", messages)
    assert "session demo resumed" in messages
    [(done, tasks)] = re.findall(r"durable: (\d+) of (\d+) tasks done, \d+ tokens", messages)
    assert 0 < int(done) < int(tasks)
    assert f"{done} finished tasks kept, 0 run again; tokens: " in messages
    rows = [re.split("  +", line) for line in result.stdout.splitlines()[1:]]
    assert len(rows) == int(tasks)
    assert all(state == "done" for _, _, state, *_ in rows)
    assert sum(fate == "kept" for _, _, _, fate, *_ in rows) == int(done)
    [in_flight] = re.findall(r"in flight: (.+)", messages)
    for task in in_flight.split(", "):
        [(fate, attempts)] = [(row[3], row[4]) for row in rows if row[1] == task]
        assert fate == "repeated: its call was in flight"
        assert "(1 cut short)" in attempts
    shown = json.loads(cli("session", "show", "demo", "--state-dir", "kept/state", "--json").stdout)
    assert f"tokens: {shown['tokens_used']} in all" in messages


def test_the_demo_fails_if_the_run_ends_before_it_is_killed(
    cli: CommandLine, capfd: pytest.CaptureFixture[str]
) -> None:
    team = cli.team()  # it has no phase "design", so the kill is never due

    code = demo._demo(cli.directory / "demo", team, as_json=False)

    assert code == ExitCode.NOT_FULFILLED
    assert "the run was to be killed, but ended with exit code 0" in capfd.readouterr().err


def test_the_demo_is_packaged_with_its_team() -> None:
    assert Path(demo._team_file()).read_text().startswith("# A team of six personas")
