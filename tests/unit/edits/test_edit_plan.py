"""Whole plans: applied all or not at all, inside the workspace, within their limits."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_runtime.edits import (
    Edit,
    EditPlan,
    EditRejected,
    SearchReplace,
    UnifiedDiff,
    WholeFile,
    apply_plan,
)
from maestro_runtime.edits import _preview as preview
from maestro_runtime.workspace import Workspace

CALL = "0" * 32


def tree(folder: Path) -> dict[str, bytes]:
    """Return all files but the runtime's own notes."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.relative_to(folder).parts[0] != ".maestro"
    }


def whole(path: str, content: str = "new") -> WholeFile:
    return WholeFile(path=path, content=content)


def search(path: str, what: str = "old", replace: str = "new") -> SearchReplace:
    return SearchReplace(path=path, search=what, replace=replace)


def diff(text: str, path: str | None = None) -> UnifiedDiff:
    return UnifiedDiff(path=path, diff=text)


def test_edits_are_applied_in_order_and_each_sees_what_those_before_it_leave(
    workspace: Workspace,
) -> None:
    workspace.write_text("a.txt", "one\ntwo\n")
    workspace.write_bytes("b.txt", b"\xff old \xff\r\n")
    plan = (
        search("a.txt", "one", "three"),
        diff("--- a/a.txt\n+++ b/a.txt\n@@\n three\n-two\n+four\n"),
        search("./b.txt"),
        whole("new/c.txt", "x"),
        search("new//c.txt", "x", "y"),
        diff("--- /dev/null\n+++ b/d.txt\n@@\n+z\n--- a/a.txt\n+++ b/a.txt\n@@\n-three\n"),
        diff("@@\n+e\n", "e.txt"),
    )

    applied = apply_plan(workspace, CALL, plan)

    assert tree(workspace.root) == {
        "a.txt": b"four\n",
        "b.txt": b"\xff new \xff\r\n",
        "new/c.txt": b"y",
        "d.txt": b"z\n",
        "e.txt": b"e\n",
    }
    assert applied.paths == ("a.txt", "b.txt", "new/c.txt", "d.txt", "e.txt")
    assert applied.full_bytes == sum(map(len, tree(workspace.root).values()))
    assert applied.notes == ()


def test_the_bytes_of_a_plan_are_its_texts_and_a_whole_file_saves_none(
    workspace: Workspace,
) -> None:
    workspace.write_text("a", "x" * 1000 + "old")

    small = apply_plan(workspace, CALL, (search("a"),))
    full = apply_plan(workspace, CALL, (whole("b", "é" * 50),))

    assert (small.plan_bytes, small.full_bytes) == (6, 1003)
    assert (full.plan_bytes, full.full_bytes) == (100, 100)


def test_an_empty_plan_does_not_touch_the_disk_and_one_without_effect_no_file(
    workspace: Workspace,
) -> None:
    assert apply_plan(workspace, CALL, ()).paths == ()
    assert list(workspace.root.iterdir()) == []
    workspace.write_text("a", "old")
    before = (workspace.root / "a").stat()
    unchanged = (before.st_ino, before.st_mtime_ns, before.st_ctime_ns)

    applied = apply_plan(workspace, CALL, (search("a", "old", "old"),))

    assert (applied.paths, applied.full_bytes) == ((), 0)
    after = (workspace.root / "a").stat()
    assert (after.st_ino, after.st_mtime_ns, after.st_ctime_ns) == unchanged


def test_a_plan_is_named_by_a_call_id(workspace: Workspace) -> None:
    with pytest.raises(ValueError, match=r"call id must be 32 hex digits, got '\.\./x'"):
        apply_plan(workspace, "../x", (whole("a"),))


def test_permissions_of_an_edited_file_stay(workspace: Workspace) -> None:
    workspace.write_text("run.sh", "old")
    (workspace.root / "run.sh").chmod(0o750)

    apply_plan(workspace, CALL, (search("run.sh"),))

    assert (workspace.root / "run.sh").stat().st_mode & 0o7777 == 0o750


def test_a_file_with_several_names_is_replaced_under_one_of_them(
    workspace: Workspace, outside: Path
) -> None:
    os.link(outside / "precious", workspace.root / "link")

    apply_plan(workspace, CALL, (search("link", "kept", "lost"),))

    assert (outside / "precious").read_text() == "kept"
    assert (workspace.root / "link").read_text() == "lost"


GOOD = st.sampled_from(
    [
        whole("a"),
        whole("made/b"),
        search("kept/c"),
        diff("--- a/kept/c\n+++ b/kept/c\n@@\n first\n+more\n"),
    ]
)
BAD = st.sampled_from(
    [
        search("a", "nowhere"),
        search("kept/c", "i"),
        search("missing"),
        diff("--- a/kept/c\n+++ b/kept/c\n@@\n-nowhere\n"),
        diff("no diff", "a"),
        whole("../a"),
        whole("kept"),
        whole("kept/c/d"),
        whole(".git/config"),
    ]
)


@given(st.lists(GOOD, max_size=3, unique=True), BAD, st.data())
def test_a_plan_with_one_bad_block_changes_nothing_and_names_the_block(
    workspace: Workspace, good: list[Edit], bad: Edit, data: st.DataObject
) -> None:
    workspace.write_text("kept/c", "first\nold\nfinished\n")
    before = tree(workspace.root)
    place = data.draw(st.integers(0, len(good)))
    plan: EditPlan = (*good[:place], bad, *good[place:])

    with pytest.raises(EditRejected, match=f"edit {place + 1} ") as refusal:
        apply_plan(workspace, CALL, plan)

    assert refusal.value.block == place + 1
    assert tree(workspace.root) == before


