"""Errors of the daemon itself."""


class DaemonError(Exception):
    """Root of the errors of this package."""


class SocketInUse(DaemonError):
    """Another daemon answers at the socket; it was left alone."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path

    def __str__(self) -> str:
        return f"another daemon answers at socket {self.path!r}"


class SocketUnusable(DaemonError):
    """The socket cannot be made."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"socket {self.path!r} cannot be made: {self.reason}"
