"""Backup and compaction. Both copy through LMDB and verify the copy before it counts.

The directory is never copied by file tools: a reader of `lock.mdb` would drop LMDB's locks.
"""

import contextlib
import os
from collections.abc import Collection
from pathlib import Path

from maestro_storage._environment import (
    DATA_NAME,
    FILE_NAME,
    MAP_BYTES_DEFAULT,
    Environment,
    discard,
    make_directory,
    sync_directory,
    translated,
)
from maestro_storage._ownership import owned_state
from maestro_storage._verify import examine, quarantined_by
from maestro_storage.errors import BackupTargetNotEmpty, StateDamaged


def backup(environment: Environment, destination: Path, damaged: Collection[str]) -> None:
    """Write a compact, verified copy to `destination`, which then is a state directory itself.

    `damaged` names the sessions that are quarantined already. See `StateView.backup`.
    """
    environment.check_usable()
    with translated(destination):
        if destination.exists() and not _is_empty(destination):
            raise BackupTargetNotEmpty(str(destination))
        make_directory(destination)
        partial = destination / "partial"
        _copy(environment, partial, damaged)
        (partial / DATA_NAME).rename(destination / DATA_NAME)
        partial.rmdir()
        sync_directory(destination)


def compact(path: Path, *, map_bytes: int = MAP_BYTES_DEFAULT) -> int:
    """Give the free pages of a state directory that nobody uses back to the file system.

    The old file stays until the new one is verified and durable.

    Returns:
        Bytes by which the data file shrank.

    Raises:
        NotFound: There is no state in `path`; nothing was created.
        StateOwned, StateNotWritable, NetworkFileSystem: See `Ownership`.
        StateTooNew, RecordTooNew: A newer version wrote it.
        StateDamaged: The state, or the copy, is damaged; the state is as it was.
        StoreFull, StoreFailed: The copy could not be written; the state is as it was.
    """
    with translated(path), owned_state(path):
        damaged = quarantined_by(examine(path, map_bytes))
        fresh = path / "compact"
        _discard(fresh)
        with contextlib.closing(Environment(path, map_bytes, read_only=True)) as opened:
            _copy(opened, fresh, damaged)
        file = path / DATA_NAME / FILE_NAME
        before_bytes = file.stat().st_size
        (fresh / DATA_NAME / FILE_NAME).rename(file)
        sync_directory(path / DATA_NAME)
        _discard(fresh)
        return before_bytes - file.stat().st_size


def _copy(environment: Environment, state_dir: Path, damaged: Collection[str]) -> None:
    """Copy into a new state directory, durably, and verify what arrived; or leave nothing."""
    data = state_dir / DATA_NAME
    try:
        data.mkdir(mode=0o700, parents=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        descriptor = os.open(data / FILE_NAME, flags, 0o600)
        try:
            environment.env.copyfd(descriptor, compact=True)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        sync_directory(data)
        _refuse_more_damage(state_dir, environment.map_bytes, damaged)
    except BaseException:
        _discard(state_dir)
        raise


def _refuse_more_damage(state_dir: Path, map_bytes: int, damaged: Collection[str]) -> None:
    """Check a copy; sessions that were damaged in the original are so in the copy."""
    more = quarantined_by(examine(state_dir, map_bytes)).keys() - damaged
    if more:
        raise StateDamaged(str(state_dir), f"the copy lost sessions {sorted(more)}")


def _is_empty(path: Path) -> bool:
    """Whether this is a directory with nothing in it."""
    return path.is_dir() and next(path.iterdir(), None) is None


def _discard(state_dir: Path) -> None:
    """Remove a copy that does not count."""
    discard(state_dir / DATA_NAME)
    discard(state_dir)
