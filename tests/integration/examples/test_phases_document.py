"""Every block of docs/phases.md runs, and prints what the page says it prints."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from console import blocks_of, commands_of, not_printed

PAGE = (Path(__file__).parents[3] / "docs" / "phases.md").read_text()
BLOCKS = blocks_of(PAGE)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("phases")
    (team,) = (body for language, body in BLOCKS if language == "toml")
    (path / "team.toml").write_text(team)
    return path


def run(argv: list[str], directory: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        argv,
        cwd=directory,
        env={key: text for key, text in os.environ.items() if "MAESTRO" not in key},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=120,
    )


def test_the_commands_print_what_the_page_shows(directory: Path) -> None:
    alias = f'maestro-runtime() {{ "{sys.executable}" -m maestro_runtime "$@"; }}\n'
    steps = [
        step for language, body in BLOCKS if language == "console" for step in commands_of(body)
    ]

    for command, shown in steps:
        printed = run(["/bin/bash", "-c", alias + command], directory)
        assert printed.returncode == 0, printed.stdout
        assert not_printed(shown, printed.stdout) == [], f"$ {command}"


def test_the_python_blocks_are_one_program_that_runs(directory: Path) -> None:
    program = "\n".join(body for language, body in BLOCKS if language == "python")

    result = run([sys.executable, "-c", program], directory)

    assert result.returncode == 0, result.stdout


def test_there_is_no_block_that_is_not_run() -> None:
    assert {language for language, _ in BLOCKS} == {"toml", "console", "python"}
