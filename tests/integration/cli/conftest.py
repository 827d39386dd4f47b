from pathlib import Path

import pytest

from command_line import CommandLine


@pytest.fixture
def cli(tmp_path: Path) -> CommandLine:
    """The command line, in an empty directory with a state of its own."""
    return CommandLine(tmp_path)


@pytest.fixture(scope="session")
def past(tmp_path_factory: pytest.TempPathFactory) -> CommandLine:
    """The command line over a state that has seen four sessions; only for commands that look.

    `note-done` has a retry behind it, `note-failed` gave up, `poor` ran out of tokens, and
    `waits`, the last one, needs a person.
    """
    cli = CommandLine(tmp_path_factory.mktemp("past"))
    for session, persona, code in (
        ("note-done", 'script = ["transient", "ok"]', 0),
        ("note-failed", 'script = ["permanent"]', 1),
        ("poor", "token_budget = 1", 7),
        ("waits", 'script = ["permanent"]\ngive_up_on_failure = false', 8),
    ):
        result = cli("run", cli.team(persona), "--session", session)
        assert result.returncode == code, result.stderr
    return cli
