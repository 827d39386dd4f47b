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


class BundleInvalid(CheckpointError, ValueError):
    """A file is not what `checkpoint export` writes; nothing was imported."""

    def __init__(self, path: str, rule: str) -> None:
        super().__init__(path, rule)
        self.path = path
        self.rule = rule

    def __str__(self) -> str:
        return f"{self.path!r} is not the bundle of a checkpoint: {self.rule}"


class ExportFailed(CheckpointError):
    """A checkpoint could not be written; what stood in its place is as it was."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path!r} cannot be written: {self.reason}"
