"""What can be wrong with a glob, a path or the size of a workspace."""


class WorkspaceError(Exception):
    """Root of the workspace's errors."""


class GlobEscapes(WorkspaceError, ValueError):
    """An artifact glob could match outside the workspace, or can match no file at all."""

    def __init__(self, pattern: str, reason: str) -> None:
        super().__init__(pattern, reason)
        self.pattern = pattern
        self.reason = reason

    def __str__(self) -> str:
        return f"glob must name files inside the workspace: {self.reason}, got {self.pattern!r}"


class PathEscapes(WorkspaceError, ValueError):
    """A path leads out of the workspace, or through a link."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"path must stay inside the workspace: {self.reason}, got {self.path!r}"


class WorkspaceTooLarge(WorkspaceError):
    """The files that match a contract's globs are too many, or too large, to be hashed."""

    def __init__(self, what: str, limit: int) -> None:
        super().__init__(what, limit)
        self.what = what
        self.limit = limit

    def __str__(self) -> str:
        return f"artifacts exceed the limit of {self.limit} {self.what}"
