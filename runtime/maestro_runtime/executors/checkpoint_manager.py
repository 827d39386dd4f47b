"""The checkpoints of sessions, by the names that programs know."""

from pathlib import Path

from maestro_runtime.checkpoints import (
    CheckpointReport,
    CheckpointVerification,
    Exported,
    checkpoint_report,
    export,
    find_checkpoint,
    verified,
)
from maestro_runtime.executors._shared import resolved_state_dir, shared_runtime
from maestro_storage import Records


class CheckpointManager:
    """The checkpoints of a state directory. Any thread; methods wait for the disk.

    The runtime writes one when a session begins and one after each phase, each in one commit and
    sealed by SHA-256; this reads them.

    Args:
        state_dir: None: `MAESTRO_STATE_DIR`, else `/var/maestro/state`.

    All methods raise:
        NotFound: There is no such session or checkpoint.
        SessionQuarantined, RecordDamaged: Something of it does not match its digest.
        StateOwned, StateNotWritable, StorageError: The state directory cannot be used.
    """

    def __init__(self, state_dir: Path | str | None = None) -> None:
        self.state_dir = resolved_state_dir(state_dir)

    def list_checkpoints(self, session_id: str) -> list[CheckpointReport]:
        """Return all checkpoints of a session, oldest first."""
        store = self._store
        records = store.checkpoints.scan(store.require_session(session_id).session_id)
        return [checkpoint_report(store, record) for record in records]

    def load_checkpoint(self, session_id: str, phase: str | None = None) -> CheckpointReport:
        """Return the checkpoint of a phase, or the last one."""
        store = self._store
        return checkpoint_report(store, find_checkpoint(store, session_id, phase))

    def verify_checkpoint(
        self, session_id: str, phase: str | None = None
    ) -> CheckpointVerification:
        """Hold the files of the workspace against a checkpoint."""
        output_dir = self._store.require_session(session_id).output_dir
        return verified(self.load_checkpoint(session_id, phase), output_dir)

    def export_checkpoint(self, session_id: str, phase: str | None, output: Path) -> Exported:
        """Write a checkpoint and its files for another machine; durable, and whole or not at all.

        Raises:
            ArtifactMismatch: A file of the workspace is not what the checkpoint has.
            ExportFailed: A file could not be written.
        """
        store = self._store
        return export(store, find_checkpoint(store, session_id, phase), output)

    @property
    def _store(self) -> Records:
        return shared_runtime(self.state_dir).store
