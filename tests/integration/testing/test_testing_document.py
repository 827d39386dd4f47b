"""Every block of docs/testing.md runs."""

import subprocess
import sys
from pathlib import Path

from console import blocks_of

BLOCKS = blocks_of((Path(__file__).parents[3] / "docs" / "testing.md").read_text())
FILES = {body.split("\n", 1)[0][2:]: body for _, body in BLOCKS if body.startswith("# ")}


def run(directory: Path, *argv: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", *argv]
    return subprocess.run(
        command, cwd=directory, capture_output=True, text=True, check=False, timeout=120
    )


def test_the_blocks_are_one_program_that_runs(tmp_path: Path) -> None:
    program = "\n".join(body for _, body in BLOCKS if not body.startswith("# "))

    result = run(tmp_path, "-c", program)

    assert result.returncode == 0, result.stderr


def test_the_program_that_is_killed_runs(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(FILES["program.py"])

    result = run(tmp_path, "program.py", str(tmp_path))

    assert result.returncode == 0, result.stderr


def test_the_fixture_is_found_by_a_test_of_somebody_else(tmp_path: Path) -> None:
    (tmp_path / "test_my_team.py").write_text(FILES["test_my_team.py"])

    result = run(tmp_path, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_my_team.py")

    assert "1 passed" in result.stdout


def test_there_is_no_block_that_is_not_run() -> None:
    assert {language for language, _ in BLOCKS} == {"python"}
    assert set(FILES) == {"program.py", "test_my_team.py"}
