from collections.abc import Iterator
from pathlib import Path
from subprocess import Popen

import pytest

from command_line import CommandLine
from running import killed_at_the_end, wait_for_line


@pytest.fixture
def cli(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path)


@pytest.fixture
def running(cli: CommandLine) -> Iterator[Popen[str]]:
    """A run whose first task is done, and whose second one takes longer than any test."""
    team = cli.team()
    slow = "[personas.reviewer]\nlatency_seconds = 600"
    team.write_text(team.read_text().replace("[personas.reviewer]", slow))
    with killed_at_the_end(cli.start("run", team, "--session", "hello")) as process:
        wait_for_line(process, "review: attempt 1 of round 1 started")
        yield process
