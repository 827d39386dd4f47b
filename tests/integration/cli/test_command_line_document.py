"""docs/command-line.md: its commands run, and it names every command and every exit code."""

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from console import blocks_of, commands_of, not_printed, printed_by
from maestro_runtime.cli._exit import ExitCode
from maestro_runtime.cli._main import _root

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "command-line.md").read_text()
CONSOLE = [body for language, body in blocks_of(PAGE) if language == "console"]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty directory with the team of the README in it."""
    path = tmp_path_factory.mktemp("command-line")
    blocks = blocks_of((ROOT / "README.md").read_text())
    (team,) = (body for language, body in blocks if language == "toml")
    (path / "team.toml").write_text(team)
    return path


@pytest.mark.parametrize("block", CONSOLE, ids=lambda block: block.split("\n", 1)[0])
def test_a_console_block_prints_what_it_shows(block: str, directory: Path) -> None:
    for command, shown in commands_of(block):
        assert not_printed(shown, printed_by(command, directory)) == [], f"$ {command}"


def test_the_page_names_every_command() -> None:
    named = set(re.findall(r"`([a-z][a-z -]*[a-z])", PAGE))

    assert {name for name, _ in commands(_root) if name not in named} == set()


def test_each_option_of_a_row_is_one_of_its_commands_with_the_values_it_takes() -> None:
    known = dict(commands(_root))
    rows = re.findall(r"^\| `.+$", PAGE[: PAGE.index("## Exit codes")], re.MULTILINE)

    for row in rows:
        named = [name for name in known if re.search(rf"`{name}\b", row)]
        options = {
            word: parameter
            for name in named
            for parameter in known[name].params
            for word in parameter.opts
        }
        for word, values in re.findall(r"(--[a-z-]+)(?: ([a-z]+(?:\\\|[a-z]+)+))?", row):
            assert word in options, row
            kind = options[word].type
            choices = set(kind.choices) if isinstance(kind, click.Choice) else set()
            assert not values or set(values.split(r"\|")) == choices, row


def test_the_page_says_which_commands_have_no_json() -> None:
    (sentence,) = re.findall(r"Only (.+?) have no `--json`", PAGE, re.DOTALL)

    without = {
        name
        for name, command in commands(_root)
        if not any("--json" in parameter.opts for parameter in command.params)
    }
    assert set(re.findall(r"`([a-z -]+)`", sentence)) == without


def test_the_page_has_every_exit_code() -> None:
    codes = {int(code) for code in re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)}

    assert codes == {int(code) for code in ExitCode}


def commands(command: click.Command, name: str = "") -> Iterator[tuple[str, click.Command]]:
    """Yield each command below a group, by all that is typed for it."""
    if not isinstance(command, click.Group):
        yield name, command
        return
    context = click.Context(command)
    for part in command.list_commands(context):
        below = command.get_command(context, part)
        assert below is not None
        yield from commands(below, f"{name} {part}".strip())
