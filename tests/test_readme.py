"""Every code block of the README runs, and prints what the README says it prints."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from console import blocks_of, commands_of, not_printed, printed_by
from maestro_runtime import RuntimeOptions, open_runtime
from maestro_runtime.daemon import reachable
from maestro_storage import RetentionPolicy, StoreOptions

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = blocks_of(README)
CONSOLE = [
    body
    for language, body in BLOCKS
    # That of an example is a part of the example's own tour, and is held against it there.
    if language == "console" and "examples/failure-lab" not in body
]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty directory with the team of the README in it."""
    path = tmp_path_factory.mktemp("readme")
    (team,) = (body for language, body in BLOCKS if language == "toml")
    (path / "team.toml").write_text(team)
    return path


def test_every_block_is_of_a_kind_that_is_run_here() -> None:
    kinds = [language for language, _ in BLOCKS]

    assert set(kinds) == {"", "console", "toml", "python"}
    assert kinds.count("") == 1, "only the picture is not run"


@pytest.mark.parametrize("block", CONSOLE, ids=lambda block: block.split("\n", 1)[0])
def test_a_console_block_prints_what_it_shows(block: str, directory: Path) -> None:
    for command, shown in commands_of(block):
        printed = _run(command, directory)

        assert not_printed(shown, printed) == [], f"$ {command}"


def test_the_first_screen_shows_a_whole_program() -> None:
    program, _ = (body for language, body in BLOCKS if language == "python")

    assert len(program.splitlines()) <= 10
    assert README.index(program) < README.index("## See it survive")


def test_the_python_block_runs_and_finds_the_session_done(directory: Path) -> None:
    # As it stands, in the state that the blocks before it have left: so do readers.
    program, _ = (body for language, body in BLOCKS if language == "python")

    result = subprocess.run(
        [sys.executable, "-c", program],
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    assert result.returncode == 0, result.stderr
    assert re.fullmatch(r"done \d+ \['src/\w+\.py'\]\n", result.stdout)


def test_the_python_block_beside_a_daemon_follows_a_session_to_its_end(directory: Path) -> None:
    _, program = (body for language, body in BLOCKS if language == "python")
    options = RuntimeOptions(store=StoreOptions(ballast_bytes=1 << 16))

    with open_runtime(directory / "state", options) as runtime, reachable(runtime, hosts=True):
        result = subprocess.run(
            [sys.executable, "-c", program],
            cwd=directory,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("1 session_started\n")
    assert result.stdout.endswith(" session_done\ndone\n")


def test_the_readme_says_how_long_sessions_are_kept() -> None:
    kept = RetentionPolicy()

    assert (
        f"kept for {kept.age_days} days, the newest {kept.sessions_max:,} of them, "
        f"and at most {kept.bytes_max >> 30} GiB" in README
    )


def test_the_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

    for text in (README, (ROOT / "CONTRIBUTING.md").read_text()):
        assert set(re.findall(r"(?:`|\$ )make ([a-z]+)", text)) <= targets


def _run(command: str, directory: Path) -> str:
    """Run one command as a reader would; return all it printed."""
    if not command.startswith("make "):
        return printed_by(command, directory)
    # A make run from here could lay the environment of this very process anew: its recipe is
    # read, and run. That of `make test` is this test-suite.
    argv = ["make", "-C", str(ROOT), "-n", "--no-print-directory", *command.split()[1:]]
    recipe = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=120)
    command = recipe.stdout.splitlines()[-1].removeprefix(".venv/bin/")
    return "" if "pytest" in command else printed_by(command, directory)
