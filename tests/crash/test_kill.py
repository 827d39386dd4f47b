"""SIGKILL of real processes, at every commit boundary."""

import signal
from pathlib import Path

import pytest

import doomed
import forked
from crash_team import engine_runs, write_team
from invariants import Observed, check_end, check_state

COMMITS_MAX = 60
"""More than the scripted run makes; reaching it would mean that the run does not end."""


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_run_killed_at_any_commit_boundary_resumes_with_its_invariants(
    tmp_path: Path, when: str
) -> None:
    for number in range(1, COMMITS_MAX):
        directory = tmp_path / str(number)
        directory.mkdir()
        if _run(directory, when, number) == 0:
            break
        _check_resume(directory)

    # The scripted run has an opening, two commits for each attempt, two phases and an end.
    assert 10 < number < COMMITS_MAX


def _run(directory: Path, when: str = "never", number: int = 0) -> int:
    """Run the team in a process that kills itself at commit `number`; return its exit code."""
    team = write_team(directory, tasks_per_phase=2)
    places = str(team), str(directory / "state"), str(directory / "output")
    code = forked.run(doomed.main, *places, when, str(number))
    assert code in (0, -signal.SIGKILL)
    return code


def _check_resume(directory: Path) -> None:
    """Check the state a killed run left, resume it, and check the end."""
    observed = Observed(runs=engine_runs(directory))
    check_state(directory / "state", observed)
    assert _run(directory) == 0
    observed.runs = engine_runs(directory)
    check_end(directory / "state", observed, frozenset())
