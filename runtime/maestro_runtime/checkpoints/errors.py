"""What can be wrong with a checkpoint that leaves its session."""


class CheckpointError(Exception):
    """Root of the errors about checkpoints."""


class ArtifactMismatch(CheckpointError):
    """A file is not the artifact that a checkpoint has on record; the file is left as it is."""

    def __init__(self, session_id: str, path: str, reason: str) -> None:
        super().__init__(session_id, path, reason)
        self.session_id = session_id
        self.path = path
        """Relative to the workspace."""
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"artifact {self.path!r} of session {self.session_id!r} must be as its checkpoint "
            f"has it: {self.reason}"
        )
