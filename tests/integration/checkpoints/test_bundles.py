"""A checkpoint goes to another machine: the same bytes, all or nothing, and nothing believed."""

import copy
import hashlib
import io
import json
import pickle
import signal
import subprocess
import sys
import tarfile
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from maestro_runtime import open_runtime
from maestro_runtime.checkpoints import (
    ArtifactMismatch,
    BundleInvalid,
    ExportFailed,
    Imported,
    ImportOrder,
    export,
    find_checkpoint,
    import_bundle,
)
from maestro_runtime.checkpoints._bundle import read_bundle, unpacked
from maestro_runtime.errors import DirectoryUnusable, SessionExists
from maestro_storage import Store, verify
from two_phases import BOUND_SECONDS, run_pair

SUPPORT = Path(__file__).parents[2] / "support"


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a finished session; the bundle of its first phase is `write.tar`."""
    directory = tmp_path_factory.mktemp("origin")
    with open_runtime(directory / "state") as runtime:
        run_pair(runtime, directory)
        export(
            runtime.store, find_checkpoint(runtime.store, "s1", "write"), directory / "write.tar"
        )
    return directory


def imported(directory: Path, bundle: Path) -> Imported:
    with Store.open(directory / "state") as store:
        return import_bundle(store, ImportOrder(bundle, directory / "out"), 1_000)


def test_the_same_checkpoint_is_the_same_bytes_wherever_it_is(origin: Path, tmp_path: Path) -> None:
    with Store.inspect(origin / "state") as store:
        record = find_checkpoint(store, "s1", "check")
        first, second = (export(store, record, tmp_path / name) for name in ("a", "b"))

    assert [Path(path).name for path in first.paths] == [
        "checkpoint_check.tar",
        "checkpoint_check.json",
    ]
    for one, other in zip(first.paths, second.paths, strict=True):
        assert Path(one).read_bytes() == Path(other).read_bytes()
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == sorted(
        Path(path).name for path in first.paths
    )


def test_a_bundle_is_a_tar_of_files_that_belong_to_nobody(origin: Path) -> None:
    with tarfile.open(origin / "write.tar") as bundle:
        members = bundle.getmembers()
        document = bundle.extractfile(members[0])
        assert document is not None
        content = json.loads(document.read())

    assert [member.name for member in members] == ["checkpoint_write.json", "artifacts/note.md"]
    assert {(member.mtime, member.uid, member.uname, member.mode) for member in members} == {
        (0, 0, "", 0o644)
    }
    text = json.dumps(content["content"], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert content["sha256"] == hashlib.sha256(text.encode()).hexdigest()
    assert str(origin) not in text


def test_an_imported_session_runs_only_what_was_not_done(origin: Path, tmp_path: Path) -> None:
    with Store.inspect(origin / "state") as store:
        cost = find_checkpoint(store, "s1", "write").tokens_used

    found = imported(tmp_path, origin / "write.tar")

    assert (found.session_id, found.tasks_kept, found.tasks, found.files) == ("s1", 1, 2, 1)
    assert (tmp_path / "out" / "note.md").read_bytes() == (origin / "s1" / "note.md").read_bytes()
    with open_runtime(tmp_path / "state") as runtime:
        report = runtime.resume("s1").result(BOUND_SECONDS)
        spent = sum(row.spent_tokens for row in runtime.store.budgets.scan("s1"))
        phases = [row.phase for row in runtime.store.checkpoints.scan("s1")]
    assert [(task.state, len(task.attempts)) for task in report.tasks] == [("done", 0), ("done", 1)]
    assert (report.tokens_kept, report.tokens_used) == (cost, spent)
    assert (report.origin_session, report.origin_checkpoint) == ("s1", 2)
    assert phases == ["init", "write", "check"]
    assert verify(tmp_path / "state").intact


def test_what_was_imported_can_be_exported_again(origin: Path, tmp_path: Path) -> None:
    imported(tmp_path, origin / "write.tar")

    with Store.inspect(tmp_path / "state") as store:
        again = export(store, find_checkpoint(store, "s1", "init"), tmp_path / "again.tar")

    (tmp_path / "twice").mkdir()
    assert again.files == 1
    assert imported(tmp_path / "twice", tmp_path / "again.tar").tokens_kept > 0


def test_a_file_that_has_changed_is_not_exported(origin: Path, tmp_path: Path) -> None:
    with open_runtime(tmp_path / "state") as runtime:
        run_pair(runtime, tmp_path)
        record = find_checkpoint(runtime.store, "s1", "write")
        (tmp_path / "s1" / "note.md").write_text("another")

        with pytest.raises(ArtifactMismatch, match=r"artifact 'note.md' .* expected sha256"):
            export(runtime.store, record, tmp_path / "copy")

    assert list((tmp_path / "copy").iterdir()) == []


def test_a_place_that_cannot_be_written_is_named(origin: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with Store.inspect(origin / "state") as store:
        record = find_checkpoint(store, "s1", None)
        for output in ("file/below", "missing/x.tar"):
            with pytest.raises(ExportFailed, match=f"{output}' cannot be written: "):
                export(store, record, tmp_path / output)


def test_a_session_that_exists_is_left_alone(origin: Path, tmp_path: Path) -> None:
    imported(tmp_path, origin / "write.tar")

    with pytest.raises(SessionExists, match="session 's1' exists already"):
        imported(tmp_path, origin / "write.tar")


@pytest.mark.parametrize("name", ["other.md", "folder/other.md", "link"])
def test_a_directory_with_something_else_in_it_is_refused(
    origin: Path, tmp_path: Path, name: str
) -> None:
    place = tmp_path / "out" / name
    place.parent.mkdir(parents=True)
    if name == "link":
        place.symlink_to(tmp_path)
    else:
        place.write_text("mine")

    with pytest.raises(DirectoryUnusable, match=f"it must be empty, got '{name}'"):
        imported(tmp_path, origin / "write.tar")

    with Store.inspect(tmp_path / "state") as store:
        assert store.sessions.count() == 0


def test_a_file_of_the_same_name_and_another_content_is_not_overwritten(
    origin: Path, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "note.md").write_text("mine")

    with pytest.raises(ArtifactMismatch, match=r"note\.md"):
        imported(tmp_path, origin / "write.tar")

    assert (tmp_path / "out" / "note.md").read_text() == "mine"


def document_of(bundle: Path) -> dict[str, Any]:
    with tarfile.open(bundle) as file:
        document = file.extractfile("checkpoint_write.json")
        assert document is not None
        content: dict[str, Any] = json.loads(document.read())["content"]
    return content


def tar_of(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    text = io.BytesIO()
    with tarfile.open(fileobj=text, mode="w", format=tarfile.PAX_FORMAT) as file:
        for info, data in members:
            file.addfile(info, io.BytesIO(data))
    # As ours: without the filling up to 10 KiB.
    size = sum(512 + len(data) + -len(data) % 512 for _, data in members)
    return text.getvalue()[: size + 1024]


def member(name: str, data: bytes, **fields: object) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for field, value in fields.items():
        setattr(info, field, value)
    return info, data


def forged(
    content: dict[str, Any], schema: str = "maestro.checkpoint/1", digest: str = ""
) -> bytes:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    digest = digest or hashlib.sha256(text).hexdigest()
    return b'{"content":%b,"schema":"%b","sha256":"%b"}\n' % (
        text,
        schema.encode(),
        digest.encode(),
    )


def a_path(path: str) -> Callable[[dict[str, Any]], object]:
    return lambda content: content["tasks"]["note"]["artifacts"][0].update(path=path)


def a_file(**fields: object) -> Callable[[dict[str, Any]], object]:
    return lambda content: content["tasks"]["note"]["artifacts"][0].update(fields)


def a_task(**fields: object) -> Callable[[dict[str, Any]], object]:
    return lambda content: content["tasks"]["note"].update(fields)


def one_more(path: str) -> Callable[[dict[str, Any]], object]:
    def change(content: dict[str, Any]) -> None:
        files = content["tasks"]["note"]["artifacts"]
        files.append({**files[0], "path": path})

    return change


HOSTILE: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "absolute": (a_path("/etc/passwd"), "it is absolute"),
    "dots": (a_path("a/../../b"), "it has a '..' part"),
    "nul": (a_path("a\0b"), "it has a NUL"),
    "empty path": (a_path(""), "it names no file"),
    "two spellings": (a_path("./note.md"), "printable and canonical"),
    "control": (a_path("a\x1b[2J"), "printable and canonical"),
    "long name": (a_path("a" * 256), "at most 255 bytes"),
    "long path": (a_path("a/" * 512 + "b"), "at most 1024 bytes"),
    "twice": (one_more("note.md"), "got one twice"),
    "file as folder": (one_more("note.md/x"), "must not be the folder of another"),
    "too large": (a_file(size_bytes=1 << 40), "artifact must have 0 to"),
    "below nothing": (a_file(size_bytes=-1), "artifact must have 0 to"),
    "no digest": (a_file(sha256="../x"), "64 hex digits"),
    "not done": (a_task(state="running"), "state of a task"),
    "no state": (a_task(state="perfect"), "must be JSON"),
    "beyond belief": (a_task(tokens_used=1 << 60), "tokens_used must be"),
    "too good": (a_task(quality_score=1.5), "quality_score must be"),
    "session": (lambda content: content.update(session_id="../x"), "name must match"),
    "phase": (lambda content: content.update(phase="other"), "phase must be one of the team"),
    "number": (lambda content: content.update(number=-1), "number must be"),
    "stranger": (
        lambda content: content["tasks"].update(x=content["tasks"]["note"]),
        "must be a contract of the team",
    ),
    "unknown field": (lambda content: content.update(more=1), "spelled as it is exported"),
    "cycle": (
        lambda content: content["team"]["phases"][0].update(after=["check"]),
        "must not form a cycle",
    ),
    "unknown phase": (
        lambda content: content["team"]["phases"][0].update(after=["x"]),
        "phase must be known",
    ),
    "unknown persona": (
        lambda content: content["team"]["contracts"][0].update(provider_persona_id="x"),
        "persona must be known",
    ),
    "unknown predecessor": (
        lambda content: content["team"]["contracts"][0].update(after=["review"]),
        "must be one of its phase",
    ),
    "same contract": (
        lambda content: content["team"]["contracts"].append(content["team"]["contracts"][0]),
        "must have a name each",
    ),
    "other persona": (
        lambda content: content["team"]["personas"]["writer"].update(persona_id="reviewer"),
        "known by its own name",
    ),
    "glob": (
        lambda content: content["team"]["contracts"][0]["deliverables"][0].update(
            artifacts=["../*"]
        ),
        "glob must name files inside the workspace",
    ),
    "huge integer": (
        lambda content: content["team"]["personas"]["writer"].update(options={"n": 1 << 70}),
        "must have 64 bits",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_forged_document_is_refused_before_anything_is_written(
    origin: Path, tmp_path: Path, name: str
) -> None:
    """Its digest is right, and so is the tar around it: only the rules are left."""
    change, rule = HOSTILE[name]
    content = copy.deepcopy(document_of(origin / "write.tar"))
    change(content)
    note = (origin / "s1" / "note.md").read_bytes()
    path = tmp_path / "forged.tar"
    path.write_bytes(
        tar_of(member("checkpoint_write.json", forged(content)), member("artifacts/note.md", note))
    )

    with pytest.raises(BundleInvalid) as caught:
        imported(tmp_path, path)

    assert rule in str(caught.value)
    assert not (tmp_path / "out").exists()
    with Store.inspect(tmp_path / "state") as store:
        assert store.sessions.count() == 0


def test_the_unchanged_document_in_a_tar_of_somebody_else_is_accepted(
    origin: Path, tmp_path: Path
) -> None:
    """So the forgeries above are refused for what was changed."""
    note = (origin / "s1" / "note.md").read_bytes()
    document = forged(document_of(origin / "write.tar"))
    path = tmp_path / "same.tar"
    path.write_bytes(
        tar_of(member("checkpoint_write.json", document), member("artifacts/note.md", note))
    )

    assert path.read_bytes() == (origin / "write.tar").read_bytes()
    assert imported(tmp_path, path).files == 1


NO_BUNDLES = {
    "link": "next must be the plain file",
    "hard link": "next must be the plain file",
    "device": "next must be the plain file",
    "other name": "next must be the plain file",
    "header bit": "next must be the plain file",
    "extra": "it must end after its last artifact",
    "tail": "it must end after its last artifact",
    "order": "must be JSON",
    "mode": "it must begin with 'checkpoint_write.json'",
    "cut": "it is cut short",
    "gap": "a gap in it is not empty",
    "bit": "artifact 'note.md' must have sha256",
    "none": "it must begin with a document",
    "schema": "schema must be 'maestro.checkpoint/1' or 'maestro.checkpoint/2', got "
    "'maestro.checkpoint/3'",
    "digest": "sha256 of the content must be",
    "json": "must be JSON",
    "deep": "must be JSON",
    "folder": "it must be a plain file",
}


def flipped(content: bytes, place: int) -> bytes:
    changed = bytearray(content)
    changed[place] ^= 1
    return bytes(changed)


@pytest.mark.parametrize("what", NO_BUNDLES)
def test_a_file_that_is_no_bundle_is_refused_before_anything_is_written(
    origin: Path, tmp_path: Path, what: str
) -> None:
    content = document_of(origin / "write.tar")
    head = member("checkpoint_write.json", forged(content))
    note = member("artifacts/note.md", (origin / "s1" / "note.md").read_bytes())
    whole = (origin / "write.tar").read_bytes()
    # The last block before the end holds the note, less than 512 bytes long.
    note_at = len(whole) - 1024 - 512
    files: dict[str, bytes] = {
        "link": tar_of(
            head, member("artifacts/note.md", b"", type=tarfile.SYMTYPE, linkname="/etc/passwd")
        ),
        "hard link": tar_of(
            head, member("artifacts/note.md", b"", type=tarfile.LNKTYPE, linkname="x")
        ),
        "device": tar_of(head, member("artifacts/note.md", b"", type=tarfile.CHRTYPE)),
        "other name": tar_of(head, member("../note.md", note[1])),
        "header bit": flipped(whole, note_at - 88),
        "extra": tar_of(head, note, member("artifacts/z.md", b"z")),
        "tail": whole + b"x",
        "order": tar_of(note, head),
        "mode": tar_of(member("checkpoint_write.json", head[1], mode=0o4755), note),
        "cut": whole[: note_at + 5],
        "gap": flipped(whole, note_at + 511),
        "bit": flipped(whole, note_at + 5),
        "none": b"",
        "schema": tar_of(
            member("checkpoint_write.json", forged(content, "maestro.checkpoint/3")), note
        ),
        "digest": tar_of(member("checkpoint_write.json", forged(content, digest="0" * 64)), note),
        "json": tar_of(member("checkpoint_write.json", b"{"), note),
        "deep": tar_of(member("checkpoint_write.json", b"[" * 200_000), note),
    }
    path = tmp_path / "file.tar"
    if what == "folder":
        path.mkdir()
    else:
        path.write_bytes(files[what])

    with pytest.raises(BundleInvalid, match=r"file\.tar' is not the bundle of a check") as caught:
        imported(tmp_path, path)

    assert NO_BUNDLES[what] in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_bundle_that_changes_while_it_is_imported_is_refused(
    origin: Path, tmp_path: Path
) -> None:
    content = read_bundle(origin / "write.tar")
    with Store.inspect(origin / "state") as store:
        export(store, find_checkpoint(store, "s1", "check"), tmp_path / "other.tar")

    with pytest.raises(BundleInvalid, match="it must not change while it is imported"):
        next(unpacked(tmp_path / "other.tar", content))


PROGRAM = textwrap.dedent(
    """
    import sys
    from pathlib import Path
    sys.path.insert(0, sys.argv[1])
    from maestro_runtime.testing import KillAtCommit
    from maestro_runtime.checkpoints import ImportOrder, import_bundle
    from maestro_storage import Store, StorePorts
    here, bundle = Path(sys.argv[2]), Path(sys.argv[3])
    ports = StorePorts(observer=KillAtCommit(1, sys.argv[4]))
    with Store.open(here / "state", ports=ports) as store:
        import_bundle(store, ImportOrder(bundle, here / "out"), 1)
    """
)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_kill_between_files_and_session_leaves_nothing_or_all(
    origin: Path, tmp_path: Path, when: str
) -> None:
    argv = [sys.executable, "-c", PROGRAM, str(SUPPORT), str(tmp_path), str(origin / "write.tar")]

    killed = subprocess.run([*argv, when], check=False, timeout=120)

    assert killed.returncode == -signal.SIGKILL
    assert (tmp_path / "out" / "note.md").exists()
    # What a write that was cut short would have left.
    (tmp_path / "out" / ".0123456789abcdef.tmp").write_bytes(b"half")
    if when == "before":
        assert imported(tmp_path, origin / "write.tar").files == 1
        assert [path.name for path in (tmp_path / "out").iterdir()] == ["note.md"]
    with open_runtime(tmp_path / "state") as runtime:
        assert runtime.resume("s1").result(BOUND_SECONDS).state == "done"


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (BundleInvalid("f.tar", "rule"), "'f.tar' is not the bundle of a checkpoint: rule"),
        (ExportFailed("f.tar", "no space"), "'f.tar' cannot be written: no space"),
        (SessionExists("s1"), "session 's1' exists already"),
    ],
)
def test_the_errors_say_what_is_wrong_and_can_be_pickled(error: Exception, text: str) -> None:
    assert str(pickle.loads(pickle.dumps(error))) == text  # noqa: S301 - our own bytes
