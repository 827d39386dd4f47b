"""The tour of failure-lab, taken from its README command by command, by a shell of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from console import blocks_of, commands_of, not_printed
from maestro_actors.engine import FAILURE_CLASSES

MARK = "== end of a command =="


class Tour:
    """The commands of the README, what it says they print, and what they have printed."""

    def __init__(self, examples: Path, directory: Path) -> None:
        text = (examples / "failure-lab" / "README.md").read_text()
        self._directory = directory
        self.steps = [
            step
            for language, block in blocks_of(text)
            if language == "console"
            for step in commands_of(block)
        ]
        (directory / "examples").symlink_to(examples)
        # One shell for all, as for a reader; the parentheses hand the exit code on to `echo $?`.
        program = (
            f'maestro-runtime() {{ "{sys.executable}" -m maestro_runtime "$@"; }}\n'
            + "".join(
                f'{command}\ncode=$?\necho "{MARK}"\n(exit $code)\n' for command, _ in self.steps
            )
        )
        output = self._shell(program)
        self.printed = output.split(f"{MARK}\n")[:-1]

    def report(self) -> Any:
        """Return the session as JSON, as the tour has left it."""
        show = f"{sys.executable} -m maestro_runtime session show lab --state-dir lab/state --json"
        return json.loads(self._shell(f"{show} 2>/dev/null"))

    def _shell(self, program: str) -> str:
        environment = {key: text for key, text in os.environ.items() if "MAESTRO" not in key}
        return subprocess.run(
            ["/bin/bash", "-c", program],
            cwd=self._directory,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=120,
        ).stdout


@pytest.fixture(scope="module")
def tour(tmp_path_factory: pytest.TempPathFactory) -> Tour:
    """Take the tour, once."""
    return Tour(Path(__file__).parents[3] / "examples", tmp_path_factory.mktemp("lab"))


def test_every_command_of_the_tour_prints_what_the_readme_shows(tour: Tour) -> None:
    assert len(tour.printed) == len(tour.steps)

    for (command, shown), printed in zip(tour.steps, tour.printed, strict=True):
        assert not_printed(shown, printed) == [], f"$ {command}\n{printed}"


def test_what_the_readme_of_the_project_shows_of_the_tour_is_a_part_of_it(
    tour: Tour, examples: Path
) -> None:
    blocks = blocks_of((examples.parent / "README.md").read_text())
    (block,) = (body for _, body in blocks if "$ maestro-runtime run examples/failure-lab" in body)

    for command, shown in commands_of(block):
        printed = [
            text
            for (taken, _), text in zip(tour.steps, tour.printed, strict=True)
            if taken == command
        ]
        assert [] in [not_printed(shown, text) for text in printed], command


def test_the_exit_codes_are_those_of_a_kill_a_budget_and_a_success(tour: Tour) -> None:
    codes = [
        (shown, printed.split())
        for (command, shown), printed in zip(tour.steps, tour.printed, strict=True)
        if command == "echo $?"
    ]

    assert codes == [(["137"], ["137"]), (["7"], ["7"]), (["0"], ["0"])]


def test_each_contract_fails_as_the_readme_says_and_is_fulfilled_in_the_end(tour: Tour) -> None:
    report = tour.report()

    failures = {
        task["task_id"]: [attempt["failure"] for attempt in task["attempts"]]
        for task in report["tasks"]
    }
    assert failures == {
        "unplugged": ["interrupted", ""],
        "fence": [""],
        "comma": [""],
        "package": [""],
        "half": ["missing_deliverable", ""],
        "figures": ["failed_check", ""],
        "mumble": ["malformed_output", ""],
        "rush": ["rate_limited", ""],
        "storm": ["transient"] * 5 + [""],
        "costly": ["transient", ""],
        "delicate": ["refused", ""],
        "locked": ["permanent", ""],
        "mistake": ["failed_check", "stuck", "stuck", ""],
        "archive": ["transient"] * 5 + [""],
    }
    assert all(task["contract_fulfilled"] for task in report["tasks"])
    assert report["state"] == "done"


def test_no_class_of_failure_is_left_out(tour: Tour) -> None:
    # A budget is asked before an attempt, so it fails a task without failing an attempt. And a
    # person's answer that is missing is a question, not a failure.
    told = {a["failure"] for task in tour.report()["tasks"] for a in task["attempts"]} | {"limit"}

    assert set(FAILURE_CLASSES) - told == {"unanswered"}
    assert any("costly: needs a person: limit (" in printed for printed in tour.printed)
