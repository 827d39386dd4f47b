"""Healing as a user sees it: in the history, in the report of every attempt, in the ticket."""

import json
from pathlib import Path
from typing import Any

import pytest

from command_line import CommandLine

TEAM = Path(__file__).with_name("healing.toml")


@pytest.fixture(scope="module")
def healed(tmp_path_factory: pytest.TempPathFactory) -> CommandLine:
    """The command line over a session that has healed what can be healed."""
    cli = CommandLine(tmp_path_factory.mktemp("healed"))
    result = cli("run", TEAM, "--session", "s1", "--output", "out")
    assert result.returncode == 1, result.stderr
    (cli.directory / "stderr").write_text(result.stderr)
    return cli


@pytest.fixture(scope="module")
def tasks(healed: CommandLine) -> dict[str, Any]:
    report = json.loads(healed("session", "show", "s1", "--json").stdout)
    return {task["task_id"]: task for task in report["tasks"]}


@pytest.mark.parametrize(
    ("task_id", "healing"),
    [
        ("wrapper", "strip_code_fences: wrapper/data.json"),
        ("lister", "drop_trailing_commas: lister/data.json"),
        ("packer", "created: pkg/__init__.py"),
    ],
)
def test_what_can_be_repaired_costs_no_other_attempt(
    tasks: dict[str, Any], task_id: str, healing: str
) -> None:
    task = tasks[task_id]

    assert (task["state"], task["contract_fulfilled"], task["quality_score"]) == ("done", True, 1.0)
    (attempt,) = task["attempts"]
    assert (attempt["state"], attempt["healing"], attempt["evidence"]) == ("ok", [healing], [])


def test_only_what_is_missing_is_written_again(tasks: dict[str, Any]) -> None:
    task = tasks["half"]

    assert [attempt["failure"] for attempt in task["attempts"]] == [
        "missing_deliverable",
        "transient",
        "",
    ]
    assert [attempt["healing"] for attempt in task["attempts"]] == [
        ["narrow_scope: 'b.md'"],
        ["keep_feedback"],
        [],
    ]
    changed = {artifact["path"]: artifact["changed"] for artifact in task["artifacts"]}
    assert changed == {"a.md": False, "b.md": True}


def test_a_stuck_task_is_given_up_early_and_every_attempt_is_reported(
    tasks: dict[str, Any],
) -> None:
    task = tasks["stubborn"]

    assert (task["state"], task["failure"]) == ("failed", "stuck")
    rows = [
        (row["round"], row["attempt"], row["failure"], row["delay_seconds"] is None)
        for row in task["attempts"]
    ]
    assert rows == [
        (1, 1, "failed_check", False),
        (1, 2, "stuck", False),
        (2, 1, "stuck", True),
    ]
    assert all(row["tokens"] > 0 for row in task["attempts"])
    assert [row["healing"] for row in task["attempts"]] == [[], ["change_approach"], []]
    for row in task["attempts"][1:]:
        (why,) = row["evidence"]
        assert why.startswith("files and faults are those of an earlier attempt: check 'parses'")
        assert "stubborn/data.json: Expecting value: line 1 column 1" in why


def test_the_text_of_a_report_tells_why_each_attempt_of_a_given_up_task_failed(
    healed: CommandLine,
) -> None:
    lines = healed("session", "show", "s1").stdout.splitlines()

    told = [line.split(None, 4) for line in lines if " evidence " in line or " healing " in line]
    assert [row[:4] for row in told if row[0] == "stubborn"] == [
        ["stubborn", "1", "1", "evidence"],
        ["stubborn", "1", "2", "evidence"],
        ["stubborn", "1", "2", "healing"],
        ["stubborn", "2", "1", "evidence"],
    ]
    assert ["half", "1", "1", "healing", "narrow_scope: 'b.md'"] in told
    assert not any(row[0] == "half" and row[3] == "evidence" for row in told)


def test_history_and_ticket_name_what_was_tried(healed: CommandLine) -> None:
    progress = (healed.directory / "stderr").read_text()
    (ticket,) = (healed.state_dir / "tickets").glob("*.md")

    assert "tokens; healing: strip_code_fences: wrapper/data.json" in progress
    assert "s; healing: narrow_scope: 'b.md'" in progress
    assert (
        "stubborn: failed: stuck (files and faults are those of an earlier attempt: check "
        in progress
    )
    assert "- healing: change_approach" in ticket.read_text()


def test_a_repaired_file_is_what_the_engine_meant(healed: CommandLine) -> None:
    for name in ("wrapper", "lister"):
        written = json.loads((healed.directory / "out" / name / "data.json").read_text())
        assert written["title"] == "data"