LEAVING = ("", ".", "/etc/x", "../x", "a/../../x", "a\0b", "a\nb", "a\ud800", "\udcff")
TOO_LONG = ("x" * 256, "é" * 128, "d/" * 500 + "x")
CLOSED = (".git/hooks/pre-commit", "sub/.GIT/x", ".maestro/edits/x.json")


@pytest.mark.parametrize("path", [*LEAVING, *TOO_LONG, *CLOSED])
@pytest.mark.parametrize("kind", [whole, search, lambda path: diff("@@\n+x\n", path)])
def test_a_path_that_leaves_or_is_closed_is_refused(
    workspace: Workspace, outside: Path, path: str, kind: Callable[[str], Edit]
) -> None:
    plan = (whole("good"), kind(path))

    with pytest.raises(EditRejected, match=r"edit 2( of .*)? cannot be applied: (path|names in)"):
        apply_plan(workspace, CALL, plan)

    assert tree(workspace.root) == {}
    assert tree(outside) == {"precious": b"kept"}


def test_names_in_a_diff_are_guarded_as_paths_are(workspace: Workspace) -> None:
    for name in ("../x", "/etc/x", ".git/x", "a/../../x"):
        with pytest.raises(EditRejected, match="cannot be applied: path must"):
            apply_plan(workspace, CALL, (diff(f"--- /dev/null\n+++ {name}\n@@\n+x\n"),))

    assert tree(workspace.root) == {}


@pytest.mark.parametrize("path", ["link/x", "link/precious", "file", "pipe", "folder", "plain/x"])
@pytest.mark.parametrize("kind", [whole, lambda path: search(path, "kept")])
def test_an_edit_goes_through_no_link_and_only_to_plain_files(
    workspace: Workspace, outside: Path, path: str, kind: Callable[[str], Edit]
) -> None:
    (workspace.root / "link").symlink_to(outside)
    (workspace.root / "file").symlink_to(outside / "precious")
    os.mkfifo(workspace.root / "pipe")
    (workspace.root / "folder").mkdir()
    workspace.write_text("plain", "kept")

    with pytest.raises(EditRejected, match="path must stay inside the workspace"):
        apply_plan(workspace, CALL, (kind(path),))

    assert tree(outside) == {"precious": b"kept"}
    assert (workspace.root / "file").is_symlink()


def test_the_notes_of_the_runtime_are_not_kept_behind_a_link(
    workspace: Workspace, outside: Path
) -> None:
    (workspace.root / ".maestro").symlink_to(outside)

    with pytest.raises(ValueError, match="path must stay inside the workspace"):
        apply_plan(workspace, CALL, (whole("a"),))

    assert tree(outside) == {"precious": b"kept"}


def test_a_name_is_not_both_a_file_and_a_folder_of_a_plan(workspace: Workspace) -> None:
    with pytest.raises(EditRejected, match=r"edit 1 of 'a/b/c' .*not go through 'a', a file of"):
        apply_plan(workspace, CALL, (whole("a/b/c"), whole("a")))

    assert tree(workspace.root) == {}


def test_a_plan_is_held_to_its_limits(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace.write_text("large", "x" * 101)
    for name, limit in (("EDITS_MAX", 4), ("PLAN_BYTES_MAX", 500), ("FILE_BYTES_MAX", 100)):
        monkeypatch.setattr(preview, name, limit)
    monkeypatch.setattr(preview, "TOTAL_BYTES_MAX", 250)
    monkeypatch.setattr(preview, "FILES_MAX", 3)
    many = "".join(f"--- /dev/null\n+++ {n}\n@@\n+x\n" for n in range(4))
    full = "x" * 100

    for plan, reason in (
        ([whole("a")] * 5, "edit 5 of 'a' cannot be applied: plan must have at most 4 edits"),
        ([whole("a", "x" * 501)], "plan must have at most 500 bytes of text"),
        ([whole("a", full + "x")], "file must have at most 100 bytes, got 101"),
        ([search("large")], "file must have at most 100 bytes to be edited"),
        ([whole(name, full) for name in "abc"], "plan must have at most 250 bytes together"),
        ([diff(many)], "edit 1 of '3' cannot be applied: plan must have at most 3 files"),
        ([whole("a", "\ud800")], "text must be encodable as UTF-8"),
    ):
        with pytest.raises(EditRejected, match=reason):
            apply_plan(workspace, CALL, tuple(plan))


@pytest.mark.parametrize(
    ("plan", "text"),
    [
        (
            (whole("b"), search("a", "x")),
            "search must be found in one place, found in 2, see lines 1, 3",
        ),
        (
            (search("a", "z\nw"),),
            "found in 0; only its first line, indentation aside, is there, see line 2",
        ),
        ((search("none"),), "edit 1 of 'none' cannot be applied: file must exist"),
        (
            (diff("--- /dev/null\n+++ b/a\n@@\n+x\n"),),
            "edit 1 of 'a' cannot be applied: file must not exist, because the diff creates it",
        ),
        (
            (diff("@@\n-x\n", "none"),),
            "edit 1 of 'none' cannot be applied: file must exist, because the diff looks for lines",
        ),
        (
            (diff("text"),),
            "edit 1 cannot be applied: diff must have a hunk for each file, beginning with '@@'",
        ),
    ],
)
def test_a_rejection_says_which_block_how_often_and_where(
    workspace: Workspace, plan: EditPlan, text: str
) -> None:
    workspace.write_text("a", "x\n  z\nx\n")

    with pytest.raises(EditRejected) as refusal:
        apply_plan(workspace, CALL, plan)

    copy = pickle.loads(pickle.dumps(refusal.value))  # noqa: S301 - our own bytes
    assert text in str(refusal.value)
    assert str(copy) == str(refusal.value)
    assert vars(copy) == vars(refusal.value)
