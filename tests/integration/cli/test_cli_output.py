"""What the commands that look print: text for people, JSON whose shape is a promise."""

import json

import pytest

from command_line import CommandLine
from json_shape import GOLDEN, Shape, shape


@pytest.mark.parametrize(
    ("golden", "arguments"),
    [
        ("session", "session show note-done"),
        ("session", "session result note-done"),
        ("session", "session resume note-done"),
        ("sessions", "session list"),
        ("checkpoints", "checkpoint list note-done"),
        ("checkpoint", "checkpoint show note-done"),
        ("checkpoint_verification", "checkpoint verify note-done"),
        ("checkpoint_diff", "checkpoint diff note-done init"),
        ("checkpoints_pruned", "checkpoint prune waits"),
        ("checkpoint_export", "checkpoint export note-done --output exported"),
        ("tokens", "tokens report"),
        ("breakers", "breaker list"),
        ("breaker", "breaker show rehearsal"),
        ("overview", "top"),
        ("state", "state info"),
        ("verify", "state verify"),
        ("backup", "state backup copy"),
        ("compact", "state compact"),
        ("config", "config show team.toml"),
        ("doctor", "doctor"),
        ("version", "version"),
    ],
)
def test_the_json_of_a_command_keeps_its_shape(
    past: CommandLine, golden: str, arguments: str
) -> None:
    """Stdout is exactly one value. A field may be added, to the golden file too; none may go."""
    result = past(*arguments.split(), "--json")

    assert shape(json.loads(result.stdout)) == json.loads((GOLDEN / f"{golden}.json").read_text())


def test_the_json_of_an_event_keeps_its_shape(cli: CommandLine) -> None:
    result = cli("run", cli.team('script = ["transient", "ok"]'), "--session", "s1", "--json")

    found: Shape = {}
    for line in result.stderr.splitlines():
        if line.startswith("{"):
            shape(json.loads(line), found=found)
    assert found == json.loads((GOLDEN / "event.json").read_text())
    assert shape(json.loads(result.stdout)).keys() == shape_of_golden("session").keys()


def shape_of_golden(name: str) -> Shape:
    golden: Shape = json.loads((GOLDEN / f"{name}.json").read_text())
    return golden


def test_session_list_has_a_line_for_each_newest_first(past: CommandLine) -> None:
    result = past("session", "list")

    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines[0] == ["SESSION", "STATE", "TEAM", "TASKS", "TOKENS", "STARTED", "ENDED"]
    assert [line[0] for line in lines[1:]] == ["waits", "poor", "note-failed", "note-done"]
    assert lines[4][1:4] == ["done", "pair", "2/2"]
    assert lines[1][1] == "help_needed"
    assert result.stderr == ""


def test_session_show_has_each_task_and_each_attempt(past: CommandLine) -> None:
    result = past("session", "show", "note-done")

    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines[1][:5] == ["write", "note", "writer", "done", "2"]
    assert lines[2][:5] == ["check", "review", "reviewer", "done", "1"]
    assert [line[:5] for line in lines[4:]] == [
        ["note", "1", "1", "failed", "transient"],
        ["note", "1", "2", "ok", "-"],
        ["review", "1", "1", "ok", "-"],
    ]
    assert "session note-done is done: 2 of 2 tasks done" in result.stderr


def test_session_show_says_why_a_task_failed_on_stderr(past: CommandLine) -> None:
    result = past("session", "show", "note-failed")

    assert "note: permanent: " in result.stderr
    assert "permanent: " not in result.stdout


def test_session_result_lists_what_was_delivered(past: CommandLine) -> None:
    result = past("session", "result", "note-done")

    assert [line.split()[:2] for line in result.stdout.splitlines()] == [
        ["CONTRACT", "FILE"],
        ["note", "note.md"],
        ["review", "review.md"],
    ]


def test_session_resume_of_an_ended_session_runs_nothing_and_prints_its_report(
    past: CommandLine,
) -> None:
    before = past("session", "result", "note-done", "--json").stdout

    result = past("session", "resume", "note-done", "--json")

    assert result.returncode == 0
    assert json.loads(result.stdout) == json.loads(before)
    assert "session note-done has already ended" in result.stderr


def test_checkpoint_list_has_one_for_the_start_and_one_for_each_phase(past: CommandLine) -> None:
    result = past("checkpoint", "list", "note-done")

    lines = [line.split() for line in result.stdout.splitlines()[1:]]
    assert [(line[0], line[1], line[4]) for line in lines] == [
        ("1", "init", "0"),
        ("2", "write", "1"),
        ("3", "check", "2"),
    ]


