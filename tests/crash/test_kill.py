"""SIGKILL of real processes, at every commit boundary and at random moments."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from campaign import one_round
from command_line import CommandLine
from crash_team import engine_runs, write_team
from invariants import Observed, check_end, check_state

SUPPORT = Path(__file__).parents[1] / "support"
COMMITS_MAX = 60
"""More than the scripted run makes; reaching it would mean that the run does not end."""


@pytest.mark.timeout(180)
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_run_killed_at_any_commit_boundary_resumes_with_its_invariants(
    tmp_path: Path, when: str
) -> None:
    for number in range(1, COMMITS_MAX):
        directory = tmp_path / str(number)
        directory.mkdir()
        if _doomed(directory, when, number) == 0:
            break
        _check_resume(directory)

    # The scripted run has an opening, two commits for each attempt, two phases and an end.
    assert 10 < number < COMMITS_MAX


def _doomed(directory: Path, when: str, number: int) -> int:
    """Run the team in a process that kills itself at commit `number`; return its exit code."""
    team = write_team(directory, tasks_per_phase=2)
    argv = [
        *(sys.executable, str(SUPPORT / "doomed.py"), str(team), str(directory / "state")),
        *(str(directory / "output"), when, str(number)),
    ]
    result = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=40)
    assert result.returncode in (0, -signal.SIGKILL), result.stderr
    return result.returncode


def _check_resume(directory: Path) -> None:
    """Check the state a killed run left, resume it, and check the end."""
    cli = CommandLine(directory)
    observed = Observed(runs=engine_runs(directory))
    check_state(cli.state_dir, "doomed", observed)
    arguments = ("--session", "doomed", "--output", directory / "output", "--json")
    result = cli("run", directory / "team.toml", *arguments)
    assert result.returncode == 0, result.stderr
    observed.runs = engine_runs(directory)
    check_end(cli.state_dir, "doomed", observed, frozenset())


@pytest.mark.timeout(180)
@pytest.mark.parametrize("seed", range(8))
def test_a_run_killed_at_random_moments_resumes_with_its_invariants(
    tmp_path: Path, seed: int
) -> None:
    one_round(tmp_path, seed)
