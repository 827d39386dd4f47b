"""A plan tried out in memory: what each file would hold after it."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import Final, assert_never

from maestro_runtime.edits._diff import FileDiff, parse_diff
from maestro_runtime.edits._text import apply_hunks, replace_once
from maestro_runtime.edits.errors import EditRejected, Misfit
from maestro_runtime.edits.plan import (
    EDITS_MAX,
    FILE_BYTES_MAX,
    FILES_MAX,
    PLAN_BYTES_MAX,
    TOTAL_BYTES_MAX,
    Edit,
    EditPlan,
    SearchReplace,
    UnifiedDiff,
    WholeFile,
    texts_of,
)
from maestro_runtime.workspace import PathEscapes, Workspace, canonical_path

CLOSED_FOLDERS: Final = frozenset({".git", ".maestro"})
"""Names, in any case, that no part of an edited path may have: the history of the files, and the
runtime's own notes."""

NAME_BYTES_MAX: Final = 255
"""Longest name of a file or folder that Linux takes."""

PATH_BYTES_MAX: Final = 1_000
"""Longest path that is edited; keeps folders from nesting without end."""


@dataclass(slots=True)
class FileChange:
    """One file of a plan."""

    path: str
    old: str | None
    """SHA-256 (hex) of its content before the plan; None if it does not exist."""
    content: bytes | None
    """After the edits so far; None if it does not exist."""
    block: int
    """The last edit that changed it, 1-based."""

    @property
    def new(self) -> str:
        """SHA-256 (hex) of its content after the plan."""
        return digest_of(self.content or b"")


def digest_of(content: bytes) -> str:
    """Return the SHA-256 of a content in hex."""
    return hashlib.sha256(content).hexdigest()


def check_path(path: str) -> str:
    """Return the one spelling of a path that may be edited.

    Raises:
        Misfit: It leaves the workspace, or is closed to edits.
    """
    try:
        path = canonical_path(path)
    except PathEscapes as error:
        raise Misfit(str(error)) from error
    names = path.split("/")
    if not path.isprintable():
        raise Misfit("path must have only printable characters")
    if closed := [name for name in names if name.casefold() in CLOSED_FOLDERS]:
        raise Misfit(f"path must not go through {closed[0]!a}")
    if any(len(name.encode()) > NAME_BYTES_MAX for name in names):
        raise Misfit(f"names in a path must have at most {NAME_BYTES_MAX} bytes")
    if len(path.encode()) > PATH_BYTES_MAX:
        raise Misfit(f"path must have at most {PATH_BYTES_MAX} bytes")
    return path


def preview(workspace: Workspace, plan: EditPlan) -> list[FileChange]:
    """Apply a plan in memory to the files as they are; nothing is written.

    Returns:
        The files that the plan touches, also those that it leaves as they are.

    Raises:
        EditRejected: An edit does not fit, a path is not allowed, or a limit is exceeded.
        OSError: A file cannot be read.
    """
    trial = _Trial(workspace)
    plan_bytes = 0
    for block, edit in enumerate(plan, 1):
        path = edit.path or ""
        try:
            plan_bytes += sum(len(_encoded(text)) for text in texts_of(edit))
            _check_size(block, plan_bytes)
            for path, rewrite in _targets(edit):
                trial.rewrite(check_path(path), rewrite, block)
        except Misfit as error:
            raise EditRejected(block, path, error.reason, error.lines) from error
    trial.check_folders()
    return list(trial.changes.values())


def _check_size(edit_count: int, plan_bytes: int) -> None:
    """Hold a plan to its limits."""
    if edit_count > EDITS_MAX:
        raise Misfit(f"plan must have at most {EDITS_MAX} edits")
    if plan_bytes > PLAN_BYTES_MAX:
        raise Misfit(f"plan must have at most {PLAN_BYTES_MAX} bytes of text")


Rewrite = Callable[[bytes | None], bytes]
"""From the content of a file, None if it does not exist, to what it becomes."""


def _targets(edit: Edit) -> list[tuple[str, Rewrite]]:
    """Return the files an edit is about, and what it does to each."""
    match edit:
        case WholeFile():
            content = _encoded(edit.content)
            return [(edit.path, lambda _: content)]
        case SearchReplace():
            return [(edit.path, partial(_searched, edit))]
        case UnifiedDiff():
            files = parse_diff(_encoded(edit.diff), edit.path)
            return [(file.path, partial(_patched, file)) for file in files]
        case _:
            assert_never(edit)


def _searched(edit: SearchReplace, content: bytes | None) -> bytes:
    """Apply a search/replace."""
    if content is None:
        raise Misfit("file must exist")
    return replace_once(content, _encoded(edit.search), _encoded(edit.replace))


def _patched(file: FileDiff, content: bytes | None) -> bytes:
    """Apply the hunks of one file; it may be new if the diff says so, or looks for nothing."""
    if content is not None and file.creates:
        raise Misfit("file must not exist, because the diff creates it")
    if content is None and any(hunk.old for hunk in file.hunks):
        raise Misfit("file must exist, because the diff looks for lines")
    return apply_hunks(content or b"", file.hunks)


def _encoded(text: str) -> bytes:
    """Return the bytes of a text."""
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise Misfit("text must be encodable as UTF-8") from error


class _Trial:
    """The files of a plan, as far as it is applied."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self.changes: dict[str, FileChange] = {}

    def rewrite(self, path: str, rewrite: Rewrite, block: int) -> None:
        """Change what one file holds."""
        change = self.changes.get(path) or self._read(path)
        content = rewrite(change.content)
        if len(content) > FILE_BYTES_MAX:
            raise Misfit(f"file must have at most {FILE_BYTES_MAX} bytes, got {len(content)}")
        change.content, change.block = content, block
        self.changes[path] = change
        if len(self.changes) > FILES_MAX:
            raise Misfit(f"plan must have at most {FILES_MAX} files")
        if sum(len(file.content or b"") for file in self.changes.values()) > TOTAL_BYTES_MAX:
            raise Misfit(f"files of a plan must have at most {TOTAL_BYTES_MAX} bytes together")

    def check_folders(self) -> None:
        """Refuse a plan that wants a name to be both a file and a folder."""
        for path, change in self.changes.items():
            for folder in map(str, PurePosixPath(path).parents):
                if folder in self.changes:
                    reason = f"path must not go through {folder!a}, a file of the plan"
                    raise EditRejected(change.block, path, reason)

    def _read(self, path: str) -> FileChange:
        """Return a file as it is on disk."""
        try:
            content = self._workspace.read_bytes(path, FILE_BYTES_MAX + 1)
        except PathEscapes as error:
            raise Misfit(str(error)) from error
        if content is not None and len(content) > FILE_BYTES_MAX:
            raise Misfit(f"file must have at most {FILE_BYTES_MAX} bytes to be edited")
        old = None if content is None else digest_of(content)
        return FileChange(path, old, content, 0)
