"""`session pause|cancel|retry|rerun|remove` on a state that nobody owns."""

import json
from pathlib import Path

import pytest

from command_line import CommandLine
from json_shape import GOLDEN, shape

FAILS = 'script = ["permanent", "ok"]'
ASKS = f"{FAILS}\ngive_up_on_failure = false"


def state_of(cli: CommandLine, session: str = "s1") -> str:
    state: str = json.loads(cli("session", "show", session, "--json").stdout)["state"]
    return state


def assert_golden(name: str, output: str) -> None:
    assert shape(json.loads(output)) == json.loads((GOLDEN / f"{name}.json").read_text())


def test_a_paused_session_runs_again_only_by_its_name(cli: CommandLine) -> None:
    team = cli.team(ASKS)
    cli("run", team, "--session", "s1")

    paused = cli("session", "pause", "s1", "--reason", "lunch")
    again = cli("session", "pause", "@last", "--json")
    run = cli("run", team, "--session", "s1")
    answered = cli("help-needed", "answer", "s1", "note", "--retry")
    still = state_of(cli)
    resumed = cli("session", "resume", "s1")

    assert (paused.returncode, again.returncode) == (0, 0), paused.stderr
    assert "paused: lunch" in paused.stderr
    assert json.loads(again.stdout)["pause_reason"] == "lunch"
    assert (run.returncode, answered.returncode) == (10, 0), run.stderr
    assert "maestro-runtime session resume s1" in run.stderr
    assert still == "paused"
    assert resumed.returncode == 0, resumed.stderr
    assert "resumed" in resumed.stderr
    assert "paused: lunch" not in resumed.stderr


def test_a_cancelled_session_is_over(cli: CommandLine) -> None:
    cli("run", cli.team(ASKS), "--session", "s1")

    cancelled = cli("session", "cancel", "s1", "--reason", "wrong", "--json")
    again = cli("session", "cancel", "s1")
    resumed = cli("session", "resume", "s1")
    refused = cli("session", "pause", "s1")

    assert cancelled.returncode == again.returncode == 0, cancelled.stderr
    states = [task["state"] for task in json.loads(cancelled.stdout)["tasks"]]
    assert states == ["cancelled", "cancelled"]
    assert (resumed.returncode, refused.returncode) == (1, 6)
    assert "cannot pause session 's1': it must not have ended" in refused.stderr


def test_a_cancel_has_the_deadline_that_is_given(cli: CommandLine) -> None:
    cli("run", cli.team(ASKS), "--session", "s1")

    cancelled = cli("session", "cancel", "s1", "--deadline", "700")
    told = cli("events", "--kind", "cancel_asked", "--json")

    assert cancelled.returncode == 0, cancelled.stderr
    (event,) = [json.loads(line) for line in told.stdout.splitlines()]
    assert 699_000 < event["data"]["deadline_ms"] - event["at_ms"] <= 700_000


def test_a_session_that_is_paused_is_cancelled_when_the_command_ends(cli: CommandLine) -> None:
    cli("run", cli.team(), "--session", "s1", "--until", "write")

    cancelled = cli("session", "cancel", "s1", "--json")

    assert cancelled.returncode == 0, cancelled.stderr
    assert json.loads(cancelled.stdout)["state"] == "cancelled"


def test_a_failed_task_is_tried_again(cli: CommandLine) -> None:
    assert cli("run", cli.team(FAILS), "--session", "s1").returncode == 1

    retried = cli("session", "retry", "s1", "note", "--json")
    refused = cli("session", "retry", "s1", "note")
    resumed = cli("session", "resume", "s1")

    assert_golden("retry", retried.stdout)
    assert json.loads(retried.stdout)["unblocked"] == ["review"]
    assert "to go on: maestro-runtime session resume s1" in retried.stderr
    assert refused.returncode == 6
    assert "it must have failed, it is 'queued'" in refused.stderr
    assert resumed.returncode == 0, resumed.stderr


def test_a_rerun_says_before_what_it_does(cli: CommandLine) -> None:
    cli("run", cli.team(), "--session", "s1")
    phase = json.loads(cli("session", "show", "s1", "--json").stdout)["tasks"][1]["phase"]

    planned = cli("session", "rerun", "s1", "--from", phase, "--dry-run", "--json")
    untouched = state_of(cli)
    done = cli("session", "rerun", "s1", "--from", phase)
    resumed = json.loads(cli("session", "resume", "s1", "--json").stdout)

    assert_golden("rerun", planned.stdout)
    assert untouched == "done"
    assert (planned.returncode, done.returncode) == (0, 0), done.stderr
    assert f"phases {phase} run review" in done.stderr
    assert [len(task["attempts"]) for task in resumed["tasks"]] == [1, 2]
    assert cli("session", "rerun", "s1", "--from", "nowhere").returncode == 5


def test_a_removed_session_is_gone_and_its_files_are_not(cli: CommandLine) -> None:
    report = json.loads(cli("run", cli.team(), "--session", "s1", "--json").stdout)

    removed = cli("session", "remove", "s1", "--json")

    assert_golden("removal", removed.stdout)
    assert cli("session", "show", "s1").returncode == 5
    artifact = report["tasks"][0]["artifacts"][0]["path"]
    assert Path(report["output_dir"], artifact).is_file()


def test_what_a_removed_session_has_spent_is_not_said_to_be_nothing(cli: CommandLine) -> None:
    cli("run", cli.team(), "--session", "s1")
    cli("session", "remove", "s1")

    for command in ("report", "waste"):
        assert cli("tokens", command).stderr == "no session on record has spent anything\n"
    assert "writer" in cli("tokens", "report", "--by", "persona").stdout


@pytest.mark.parametrize("verb", ["pause", "cancel", "retry x", "rerun --from x", "remove"])
def test_a_verb_makes_no_state_for_a_session_that_is_not_there(cli: CommandLine, verb: str) -> None:
    name, *rest = verb.split()

    assert cli("session", name, "s1", *rest).returncode == 5
    assert not cli.state_dir.exists()
