"""Applying a plan so that a crash leaves all of its files changed, or none.

In the workspace, under `.maestro/edits`: `lock` is held by whoever applies a plan or finishes one,
so what is found there with the lock in hand belongs to the dead. `<call>.draft` names the files
whose new contents are being put next to them, hidden; renamed to `<call>.json` it is the intent:
from then on the plan is only ever finished, by renaming each hidden copy into its place.
"""

import contextlib
import fcntl
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import Final, Literal, Protocol

import msgspec

from maestro_runtime.edits._preview import FileChange, check_path, digest_of, preview
from maestro_runtime.edits.errors import EditRejected, Misfit
from maestro_runtime.edits.plan import FILE_BYTES_MAX, EditPlan, texts_of
from maestro_runtime.workspace import PathEscapes, Workspace

EDITS_FOLDER: Final = ".maestro/edits"
LOCK: Final = f"{EDITS_FOLDER}/lock"

CALL_ID: Final = re.compile(r"[0-9a-f]{32}")
"""Form of a call id."""

INTENT_BYTES_MAX: Final = 4 << 20
"""Largest intent that is read: more than the most files with the longest paths come to."""

EditStep = Literal["drafted", "staged", "journalled", "renamed", "cleared"]
"""drafted, journalled, cleared: the plan's draft is written, is the intent, is gone; staged,
renamed: a copy is written, is in its place (once for each file)."""


class EditObserver(Protocol):
    """Sees every step of a plan, on the thread that applies it. For tests that kill there."""

    def reached(self, step: EditStep) -> None:
        """`step` is done, the next not begun."""


class AppliedPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What a plan came to."""

    paths: tuple[str, ...] = ()
    """Files whose content it changed."""
    plan_bytes: int = 0
    """Text of the plan."""
    full_bytes: int = 0
    """Text of these files after it: what an author without edits would have had to write."""
    notes: tuple[str, ...] = ()
    """As `roll_forward` returns them, also about plans before it."""


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file of an intent."""

    path: str
    old: str | None
    """SHA-256 (hex) before; None if the file is new."""
    new: str


class _Intent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What stands in a draft and in an intent."""

    version: Literal[1]
    files: tuple[_File, ...]


def apply_plan(
    workspace: Workspace, call_id: str, plan: EditPlan, observer: EditObserver | None = None
) -> AppliedPlan:
    """Apply a plan, whole or not at all.

    Plans of one workspace are applied one after the other, also those of several processes. When
    it returns, all contents and names survive a power cut. Permissions of files that exist stay.
    After a crash, `roll_forward` finishes the plan or removes what is left of it; at most empty
    folders remain.

    Args:
        workspace: Where the files are.
        call_id: Names the plan on disk: 32 hex digits, at most one plan of a call at a time.
        plan: The edits, in order.
        observer: Sees every step.

    Raises:
        EditRejected: An edit does not fit; nothing was changed.
        PathEscapes: Somebody put a link where the journal goes.
        ValueError: The call id is none.
        OSError: The disk refused. Nothing was changed, or the rest follows by `roll_forward`.
    """
    if not CALL_ID.fullmatch(call_id):
        raise ValueError(f"call id must be 32 hex digits, got {call_id!r}")
    if not plan:
        return AppliedPlan()
    with _locked(workspace):
        journal = _Journal(workspace, observer)
        notes = journal.finish_all()
        changes = preview(workspace, plan)
        changed = [change for change in changes if change.new != change.old]
        if changed:
            notes += journal.write(call_id, changed)
    return AppliedPlan(
        notes=tuple(notes),
        paths=tuple(change.path for change in changed),
        plan_bytes=sum(len(text.encode()) for edit in plan for text in texts_of(edit)),
        full_bytes=sum(len(change.content or b"") for change in changed),
    )


def roll_forward(workspace: Workspace, observer: EditObserver | None = None) -> tuple[str, ...]:
    """Finish the plans whose intent a crash has left, and remove what is left of others.

    Call it before anything works in a workspace that may have seen a crash. It may be called at
    any time and any number of times; it waits for a plan that is being applied.

    Returns:
        What could not be finished, one sentence each: a file that is neither as it was before the
        plan nor as the plan wants it was changed by somebody since, and stays as it is.

    Raises:
        OSError: The disk refused; it may be called again.
    """
    if not has_journal(workspace):
        return ()
    with _locked(workspace):
        return tuple(_Journal(workspace, observer).finish_all())


def has_journal(workspace: Workspace) -> bool:
    """Tell whether a plan was ever applied, or begun, in a workspace; one look at the disk."""
    return (workspace.root / EDITS_FOLDER).is_dir()


@contextlib.contextmanager
def _locked(workspace: Workspace) -> Iterator[None]:
    """Hold the workspace's lock; the kernel lets go of it when the process dies."""
    with workspace.parent_of(LOCK, create=True) as (folder_fd, name):
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        lock_fd = os.open(name, flags, 0o600, dir_fd=folder_fd)
    try:
        fcntl.flock(lock_fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock_fd)