def test_tokens_report_adds_up(past: CommandLine) -> None:
    result = past("tokens", "report", "note-done", "--json")

    personas = json.loads(result.stdout)["personas"]
    assert [row["persona_id"] for row in personas] == ["reviewer", "writer"]
    for row in personas:
        assert row["limit_tokens"] == row["spent_tokens"] + row["left_tokens"]
    report = json.loads(past("session", "result", "note-done", "--json").stdout)
    assert sum(row["spent_tokens"] for row in personas) == report["tokens_used"]
    assert past("tokens", "report").stdout.splitlines()[1].split()[:2] == ["note-done", "reviewer"]


def test_state_info_has_a_line_for_each_figure(past: CommandLine) -> None:
    result = past("state", "info")

    lines = dict(line.split(maxsplit=1) for line in result.stdout.splitlines())
    assert lines["path"] == str(past.state_dir)
    assert lines["state_schema"] == "1"
    assert lines["quarantined"] == "-"
    assert lines["sessions"] == "stored     4"


def test_state_verify_counts_what_it_checked_and_gives_its_verdict(past: CommandLine) -> None:
    result = past("state", "verify")

    assert ["sessions", "4"] in [line.split() for line in result.stdout.splitlines()]
    assert f"{past.state_dir} is intact" in result.stderr


def test_a_backup_is_a_state_with_the_same_sessions(past: CommandLine) -> None:
    result = past("state", "backup", "saved")

    assert (result.returncode, result.stdout) == (0, "")
    assert "backed up to saved" in result.stderr
    assert past("session", "list", "--state-dir", "saved").stdout == past("session", "list").stdout


def test_compact_keeps_every_session(past: CommandLine) -> None:
    before = past("session", "list").stdout

    result = past("state", "compact")

    assert (result.returncode, result.stdout) == (0, "")
    assert past("session", "list").stdout == before


def test_config_show_names_the_source_of_each_value(cli: CommandLine) -> None:
    team = cli.team("latency_seconds = 0.5")
    cli.environment["MAESTRO_TOKEN_BUDGET"] = "77"

    result = cli("config", "show", team, "--max-attempts", "5", "--json")

    values = {row["key"]: row for row in json.loads(result.stdout)["values"]}
    for key, value, source in (
        ("personas.writer.max_attempts", 5, "flag --max-attempts"),
        ("personas.writer.token_budget", 77, "environment MAESTRO_TOKEN_BUDGET"),
        ("personas.writer.latency_seconds", 0.5, f"team file {team}"),
        ("personas.writer.backoff_seconds", 0.01, f"team file {team} [defaults]"),
        ("personas.writer.max_rounds", 2, "built-in"),
        ("state_dir", str(cli.state_dir), "environment MAESTRO_STATE_DIR"),
    ):
        assert values[key] == {"key": key, "value": value, "source": source}
    text = cli("config", "show").stdout
    assert ["max_attempts", "3", "built-in"] in [line.split() for line in text.splitlines()]


def test_doctor_has_a_verdict_on_each_check(past: CommandLine) -> None:
    result = past("doctor")

    assert result.returncode == 0
    verdicts = {line.split("  ")[0]: line.split()[-1] for line in result.stdout.splitlines()}
    assert {"python", "lmdb", "state directory", "file system", "free space"} <= set(verdicts)


def test_doctor_names_what_is_in_the_way_and_exits_with_3(past: CommandLine) -> None:
    result = past("doctor", "--state-dir", "team.toml/state")

    assert result.returncode == 3
    assert f"failed   {past.directory}/team.toml is not a directory" in result.stdout


def test_version_names_the_runtime_and_what_it_stands_on(past: CommandLine) -> None:
    result = past("version")

    names = [line.split()[0] for line in result.stdout.splitlines()[1:]]
    assert names == ["maestro-runtime", "python", "pykka", "msgspec", "lmdb", "structlog", "click"]


def test_json_is_valid_and_harmless_in_every_locale(cli: CommandLine) -> None:
    """The C1 control character CSI is legal in JSON, and drives a terminal all the same."""
    cli.environment["PYTHONIOENCODING"] = "ascii"
    team = cli.team()

    result = cli(
        *("run", team, "--session", "s1", "--json", "--requirement", "caf\u00e9 \x9b31m \x1b[2J")
    )

    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["requirement"] == "caf\u00e9 \x9b31m \x1b[2J"
    assert "\x9b" not in result.stdout
    assert "caf\u00e9" in result.stdout


def test_what_a_persona_prints_does_not_mix_with_the_result(cli: CommandLine) -> None:
    """Neither a `print` nor a program that inherits stdout."""
    (cli.directory / "chatty.py").write_text(
        "import subprocess\n"
        "from pathlib import Path\n"
        "def work(task):\n"
        "    print('printed')\n"
        "    subprocess.run(['echo', 'echoed'], check=True)\n"
        "    Path(task.workspace, 'note.md').write_text('x')\n"
    )
    team = cli.team('engine = "python"\ncallable = "chatty:work"')

    result = cli("run", team, "--session", "s1", "--json")

    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["state"] == "done"
    assert "printed" in result.stderr
    assert "echoed" in result.stderr
