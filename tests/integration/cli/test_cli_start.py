"""What a command that only reads may load: it must start at once."""

import subprocess
import sys

import pytest

from command_line import CommandLine


@pytest.fixture(scope="module")
def waiting(tmp_path_factory: pytest.TempPathFactory) -> CommandLine:
    """Return a command line on a state with one session, which waits for a person."""
    cli = CommandLine(tmp_path_factory.mktemp("start"))
    team = cli.team('script = ["permanent"]\ngive_up_on_failure = false')
    assert cli("run", team, "--session", "s1").returncode == 8
    return cli


@pytest.mark.parametrize(
    "command",
    [
        "session list",
        "session show s1",
        "session result s1",
        "session logs s1",
        "events",
        "top",
        "session show missing",
        "tokens report",
        "tokens budget",
        "tokens history",
        "tokens waste",
        "tokens alerts",
        "tokens lost",
        "tokens export",
        "breaker list",
        "breaker show rehearsal",
        "help-needed list",
        "help-needed show s1 note",
        "checkpoint list s1",
        "state info",
        "state verify",
    ],
)
def test_a_command_that_only_reads_loads_neither_actors_nor_engines(
    waiting: CommandLine, command: str
) -> None:
    absent = {
        "asyncio",
        "http",
        "importlib.metadata",
        "maestro_actors.kernel",
        "maestro_actors.messages",
        "maestro_runtime.config.team_file",
        "maestro_runtime.engines.host",
        "maestro_runtime.runtime",
        "maestro_runtime.tickets.desk",
        "pykka",
        "rich",
        "structlog",
    }

    result = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "maestro_runtime", *command.split()],
        env=waiting.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    loaded = {line.rsplit("|", 1)[-1].strip() for line in result.stderr.splitlines()}
    assert "maestro_storage.records" in loaded
    assert not loaded & absent
