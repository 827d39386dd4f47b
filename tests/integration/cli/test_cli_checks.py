"""Checks from the team file to the report: failing, healed, and kept where nothing changed."""

import json
from pathlib import Path

from command_line import CommandLine

TEAM = """
[team]
name = "checked"
requirement = "a module"
[defaults]
backoff_seconds = 0.01
backoff_max_seconds = 0.01
[personas.dev]
engine = "python"
callable = "dev:work"
[[phases]]
name = "build"
[[contracts]]
id = "code"
name = "The code"
phase = "build"
provider_persona_id = "dev"
checks = [
  { kind = "command", name = "slow", argv = ["python3", "slow.py"], files = ["notes.md"] },
  { kind = "callable", name = "has main", callable = "dev:has_main" },
  { kind = "no_forbidden", glob = "*.tmp", required = false },
]
[[contracts.deliverables]]
name = "module"
artifacts = ["app.py", "notes.md"]
checks = [{ kind = "python_compiles", files = ["app.py"] }, { kind = "changed_since_start" }]
"""

DEV = """
from pathlib import Path


def work(task):
    folder = Path(task.workspace)
    (folder / "notes.md").write_text("always the same")
    source = "def main(): pass\\n" if task.feedback else "def other(:\\n"
    (folder / "app.py").write_text(source)
    return {"message": "wrote `app.py`", "output_tokens": 5}


def has_main(view):
    text = (Path(view.workspace) / "app.py").read_text()
    return ("def main" in text, "looked for main in " + ", ".join(view.files))
"""

SLOW = "open({log!r}, 'a').write('x')\n"


def test_failing_checks_are_healed_by_their_feedback_and_kept_where_nothing_changed(
    cli: CommandLine,
) -> None:
    log = cli.directory / "runs.log"
    (cli.directory / "dev.py").write_text(DEV)
    (cli.directory / "slow.py").write_text(SLOW.format(log=str(log)))
    team = cli.directory / "team.toml"
    team.write_text(TEAM)

    result = cli("run", team, "--session", "s1", "--json")

    assert result.returncode == 0, result.stderr
    (task,) = json.loads(result.stdout)["tasks"]
    assert (task["state"], task["contract_fulfilled"], task["quality_score"]) == ("done", True, 1.0)
    first, second = task["attempts"]
    assert (first["failure"], second["state"]) == ("failed_check", "ok")
    compiles, has_main = first["evidence"]
    assert compiles.startswith("check 'python_compiles' failed: expected Python that compiles")
    assert compiles.endswith("got app.py: line 1 column 11: invalid syntax")
    assert has_main.startswith("check 'has main' failed: expected dev:has_main to agree, got look")
    found = {check["name"]: check for check in task["checks"]}
    assert list(found) == [
        "python_compiles",
        "changed_since_start",
        "slow",
        "has main",
        "no_forbidden",
    ]
    assert {check["verdict"] for check in found.values()} == {"pass"}
    assert [name for name, check in found.items() if check["reused"]] == ["slow"]
    assert log.read_text() == "x"
    assert set(found["python_compiles"]["evidence"]) == {"app.py"}
    shown = cli("session", "show", "s1").stdout
    assert "pass (kept)" in shown
    assert "looked for main in app.py, notes.md" in shown


def test_a_question_ends_the_run_with_8_and_is_shown(cli: CommandLine) -> None:
    team = cli.team()
    text = team.read_text()
    team.write_text(
        text.replace(
            'id = "note"', 'id = "note"\nchecks = [{ kind = "human", question = "Nice?" }]'
        )
    )

    result = cli("run", team, "--session", "s1")

    assert result.returncode == 8
    assert "note: unanswered: a person must answer: Nice?" in result.stderr
    assert "pending" in cli("session", "show", "s1").stdout


def test_a_broken_check_is_refused_before_anything_starts(cli: CommandLine) -> None:
    team = cli.team()
    text = team.read_text()
    team.write_text(text.replace('id = "note"', 'id = "note"\nchecks = [{ kind = "exist" }]'))

    result = cli("run", team, "--session", "s1")

    assert result.returncode == 2
    assert "did you mean 'exists'?" in result.stderr
    assert not Path(cli.directory / "maestro-output").exists()
