"""What a plan leaves on disk when it is cut short, and how it is finished."""

import fcntl
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from maestro_runtime.edits import (
    EditObserver,
    EditRejected,
    EditStep,
    SearchReplace,
    WholeFile,
    apply_plan,
    has_journal,
    roll_forward,
)
from maestro_runtime.workspace import Workspace

CALL = "0" * 31 + "1"
PLAN = (
    SearchReplace(path="a", search="old", replace="new"),
    WholeFile(path="folder/b", content="new"),
    SearchReplace(path="c", search="old", replace="new"),
)
STEPS = ["drafted", *["staged"] * 3, "journalled", *["renamed"] * 3, "cleared"]


class Cut(BaseException):
    """Stands for the end of the process."""


class At:
    """Acts when a step is reached for the n-th time."""

    def __init__(self, step: EditStep, action: Callable[[], None], number: int = 1) -> None:
        self._step = step
        self._action = action
        self._left = number
        self.steps: list[str] = []

    def reached(self, step: EditStep) -> None:
        self.steps.append(step)
        if step == self._step:
            self._left -= 1
            if self._left == 0:
                self._action()


def cut() -> None:
    raise Cut


@pytest.fixture
def files(workspace: Workspace) -> Callable[[], dict[str, str]]:
    """What stands in the workspace, hidden files too, but for the lock."""
    workspace.write_text("a", "old")
    workspace.write_text("c", "old")

    def read() -> dict[str, str]:
        return {
            str(path.relative_to(workspace.root)): path.read_text()
            for path in workspace.root.rglob("*")
            if path.is_file() and path.name != "lock"
        }

    return read


BEFORE = {"a": "old", "c": "old"}
AFTER = {"a": "new", "c": "new", "folder/b": "new"}


def cut_short(workspace: Workspace, step: EditStep, number: int = 1) -> None:
    with pytest.raises(Cut):
        apply_plan(workspace, CALL, PLAN, At(step, cut, number))


def test_a_plan_goes_through_its_steps_and_leaves_only_its_files(
    workspace: Workspace, files: Callable[[], dict[str, str]]
) -> None:
    observer = At("cleared", lambda: None)

    apply_plan(workspace, CALL, PLAN, observer)

    assert observer.steps == STEPS
    assert files() == AFTER


def test_a_workspace_without_plans_has_no_journal_and_nothing_to_finish(
    workspace: Workspace,
) -> None:
    assert not has_journal(workspace)
    assert roll_forward(workspace) == ()
    assert list(workspace.root.iterdir()) == []
    assert roll_forward(Workspace(workspace.root / "none")) == ()


@pytest.mark.parametrize("number", [1, 2, 3])
def test_an_intent_is_finished_and_finishing_it_again_changes_nothing(
    workspace: Workspace, files: Callable[[], dict[str, str]], number: int
) -> None:
    cut_short(workspace, "renamed", number)
    assert f".maestro/edits/{CALL}.json" in files()

    assert roll_forward(workspace) == ()
    assert files() == AFTER

    workspace.write_text("a", "newer")
    assert roll_forward(workspace) == ()
    assert files() == {**AFTER, "a": "newer"}


def test_the_next_plan_finishes_the_one_before_it_first(
    workspace: Workspace, files: Callable[[], dict[str, str]]
) -> None:
    cut_short(workspace, "journalled")
    edit = SearchReplace(path="a", search="new", replace="newer")

    apply_plan(workspace, "f" * 32, (edit,))

    assert files() == {**AFTER, "a": "newer"}


@pytest.mark.parametrize(("step", "number"), [("drafted", 1), ("staged", 1), ("staged", 3)])
def test_a_plan_that_fails_before_its_intent_is_withdrawn(
    workspace: Workspace, files: Callable[[], dict[str, str]], step: EditStep, number: int
) -> None:
    def fail() -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        apply_plan(workspace, CALL, PLAN, At(step, fail, number))

    assert files() == BEFORE