class _Journal:
    """The plans of a workspace. Used with the lock in hand."""

    def __init__(self, workspace: Workspace, observer: EditObserver | None) -> None:
        self._workspace = workspace
        self._observer = observer

    def write(self, call_id: str, changes: Sequence[FileChange]) -> list[str]:
        """Make the changes durable, all or none; return as `roll_forward` does."""
        files = tuple(_File(change.path, change.old, change.new) for change in changes)
        draft = _draft(call_id)
        try:
            self._workspace.write_bytes(draft, msgspec.json.encode(_Intent(1, files)))
            self._reached("drafted")
            for number, change in enumerate(changes):
                self._stage(_copy(call_id, number, change.path), change)
                self._reached("staged")
            # An intent must not survive a power cut that its copies do not.
            copies = [_copy(call_id, number, file.path) for number, file in enumerate(files)]
            self._workspace.sync([draft, *copies])
            self._check_unchanged(changes)
            with self._workspace.parent_of(draft) as (folder_fd, name):
                os.rename(name, f"{call_id}.json", src_dir_fd=folder_fd, dst_dir_fd=folder_fd)
                os.fsync(folder_fd)
        except BaseException:
            self._withdraw(call_id, files)
            raise
        self._reached("journalled")
        return self._finish(call_id, files)

    def finish_all(self) -> list[str]:
        """Finish every intent and withdraw every draft; return as `roll_forward` does."""
        with self._workspace.parent_of(LOCK) as (folder_fd, _), os.scandir(folder_fd) as entries:
            names = sorted(entry.name for entry in entries)
        notes: list[str] = []
        for name in names:
            call_id, _, kind = name.rpartition(".")
            if kind == "json":
                files = self._files_in(name)
                if files is None:
                    notes.append(f"edit plan {name!a} cannot be read and is removed")
                    self._workspace.remove(f"{EDITS_FOLDER}/{name}")
                else:
                    notes += self._finish(call_id, files)
            elif kind == "draft":
                self._withdraw(call_id, self._files_in(name) or ())
            elif kind == "tmp":
                # A draft that was being written.
                self._workspace.remove(f"{EDITS_FOLDER}/{name}")
        return notes

    def _files_in(self, name: str) -> tuple[_File, ...] | None:
        """Read a draft or an intent; None if it is not one that was written here."""
        content = self._workspace.read_bytes(f"{EDITS_FOLDER}/{name}", INTENT_BYTES_MAX)
        if content is None or not CALL_ID.fullmatch(name.rpartition(".")[0]):
            return None
        try:
            files = msgspec.json.decode(content, type=_Intent).files
            return files if all(check_path(file.path) == file.path for file in files) else None
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, Misfit):
            # Others can write in the workspace too.
            return None

    def _stage(self, copy: str, change: FileChange) -> None:
        """Write the new content of a file next to it."""
        # One that a power cut has left without its draft.
        self._workspace.remove(copy)
        with self._workspace.parent_of(copy, create=True) as (folder_fd, name):
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            copy_fd = os.open(name, flags, 0o644, dir_fd=folder_fd)
            with os.fdopen(copy_fd, "wb") as file:
                if change.old is not None:
                    before = os.stat(
                        PurePosixPath(change.path).name, dir_fd=folder_fd, follow_symlinks=False
                    )
                    os.fchmod(copy_fd, before.st_mode & 0o777)
                file.write(change.content or b"")

    def _check_unchanged(self, changes: Sequence[FileChange]) -> None:
        """Refuse to overwrite what somebody else has written since the plan was tried out."""
        for change in changes:
            if self._digest(change.path) != change.old:
                reason = "file was changed by somebody else while the plan was being applied"
                raise EditRejected(change.block, change.path, reason)

    def _finish(self, call_id: str, files: Sequence[_File]) -> list[str]:
        """Put the copies into their places and let go of the intent."""
        notes, placed = [], []
        for number, file in enumerate(files):
            note = self._place(_copy(call_id, number, file.path), file)
            if note is None:
                placed.append(file.path)
            else:
                notes.append(f"edit plan of call {call_id}: {file.path!a} {note}")
            self._reached("renamed")
        self._workspace.sync(placed)
        with self._workspace.parent_of(_draft(call_id)) as (folder_fd, _):
            os.unlink(f"{call_id}.json", dir_fd=folder_fd)
            os.fsync(folder_fd)
        self._reached("cleared")
        return notes

    def _place(self, copy: str, file: _File) -> str | None:
        """Rename one copy, unless that was done; return why it cannot be done."""
        try:
            found, staged = self._digest(file.path), self._digest(copy)
            if found == file.old and staged == file.new:
                with self._workspace.parent_of(copy) as (folder_fd, name):
                    target = PurePosixPath(file.path).name
                    os.rename(name, target, src_dir_fd=folder_fd, dst_dir_fd=folder_fd)
                return None
            self._workspace.remove(copy)
        except PathEscapes as error:
            return f"stays as it is: {error}"
        if found == file.new:
            return None
        if found != file.old:
            return "stays as it is: somebody has changed it since"
        return "stays as it is: its new content is lost"

    def _withdraw(self, call_id: str, files: Sequence[_File]) -> None:
        """Remove what a plan that never became an intent has left."""
        self._workspace.remove(f"{EDITS_FOLDER}/{call_id}.json")
        for number, file in enumerate(files):
            with contextlib.suppress(PathEscapes):
                self._workspace.remove(_copy(call_id, number, file.path))
        self._workspace.remove(_draft(call_id))

    def _digest(self, path: str) -> str | None:
        """Return the SHA-256 of a file, None if it does not exist."""
        content = self._workspace.read_bytes(path, FILE_BYTES_MAX + 1)
        return None if content is None else digest_of(content)

    def _reached(self, step: EditStep) -> None:
        if self._observer is not None:
            self._observer.reached(step)


def _draft(call_id: str) -> str:
    """Return the place of a plan's draft."""
    return f"{EDITS_FOLDER}/{call_id}.draft"


def _copy(call_id: str, number: int, path: str) -> str:
    """Return the place of a file's new content: hidden, in the file's own folder."""
    # A rename needs the same file system and the right to write there; staging proves both.
    return str(PurePosixPath(path).parent / f".{call_id}.{number}.edit")
