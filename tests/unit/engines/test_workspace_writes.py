import os
from pathlib import Path

import pytest

from maestro_runtime.workspace import PathEscapes, Workspace


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    folder = tmp_path / "outside"
    folder.mkdir()
    return folder


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    (tmp_path / "inside").mkdir()
    return Workspace(tmp_path / "inside")


def test_a_write_creates_folders_replaces_content_and_leaves_nothing_else(
    workspace: Workspace,
) -> None:
    workspace.write_text("a/b/c.txt", "one")
    workspace.write_bytes("a/b/c.txt", b"two")

    assert (workspace.root / "a/b/c.txt").read_bytes() == b"two"
    assert [path.name for path in (workspace.root / "a/b").iterdir()] == ["c.txt"]


@pytest.mark.parametrize("path", ["", ".", "/etc/x", "../x", "a/../../x", "a\0b"])
def test_a_path_that_leaves_is_refused(workspace: Workspace, outside: Path, path: str) -> None:
    for attempt in (
        lambda: workspace.write_bytes(path, b"x"),
        lambda: workspace.resolve(path),
        lambda: workspace.read_bytes(path, 1),
    ):
        with pytest.raises(PathEscapes, match="path must stay inside the workspace"):
            attempt()

    assert list(outside.iterdir()) == []


def test_a_write_does_not_go_through_a_linked_folder(workspace: Workspace, outside: Path) -> None:
    (workspace.root / "link").symlink_to(outside)

    with pytest.raises(PathEscapes, match=r"'link' is a link or a file, got 'link/x\.txt'"):
        workspace.write_text("link/x.txt", "x")
    with pytest.raises(PathEscapes, match="'link' is a symbolic link"):
        workspace.resolve("link/x.txt")

    assert list(outside.iterdir()) == []


def test_a_write_replaces_a_link_instead_of_following_it(
    workspace: Workspace, outside: Path
) -> None:
    (outside / "precious").write_text("kept")
    (workspace.root / "link").symlink_to(outside / "precious")

    workspace.write_text("link", "new")

    assert (outside / "precious").read_text() == "kept"
    assert not (workspace.root / "link").is_symlink()


def test_a_failed_write_leaves_no_draft(workspace: Workspace) -> None:
    (workspace.root / "taken").mkdir()

    with pytest.raises(IsADirectoryError):
        workspace.write_text("taken", "x")

    assert [path.name for path in workspace.root.iterdir()] == ["taken"]


def test_a_read_takes_no_more_than_asked_and_no_special_files(workspace: Workspace) -> None:
    workspace.write_text("a", "abcdef")
    os.mkfifo(workspace.root / "pipe")
    workspace.make_folder("folder")
    (workspace.root / "link").symlink_to("a")

    assert workspace.read_bytes("a", 3) == b"abc"
    assert workspace.read_bytes("none", 3) is None
    assert workspace.read_bytes("none/none", 3) is None
    with pytest.raises(PathEscapes, match="'pipe' is not a regular file"):
        workspace.read_bytes("pipe", 3)
    with pytest.raises(PathEscapes, match="'link' is a symbolic link"):
        workspace.read_bytes("link", 3)
    with pytest.raises(PathEscapes, match="'folder' is not a regular file"):
        workspace.read_bytes("folder", 3)


def test_removing_and_syncing_pass_over_what_is_not_there(workspace: Workspace) -> None:
    workspace.write_text("a/b", "x")

    workspace.remove("a/b")
    workspace.remove("a/b")
    workspace.sync(["a/b", "c/d"])

    assert list((workspace.root / "a").iterdir()) == []
