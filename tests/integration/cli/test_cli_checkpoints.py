"""`checkpoint`: what is shown of checkpoints, and the exit codes of what is wrong with them."""

import pytest

from command_line import CommandLine


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