def test_what_somebody_writes_meanwhile_is_not_overwritten(
    workspace: Workspace, files: Callable[[], dict[str, str]]
) -> None:
    observer = At("staged", lambda: workspace.write_text("c", "theirs"), 3)

    with pytest.raises(EditRejected, match=r"edit 3 of 'c' .*: file was changed by somebody else"):
        apply_plan(workspace, CALL, PLAN, observer)

    assert files() == {**BEFORE, "c": "theirs"}


def test_a_file_changed_since_the_crash_stays_and_is_told(
    workspace: Workspace, files: Callable[[], dict[str, str]]
) -> None:
    cut_short(workspace, "journalled")
    workspace.write_text("c", "theirs")

    notes = roll_forward(workspace)

    told = f"edit plan of call {CALL}: 'c' stays as it is: somebody has changed it since"
    assert notes == (told,)
    assert files() == {**AFTER, "c": "theirs"}
    assert roll_forward(workspace) == ()


def test_a_copy_that_is_lost_or_damaged_is_not_put_in_place(
    workspace: Workspace, files: Callable[[], dict[str, str]]
) -> None:
    cut_short(workspace, "journalled")
    workspace.remove(f".{CALL}.0.edit")
    workspace.write_text(f".{CALL}.2.edit", "damaged")

    notes = roll_forward(workspace)

    assert [note.partition(": ")[2] for note in notes] == [
        "'a' stays as it is: its new content is lost",
        "'c' stays as it is: its new content is lost",
    ]
    assert files() == {**BEFORE, "folder/b": "new"}


def test_a_link_put_in_the_way_since_the_crash_is_not_followed(
    workspace: Workspace, outside: Path, files: Callable[[], dict[str, str]]
) -> None:
    cut_short(workspace, "journalled")
    (workspace.root / "folder").rename(workspace.root / "moved")
    (workspace.root / "folder").symlink_to(outside)

    [note] = roll_forward(workspace)

    assert "'folder/b' stays as it is: path must stay inside the workspace" in note
    assert [path.name for path in outside.iterdir()] == ["precious"]
    assert (files()["a"], files()["c"]) == ("new", "new")
    assert roll_forward(workspace) == ()


INTENT = '{"version": 1, "files": [{"path": "PATH", "old": null, "new": ""}]}'


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (f"{CALL}.json", "no json"),
        (f"{CALL}.json", '{"version": 2, "files": []}'),
        (f"{CALL}.json", '{"version": 1, "files": [{"path": "a", "old": null}]}'),
        (f"{CALL}.json", INTENT.replace("PATH", "../outside/x")),
        (f"{CALL}.json", INTENT.replace("PATH", ".git/config")),
        ("plan.json", '{"version": 1, "files": []}'),
    ],
)
def test_an_intent_that_was_not_written_here_is_removed_and_told(
    workspace: Workspace, files: Callable[[], dict[str, str]], name: str, content: str
) -> None:
    workspace.write_text(f".maestro/edits/{name}", content)

    assert roll_forward(workspace) == (f"edit plan '{name}' cannot be read and is removed",)
    assert files() == BEFORE


def test_drafts_are_removed_with_their_copies_and_whatever_else_is_there_stays(
    workspace: Workspace, files: Callable[[], dict[str, str]]
) -> None:
    workspace.write_text(f".maestro/edits/{CALL}.draft", "no json")
    workspace.write_text(".maestro/edits/.0123.tmp", "half a dra")
    workspace.write_text(".maestro/edits/README", "theirs")

    assert roll_forward(workspace) == ()
    assert files() == {**BEFORE, ".maestro/edits/README": "theirs"}


def test_plans_of_one_workspace_do_not_meet(workspace: Workspace) -> None:
    def grab() -> None:
        lock_fd = os.open(workspace.root / ".maestro/edits/lock", os.O_RDWR)
        try:
            with pytest.raises(BlockingIOError):
                fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        finally:
            os.close(lock_fd)

    workspace.write_text("a", "end")
    observer: EditObserver = At("renamed", grab)

    def add(number: int) -> None:
        edit = SearchReplace(path="a", search="end", replace=f"{number} end")
        apply_plan(workspace, f"{number:032x}", (edit,), observer)

    threads = [threading.Thread(target=add, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    *numbers, end = (workspace.root / "a").read_text().split()
    assert sorted(map(int, numbers)) == list(range(8))
    assert end == "end"
