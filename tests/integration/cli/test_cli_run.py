"""`run` and what it leaves behind, with the exit code of each ending."""

import json
import signal
from pathlib import Path

import pytest

from command_line import CommandLine


def test_a_run_writes_what_it_owes_prints_its_report_and_exits_with_0(cli: CommandLine) -> None:
    result = cli("run", cli.team(), "--session", "s1", "--json")

    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["schema"] == "maestro.session/1"
    assert (report["state"], report["session_id"]) == ("done", "s1")
    output = Path(report["output_dir"])
    assert output == cli.directory / "maestro-output" / "s1"
    assert [artifact["path"] for task in report["tasks"] for artifact in task["artifacts"]] == [
        "note.md",
        "review.md",
    ]
    assert (output / "note.md").read_text()


def test_progress_goes_to_stderr_one_line_for_each_change(cli: CommandLine) -> None:
    result = cli("run", cli.team('script = ["transient", "ok"]'), "--session", "s1")

    lines = [line.split(" ", 1)[1] for line in result.stderr.splitlines() if line[2:3] == ":"]
    assert lines[0] == "s1: started: 2 tasks in 2 phases"
    assert "note: attempt 1 of round 1 started by writer" in lines
    assert any(line.startswith("note: attempt 1 of round 1 failed: transient") for line in lines)
    assert "s1: phase write finished, checkpoint 2" in lines
    assert lines[-1] == "s1: done"
    assert "note" in result.stdout


def test_the_same_command_finds_the_same_session_and_prints_its_result(cli: CommandLine) -> None:
    team = cli.team()
    first = cli("run", team, "--json")

    again = cli("run", team, "--json")

    assert again.returncode == 0
    assert json.loads(again.stdout) == json.loads(first.stdout)
    assert "has already ended" in again.stderr


def test_another_team_under_the_same_name_is_a_conflict_and_changes_nothing(
    cli: CommandLine,
) -> None:
    before = cli("run", cli.team(), "--session", "s1", "--json")

    result = cli("run", cli.team("token_budget = 5"), "--session", "s1")

    assert result.returncode == 6
    assert "session 's1' was started with another team" in result.stderr
    assert "persona 'writer': token_budget changed from 100000 to 5" in result.stderr
    assert "and is done, so its team cannot be changed" in result.stderr
    assert cli("session", "result", "s1", "--json").stdout == before.stdout


def test_a_run_that_gives_up_exits_with_1_and_says_why(cli: CommandLine) -> None:
    result = cli("run", cli.team('script = ["permanent"]'), "--session", "s1")

    assert result.returncode == 1
    assert "note: permanent: " in result.stderr
    assert "session s1 is failed: 0 of 2 tasks done" in result.stderr


def test_a_run_that_waits_for_a_person_exits_with_8_and_can_be_looked_at(
    cli: CommandLine,
) -> None:
    team = cli.team('script = ["permanent"]\ngive_up_on_failure = false')

    assert cli("run", team, "--session", "s1").returncode == 8
    shown = cli("session", "show", "s1")

    assert "a person" in shown.stdout
    assert cli("session", "resume", "s1").returncode == 8


def test_a_run_that_cannot_pay_exits_with_7_before_the_attempt(cli: CommandLine) -> None:
    cli.environment["MAESTRO_TOKEN_BUDGET"] = "1"

    result = cli("run", cli.team(), "--session", "s1", "--json")

    assert result.returncode == 7
    report = json.loads(result.stdout)
    assert report["tasks"][0]["attempts"] == []
    assert "token budget of persona 'writer' cannot pay" in report["tasks"][0]["evidence"][0]


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["SIGINT", "SIGTERM"]
)
def test_a_signal_ends_a_run_in_order_and_says_how_to_go_on(
    cli: CommandLine, number: signal.Signals, code: int
) -> None:
    team = cli.team('script = ["hang", "ok"]')
    with cli.start("run", team, "--session", "s1") as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "attempt 1 of round 1 started" in line:
                break
        process.send_signal(number)
        rest = process.stderr.read()

    assert process.returncode == code, rest
    assert "to go on: maestro-runtime session resume s1" in rest
    resumed = cli("session", "resume", "s1", "--json")
    assert resumed.returncode == 0
    attempts = json.loads(resumed.stdout)["tasks"][0]["attempts"]
    assert [attempt["state"] for attempt in attempts] == ["interrupted", "ok"]


def test_a_second_process_exits_with_4_at_once_and_names_the_owner(cli: CommandLine) -> None:
    team = cli.team('script = ["hang"]')
    with cli.start("run", team, "--session", "s1") as owner:
        assert owner.stderr is not None
        for line in owner.stderr:
            if "attempt 1 of round 1 started" in line:
                break

        result = cli("run", team, "--session", "s2")
        listed = cli("session", "list")
        owner.kill()

    assert result.returncode == 4
    assert f"process {owner.pid} has the state directory" in result.stderr
    assert "`maestro-runtime serve`" in result.stderr
    # Looking takes nothing from the owner.
    assert (listed.returncode, listed.stdout.count("running")) == (0, 1)
    # The kernel has released the lock with its owner: the next start takes over.
    assert cli("session", "list").returncode == 0
    assert "no process runs it; to go on: " in cli("session", "show", "s1").stderr


def test_an_input_that_is_no_directory_is_refused_before_anything_starts(
    cli: CommandLine,
) -> None:
    result = cli("run", cli.team(), "--input", "missing")

    assert result.returncode == 2
    assert "cannot be used: it is not a directory" in result.stderr
