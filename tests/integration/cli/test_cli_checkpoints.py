"""`checkpoint`: what is shown of checkpoints, and the exit codes of what is wrong with them."""

import json

import pytest

from command_line import CommandLine
from json_shape import GOLDEN, shape


def test_a_checkpoint_is_shown_with_tasks_and_files(past: CommandLine) -> None:
    result = past("checkpoint", "show", "note-done", "write")

    [line] = [line.split() for line in result.stdout.splitlines()[1:]]
    assert line[:3] == ["write", "note", "done"]
    assert line[5] == "note.md"
    assert "checkpoint 2 (write) of session note-done: 1 tasks finished, 1 not" in result.stderr


def test_a_difference_to_now_is_a_line_for_each_task_and_file(past: CommandLine) -> None:
    result = past("checkpoint", "diff", "note-done", "write")

    lines = [line.split() for line in result.stdout.splitlines()[1:]]
    assert lines == [["task", "added", "review"], ["file", "added", "review.md"]]
    assert "tokens from write to now" in result.stderr


def test_a_changed_file_is_named_and_exits_with_9(cli: CommandLine) -> None:
    cli("run", cli.team(), "--session", "s1", "--output", "out")
    whole = cli("checkpoint", "verify", "s1")
    (cli.directory / "out" / "note.md").write_text("other")

    result = cli("checkpoint", "verify", "s1", "write")

    assert (whole.returncode, result.returncode) == (0, 9)
    assert result.stderr == (
        "changed: note.md\ncheckpoint 2 (write) of session s1: 1 files, 0 missing, 1 changed\n"
    )


def test_pruning_says_what_is_left(cli: CommandLine) -> None:
    cli("run", cli.team(), "--session", "s1")

    result = cli("checkpoint", "prune", "s1")

    assert result.stderr == "session s1: 1 checkpoints dropped, 2 kept\n"
    assert len(cli("checkpoint", "list", "s1").stdout.splitlines()) == 3


@pytest.mark.parametrize("command", ["show", "verify", "diff"])
def test_a_checkpoint_that_is_not_there_exits_with_5(past: CommandLine, command: str) -> None:
    result = past("checkpoint", command, "note-done", "nothing")

    assert result.returncode == 5
    assert "error: no such checkpoint: 'note-done/nothing'" in result.stderr


def test_a_checkpoint_goes_to_another_state_and_on_from_there(cli: CommandLine) -> None:
    cli("run", cli.team(), "--session", "s1")
    exported = cli("checkpoint", "export", "s1", "write", "--output", "copy")
    bundle = "copy/checkpoint_write.tar"
    elsewhere = ("--state-dir", "elsewhere")

    result = cli("checkpoint", "import", bundle, "--output", "out", *elsewhere, "--json")
    again = cli("checkpoint", "import", bundle, "--output", "out", *elsewhere)
    resumed = cli("session", "resume", "s1", *elsewhere)

    assert exported.stderr == (
        "exported to copy/checkpoint_write.tar\nexported to copy/checkpoint_write.json\n"
    )
    assert result.returncode == 0
    golden = json.loads((GOLDEN / "checkpoint_import.json").read_text())
    assert shape(json.loads(result.stdout)) == golden
    assert "to go on: maestro-runtime session resume s1" in result.stderr
    assert (again.returncode, again.stderr) == (6, "error: session 's1' exists already\n")
    assert resumed.returncode == 0
    assert " tokens and " in resumed.stderr
    assert "2 of 2 tasks done" in resumed.stderr


def test_what_cannot_be_exported_or_imported_has_its_exit_code(cli: CommandLine) -> None:
    team = cli.team()
    cli("run", team, "--session", "s1", "--output", "out")
    (cli.directory / "out" / "note.md").write_text("other")

    changed = cli("checkpoint", "export", "s1", "--output", "copy")
    nowhere = cli("checkpoint", "export", "s1", "init", "--output", "missing/x.json")
    no_bundle = cli("checkpoint", "import", team)

    assert [changed.returncode, nowhere.returncode, no_bundle.returncode] == [9, 74, 2]
    assert "artifact 'note.md' of session 's1'" in changed.stderr
    assert "cannot be written" in nowhere.stderr
    assert "is not the bundle of a checkpoint" in no_bundle.stderr


def test_a_fork_says_first_what_it_keeps_and_what_it_spends_again(cli: CommandLine) -> None:
    cli("run", cli.team(), "--session", "s1")
    (cli.directory / "other.txt").write_text("three notes")
    command = ("session", "fork", "s1", "--from", "write")

    planned = cli(*command, "--dry-run", "--json")
    result = cli(*command, "--id", "f", "--requirement-file", "other.txt")
    taken = cli(*command, "--id", "f")

    assert planned.returncode == 0
    golden = json.loads((GOLDEN / "fork.json").read_text())
    assert shape(json.loads(planned.stdout)) == golden
    assert result.returncode == 0
    lines = result.stderr.splitlines()
    assert lines[0].startswith("session f from checkpoint 2 (write) of s1: 1 tasks, 1 files and ")
    assert lines[1].startswith("phase check runs review: ")
    assert lines[2].startswith("to be spent again: about ")
    assert lines[3].startswith("session f started; workspace ")
    assert (taken.returncode, taken.stderr) == (6, "error: session 'f' exists already\n")
    assert json.loads(cli("session", "show", "f", "--json").stdout)["requirement"] == "three notes"
    assert cli("session", "show", "s1-fork-1").returncode == 5
