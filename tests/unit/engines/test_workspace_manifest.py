import hashlib
import os
import threading
from pathlib import Path

import pytest

from maestro_runtime.workspace import GlobEscapes, Workspace, WorkspaceTooLarge, _manifest, diff


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    (tmp_path / "inside").mkdir()
    return Workspace(tmp_path / "inside")


def test_a_manifest_names_size_and_digest_of_what_matches(workspace: Workspace) -> None:
    workspace.write_text("src/a.py", "a")
    workspace.write_text("src/b.txt", "b")

    manifest = workspace.manifest(["src/*.py", "docs/*"])

    assert list(manifest.files) == ["src/a.py"]
    assert manifest.files["src/a.py"].size_bytes == 1
    assert manifest.files["src/a.py"].sha256 == hashlib.sha256(b"a").hexdigest()
    assert manifest.missing == ("docs/*",)
    assert manifest.refused == ()


def test_a_workspace_that_does_not_exist_has_no_files(tmp_path: Path) -> None:
    assert Workspace(tmp_path / "none").manifest(["a"]).missing == ("a",)


def test_links_pipes_and_hard_links_are_refused_with_a_reason(
    workspace: Workspace, tmp_path: Path
) -> None:
    (tmp_path / "outside.py").write_text("secret")
    (workspace.root / "link.py").symlink_to(tmp_path / "outside.py")
    (workspace.root / "folder").symlink_to(tmp_path)
    os.link(tmp_path / "outside.py", workspace.root / "hard.py")
    os.mkfifo(workspace.root / "pipe.py")

    manifest = workspace.manifest(["*.py", "folder/*.py"])

    assert manifest.files == {}
    assert manifest.missing == ("*.py", "folder/*.py")
    assert manifest.refused == (
        "refused: 'folder' is a symbolic link",
        "refused: 'hard.py' has 2 hard links",
        "refused: 'link.py' is a symbolic link",
        "refused: 'pipe.py' is not a regular file",
    )


def test_links_that_no_glob_asks_for_are_not_mentioned(workspace: Workspace) -> None:
    workspace.write_text("a/b.py", "b")
    (workspace.root / "a" / "loop").symlink_to(workspace.root)

    manifest = workspace.manifest(["**/*.py"])

    assert list(manifest.files) == ["a/b.py"]
    assert manifest.refused == ()


@pytest.mark.parametrize("name", [b"caf\xe9.py", b"a\nb.py"])
def test_a_name_that_cannot_be_shown_is_refused(workspace: Workspace, name: bytes) -> None:
    (workspace.root / os.fsdecode(name)).write_text("x")

    manifest = workspace.manifest(["*.py"])

    assert manifest.files == {}
    assert manifest.refused[0].endswith("has a name with characters that cannot be printed")
    manifest.refused[0].encode("ascii")


def test_only_the_first_refused_files_are_listed(workspace: Workspace) -> None:
    for number in range(25):
        (workspace.root / f"{number}.py").symlink_to("nowhere")

    refused = workspace.manifest(["*.py"]).refused

    assert len(refused) == 21
    assert refused[-1] == "refused: 5 more files"


def test_too_many_files_or_bytes_are_an_error(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b", "c"):
        workspace.write_text(name, "12345")

    monkeypatch.setattr(_manifest, "FILES_MAX", 2)
    with pytest.raises(WorkspaceTooLarge, match=r"^artifacts exceed the limit of 2 files$"):
        workspace.manifest(["*"])
    monkeypatch.setattr(_manifest, "FILES_MAX", 3)
    monkeypatch.setattr(_manifest, "HASHED_BYTES_MAX", 14)
    with pytest.raises(WorkspaceTooLarge, match=r"^artifacts exceed the limit of 14 bytes$"):
        workspace.manifest(["*"])


def test_folders_below_the_depth_limit_are_refused_and_the_rest_is_seen(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_manifest, "FOLDER_DEPTH_MAX", 2)
    workspace.write_text("a/b/c/d.py", "x")
    workspace.write_text("a/b/e.py", "x")

    manifest = workspace.manifest(["**/*.py"])

    assert list(manifest.files) == ["a/b/e.py"]
    assert manifest.refused == ("refused: 'a/b/c' is deeper than 2 folders",)


def test_a_glob_is_checked_before_anything_is_read(workspace: Workspace) -> None:
    with pytest.raises(GlobEscapes):
        workspace.manifest(["../*"])


def test_a_difference_marks_what_was_created_or_changed(workspace: Workspace) -> None:
    workspace.write_text("same", "1")
    workspace.write_text("changed", "1")
    before = workspace.manifest(["*"])
    workspace.write_text("changed", "2")
    workspace.write_text("new", "1")

    artifacts = diff(before.files, workspace.manifest(["*"]))

    assert [(artifact.path, artifact.changed) for artifact in artifacts] == [
        ("changed", True),
        ("new", True),
        ("same", False),
    ]


def test_files_that_come_and_go_do_not_disturb_a_manifest(workspace: Workspace) -> None:
    """Another task of the session writes while this one is looked at."""
    workspace.write_text("kept", "x")
    enough = threading.Event()

    def churn() -> None:
        while not enough.is_set():
            workspace.write_text("folder/coming", "x")
            workspace.remove("folder/coming")

    churning = threading.Thread(target=churn)
    churning.start()
    try:
        manifests = [workspace.manifest(["**"]) for _ in range(50)]
    finally:
        enough.set()
        churning.join(timeout=20)

    assert all("kept" in manifest.files and not manifest.refused for manifest in manifests)
