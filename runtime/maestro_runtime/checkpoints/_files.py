"""The artifacts of a checkpoint as files of a workspace: read and compared with the record."""

import hashlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from maestro_actors.engine import Artifact
from maestro_runtime.checkpoints._report import CheckpointReport
from maestro_runtime.checkpoints.errors import ArtifactMismatch
from maestro_runtime.errors import DirectoryUnusable
from maestro_runtime.starting.directories import usable_output
from maestro_runtime.workspace import DRAFT_NAME, PathEscapes, Workspace
from maestro_storage import Records

VERIFY_SCHEMA: Final = "maestro.checkpoint-verification/1"
"""Name and version of the JSON shape; a field is only ever added."""

MISSING: Final = "it is missing"


class CheckpointVerification(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the files of a checkpoint are still what they were."""

    schema: str
    session_id: str
    number: int
    phase: str
    output_dir: str
    files: int
    """Artifacts on record."""
    looked: bool
    """Whether the output directory is there; without it only the records were verified."""
    missing: tuple[str, ...]
    changed: tuple[str, ...]
    """Paths of files with another content, or that are no plain files any more."""

    @property
    def intact(self) -> bool:
        """Whether nothing is known to be missing or changed."""
        return not self.missing and not self.changed


def verified(report: CheckpointReport, output_dir: str) -> CheckpointVerification:
    """Compare the files in `output_dir` with what the checkpoint has on record."""
    workspace = Workspace(output_dir)
    looked = workspace.root.is_dir()
    faults: dict[str, str] = {}
    for path, artifact in sorted(report.files.items()) if looked else ():
        try:
            content_of(workspace, report.session_id, artifact)
        except ArtifactMismatch as error:
            faults[path] = error.reason
    return CheckpointVerification(
        schema=VERIFY_SCHEMA,
        session_id=report.session_id,
        number=report.number,
        phase=report.phase,
        output_dir=output_dir,
        files=len(report.files),
        looked=looked,
        missing=tuple(path for path, fault in faults.items() if fault == MISSING),
        changed=tuple(path for path, fault in faults.items() if fault != MISSING),
    )


def content_of(workspace: Workspace, session_id: str, artifact: Artifact) -> bytes:
    """Return the content of an artifact.

    Raises:
        ArtifactMismatch: There is no such file, it is no plain file, cannot be read, or has another
            content.
    """
    try:
        # One byte more than expected is enough to see that it has grown.
        content = workspace.read_bytes(artifact.path, artifact.size_bytes + 1)
    except PathEscapes as error:
        raise ArtifactMismatch(session_id, artifact.path, error.reason) from error
    except OSError as error:
        reason = f"it cannot be read: {error.strerror or error}"
        raise ArtifactMismatch(session_id, artifact.path, reason) from error
    if content is None:
        raise ArtifactMismatch(session_id, artifact.path, MISSING)
    found = hashlib.sha256(content).hexdigest()
    if len(content) > artifact.size_bytes:
        reason = f"must have {artifact.size_bytes} bytes, got more"
        raise ArtifactMismatch(session_id, artifact.path, reason)
    if found != artifact.sha256:
        reason = f"expected sha256 {artifact.sha256[:12]}, got {found[:12]}"
        raise ArtifactMismatch(session_id, artifact.path, reason)
    return content


def fill(
    store: Records,
    output_dir: Path,
    session_id: str,
    files: Mapping[str, Artifact],
    contents: Iterable[tuple[str, bytes]],
) -> str:
    """Write the files of a checkpoint into a directory that holds nothing else; durable on return.

    What a try that was cut short has left there of them is used again.

    Args:
        store: Knows the workspaces of all sessions.
        output_dir: Created if it is not there.
        session_id: Names the session in an error.
        files: What the files will be, by path.
        contents: The files, verified.

    Returns:
        The absolute path of the directory.

    Raises:
        DirectoryUnusable: It holds something else, belongs to a session, or cannot be written.
        ArtifactMismatch: It holds another version of a file.
    """
    known = output_dir.exists()
    place = usable_output(output_dir)
    workspace = Workspace(place)
    if known:
        # What is there may be the very same files, but they are somebody's.
        for session in store.sessions.scan():
            if os.path.realpath(session.output_dir) == os.path.realpath(place):
                reason = f"it is the workspace of session {session.session_id!r}"
                raise DirectoryUnusable("output", place, reason)
    _require_own(workspace, session_id, files)
    try:
        for path, content in contents:
            workspace.write_bytes(path, content)
        workspace.sync(files)
    except OSError as error:
        raise DirectoryUnusable("output", place, error.strerror or str(error)) from error
    return place


def _require_own(workspace: Workspace, session_id: str, files: Mapping[str, Artifact]) -> None:
    """Refuse a directory with anything in it that `fill` would not have left there."""
    for folder, folders, names in os.walk(workspace.root):
        for name in (*names, *(name for name in folders if Path(folder, name).is_symlink())):
            path = Path(folder, name).relative_to(workspace.root).as_posix()
            if DRAFT_NAME.fullmatch(name):
                workspace.remove(path)
            elif path not in files:
                reason = f"it must be empty, got {path!r}"
                raise DirectoryUnusable("output", str(workspace.root), reason)
            else:
                content_of(workspace, session_id, files[path])
