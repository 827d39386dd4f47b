from pathlib import Path

import pytest

from command_line import CommandLine


@pytest.fixture
def cli(tmp_path: Path) -> CommandLine:
    """The command line, in an empty directory with a state of its own."""
    return CommandLine(tmp_path)
