"""What a state directory knows of earlier processes, and how to go on with it."""

from pathlib import Path

from maestro_runtime.executors._shared import resolved_state_dir, shared_runtime
from maestro_runtime.executors.checkpoint_manager import CheckpointManager
from maestro_runtime.executors.state_manager import StateManager
from maestro_runtime.session import Session
from maestro_storage.records import SessionRecord


class StatePersistence:
    """The state directory, with its values and checkpoints. Any thread; methods wait for the disk.

    Args:
        state_dir: None: `MAESTRO_STATE_DIR`, else `DEFAULT_STATE_PATH`.
    """

    def __init__(self, state_dir: Path | str | None = None) -> None:
        self.state_dir = resolved_state_dir(state_dir)
        self.state_manager = StateManager(self.state_dir)
        self.checkpoint_manager = CheckpointManager(self.state_dir)

    def latest(
        self, *, team: str | None = None, output_dir: Path | None = None
    ) -> SessionRecord | None:
        """Return the session that was begun last, or None if there is none.

        Args:
            team: Only sessions of a team of this name; an executor's is the id of its persona.
            output_dir: Only sessions that work in this directory.

        Raises:
            StateOwned, StateNotWritable, StorageError: The state directory cannot be used.
        """
        place = None if output_dir is None else str(output_dir.absolute())
        found = (
            record
            for record in shared_runtime(self.state_dir).store.sessions.scan()
            if team in {None, record.team_name} and place in {None, record.output_dir}
        )
        return max(found, key=lambda record: (record.created_ms, record.session_id), default=None)

    def restore_latest(
        self, *, team: str | None = None, output_dir: Path | None = None
    ) -> Session | None:
        """Go on with the session that was begun last, if it was interrupted.

        Its tasks run again from where they were, in the background, once this returns.

        Args:
            team: See `latest`.
            output_dir: See `latest`.

        Returns:
            The session; None if there is none, or if it has ended or waits for a person.

        Raises:
            EngineNotReady, CheckNotReady, DirectoryUnusable: As `Runtime.resume`.
            StateOwned, StateNotWritable, StorageError: The state directory cannot be used.
        """
        record = self.latest(team=team, output_dir=output_dir)
        if record is None or record.state not in ("queued", "running"):
            return None
        return shared_runtime(self.state_dir).resume(record.session_id)
