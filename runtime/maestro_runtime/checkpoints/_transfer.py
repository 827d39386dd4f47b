"""A checkpoint leaves its state directory, or comes into another one."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from maestro_actors.receipt import Receipt, put_receipt
from maestro_actors.sessions.session import NewSession, opening_transition
from maestro_runtime._files import put_whole
from maestro_runtime.checkpoints._bundle import (
    bundle_name,
    document_name,
    packed,
    read_bundle,
    unpacked,
)
from maestro_runtime.checkpoints._document import Content, content_of_report, render
from maestro_runtime.checkpoints._files import content_of, fill
from maestro_runtime.checkpoints._report import checkpoint_report, latest_files
from maestro_runtime.checkpoints.errors import ExportFailed
from maestro_runtime.errors import SessionExists
from maestro_runtime.recorded import recorded_team
from maestro_runtime.starting.directories import own_workspace, usable_input
from maestro_runtime.workspace import Workspace
from maestro_storage import Records, Store
from maestro_storage.records import CheckpointRecord

EXPORT_SCHEMA: Final = "maestro.checkpoint-export/1"
"""Name and version of the JSON shape; a field is only ever added. The next one likewise."""

IMPORT_SCHEMA: Final = "maestro.checkpoint-import/1"


class Exported(msgspec.Struct, frozen=True, kw_only=True):
    """What was written."""

    schema: str
    session_id: str
    number: int
    phase: str
    paths: tuple[str, ...]
    files: int
    """Artifacts in the bundle."""


@dataclass(frozen=True, slots=True)
class ImportOrder:
    """What is imported, and where it is to work."""

    path: Path
    """The bundle."""
    output_dir: Path | None = None
    """The workspace, with nothing else in it; None: `maestro-output/<session id>` under
    `base_dir`."""
    input_dir: Path | None = None
    """The source tree to work on, if the team needs one."""
    base_dir: Path | None = None
    """Where a workspace that is not named is made; None: the current directory."""


class Imported(msgspec.Struct, frozen=True, kw_only=True):
    """The session that was made of a bundle."""

    schema: str
    session_id: str
    phase: str
    output_dir: str
    tasks_kept: int
    tasks: int
    tokens_kept: int
    files: int


def export(store: Records, record: CheckpointRecord, output: Path) -> Exported:
    """Write a checkpoint for another machine; durable on return.

    Args:
        store: Where it is.
        record: The checkpoint.
        output: A path that ends in `.json` becomes the document, one that ends in `.tar` the
            bundle; any other is a directory, made if it is not there, for both.

    Returns:
        What was written. Each file is whole, or as it was before.

    Raises:
        ArtifactMismatch: A file of the workspace is not what the checkpoint has; nothing was
            written under its name.
        ExportFailed: A file could not be written.
    """
    session = store.require_session(record.session_id)
    team = recorded_team(store, session)
    content = content_of_report(checkpoint_report(store, record), team)
    files = latest_files(content.tasks)
    workspace = Workspace(session.output_dir)
    contents = (
        (path, content_of(workspace, record.session_id, files[path])) for path in sorted(files)
    )
    targets = _targets(output, record.phase)
    for path in targets:
        is_document = path.suffix == ".json"
        _write_whole(path, [render(content)] if is_document else packed(content, contents))
    return Exported(
        schema=EXPORT_SCHEMA,
        session_id=record.session_id,
        number=record.number,
        phase=record.phase,
        paths=tuple(map(str, targets)),
        files=len(files),
    )


def _targets(output: Path, phase: str) -> tuple[Path, ...]:
    if output.suffix in {".json", ".tar"} and not output.is_dir():
        return (output,)
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ExportFailed(str(output), error.strerror or str(error)) from error
    # The bundle first: it is what may fail.
    return (output / bundle_name(phase), output / document_name(phase))


def _write_whole(path: Path, parts: Iterable[bytes]) -> None:
    try:
        put_whole(path, parts)
    except OSError as error:
        raise ExportFailed(str(path), error.strerror or str(error)) from error


def import_bundle(
    store: Store, order: ImportOrder, now_ms: int, *, receipt: Receipt | None = None
) -> Imported:
    """Make a session of a bundle, to be resumed; durable on return.

    The whole bundle is verified before anything is written. Then the files are written, and only
    then the session, in one transition: whatever happens in between, there is none, and the same
    import again uses the files that are there.

    Args:
        store: Where the session is to be.
        order: What is imported, and where it is to work.
        now_ms: Wall clock.
        receipt: Becomes durable with the session.

    Raises:
        BundleInvalid: It is not what an export writes.
        SessionExists: There is a session of its name.
        DirectoryUnusable: A directory cannot be used, or the workspace holds something else.
        ArtifactMismatch: The workspace holds another version of a file.
        QuotaExceeded: The state directory has no room for another session.
        StorageError: The session could not be written.
    """
    content = read_bundle(order.path)
    session_id = content.session_id
    if session_id in store.quarantined or store.sessions.get(session_id) is not None:
        raise SessionExists(session_id)
    store.check_room()
    input_dir = None if order.input_dir is None else usable_input(order.input_dir)
    files = latest_files(content.tasks)
    place = order.output_dir or own_workspace(order.base_dir, session_id)
    output_dir = fill(store, place, session_id, files, unpacked(order.path, content))
    new = NewSession(
        session_id=session_id,
        team=content.team,
        output_dir=output_dir,
        input_dir=input_dir,
        origin=content.origin,
    )
    draft = opening_transition(new, now_ms, store.epoch)
    imported = _imported(content, output_dir, files=len(files))
    put_receipt(draft, receipt, store.epoch, imported)
    store.journal.commit(draft).result()
    return imported


def _imported(content: Content, output_dir: str, *, files: int) -> Imported:
    return Imported(
        schema=IMPORT_SCHEMA,
        session_id=content.session_id,
        phase=content.phase,
        output_dir=output_dir,
        tasks_kept=len(content.tasks),
        tasks=len(content.team.contracts),
        tokens_kept=content.origin.tokens_kept,
        files=files,
    )
