"""Plans, partial runs and checkpoints on demand, by the command line."""

import json

from command_line import CommandLine
from json_shape import GOLDEN, shape


def test_run_until_a_phase_pauses_and_resume_goes_on(cli: CommandLine) -> None:
    team = cli.team()

    first = cli("run", team, "--session", "s1", "--until", "write", "--json")
    second = cli("session", "resume", "s1", "--json")

    assert first.returncode == 10
    assert json.loads(first.stdout)["pause_reason"] == "the planned phases are done: write"
    assert second.returncode == 0
    assert json.loads(second.stdout)["state"] == "done"


def test_resume_only_a_phase_runs_that_phase(cli: CommandLine) -> None:
    cli("run", cli.team(), "--session", "s1", "--only", "write")

    again = cli("session", "resume", "s1", "--only", "write")
    done = cli("session", "resume", "s1", "--only", "check")

    assert again.returncode == 10
    assert done.returncode == 0


def test_a_phase_before_its_time_exits_with_2(cli: CommandLine) -> None:
    result = cli("run", cli.team(), "--session", "s1", "--only", "check")

    assert result.returncode == 2
    assert "error: phase 'check' must come after 'write', neither done" in result.stderr


def test_only_and_until_exclude_each_other(cli: CommandLine) -> None:
    result = cli("run", cli.team(), "--only", "write", "--until", "write")

    assert result.returncode == 2
    assert "--only and --until exclude each other" in result.stderr


def test_a_run_from_a_later_phase_takes_given_files(cli: CommandLine) -> None:
    given = cli.directory / "given"
    given.mkdir()
    arguments = ("run", cli.team(), "--session", "s1", "--from", "check", "--given", "given")
    missing = cli(*arguments)
    (given / "note.md").write_text("by hand\n")
    (cli.directory / "known.json").write_text('{"stack": "python"}')

    done = cli(*arguments, "--given-context", "known.json", "--json")

    assert missing.returncode == 2
    assert (
        "error: what comes before phase 'check' must be given whole: contract 'note', "
        "deliverable 'note': no file matches 'note.md'"
    ) in missing.stderr
    tasks = {task["task_id"]: task for task in json.loads(done.stdout)["tasks"]}
    assert done.returncode == 0
    assert (tasks["note"]["state"], tasks["note"]["attempts"]) == ("done", [])
    assert len(tasks["review"]["attempts"]) == 1


def test_a_context_that_is_no_object_exits_with_2(cli: CommandLine) -> None:
    (cli.directory / "known.json").write_text("[]")

    result = cli("run", cli.team(), "--given-context", "known.json")

    assert result.returncode == 2
    assert "error: given context must be a JSON object" in result.stderr


def test_a_checkpoint_on_demand_is_listed_shown_exported_and_forked(cli: CommandLine) -> None:
    cli("run", cli.team(), "--session", "s1", "--until", "write")

    taken = cli("session", "checkpoint", "s1", "--name", "reviewed", "--json")
    listed = cli("checkpoint", "list", "s1")
    shown = cli("checkpoint", "show", "s1", "reviewed")
    exported = cli("checkpoint", "export", "s1", "reviewed", "--output", "copy")
    forked = cli("session", "fork", "s1", "--from", "reviewed", "--id", "s2")
    refused = cli("session", "checkpoint", "s1", "--name", "check")

    golden = json.loads((GOLDEN / "checkpoint_taken.json").read_text())
    assert shape(json.loads(taken.stdout)) == golden
    assert "reviewed" in listed.stdout
    assert "checkpoint 3 (reviewed) of session s1: 1 tasks finished" in shown.stderr
    assert exported.returncode == forked.returncode == 0
    assert (cli.directory / "copy" / "checkpoint_reviewed.tar").is_file()
    assert refused.returncode == 2


def test_a_bundle_of_a_checkpoint_on_demand_comes_into_another_state(cli: CommandLine) -> None:
    cli("run", cli.team(), "--session", "s1", "--until", "write")
    cli("session", "checkpoint", "s1", "--name", "reviewed")
    cli("checkpoint", "export", "s1", "reviewed", "--output", "copy")
    bundle = str(cli.directory / "copy" / "checkpoint_reviewed.tar")

    imported = cli(
        "checkpoint", "import", bundle, "--output", "there", "--state-dir", "other", "--json"
    )
    done = cli("session", "resume", "s1", "--state-dir", "other")

    assert json.loads(imported.stdout)["tasks_kept"] == 1
    assert done.returncode == 0
