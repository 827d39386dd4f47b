"""Errors of the connection between a daemon and the programs that drive it."""


class WireError(Exception):
    """Root of the errors of this package."""


class DaemonUnreachable(WireError, ConnectionError):
    """Nobody answers at a socket, or who did is gone."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"no daemon answers at socket {self.path!r}: {self.reason}"


class ProtocolMismatch(WireError):
    """Daemon and program speak different versions of the protocol."""

    def __init__(self, ours: int, theirs: int, version: str) -> None:
        super().__init__(ours, theirs, version)
        self.ours = ours
        self.theirs = theirs
        self.version = version
        """Release of the other side."""

    def __str__(self) -> str:
        return (
            f"the protocol must have version {self.ours}, got {self.theirs} "
            f"from release {self.version}"
        )


class PeerRefused(WireError, PermissionError):
    """The user of a process may not talk to the daemon."""

    def __init__(self, uid: int) -> None:
        super().__init__(uid)
        self.uid = uid

    def __str__(self) -> str:
        return f"user {self.uid} is not on the list of those who may use this daemon"


class FrameInvalid(WireError, ValueError):
    """Bytes that are no frame; the connection is closed."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"not a frame: {self.reason}"


class FrameTooLarge(WireError, ValueError):
    """A frame says, or would have to say, that it is longer than one may be."""

    def __init__(self, size_bytes: int, limit_bytes: int) -> None:
        super().__init__(size_bytes, limit_bytes)
        self.size_bytes = size_bytes
        self.limit_bytes = limit_bytes

    def __str__(self) -> str:
        return f"a frame must have at most {self.limit_bytes} bytes, got {self.size_bytes}"


class TooManyRequests(WireError):
    """More requests wait for an answer than one connection may have; this one was not begun."""

    def __init__(self, limit: int, retry_after_seconds: float) -> None:
        super().__init__(limit, retry_after_seconds)
        self.limit = limit
        self.retry_after_seconds = retry_after_seconds

    def __str__(self) -> str:
        return (
            f"a connection may have {self.limit} requests under way; "
            f"try again in {self.retry_after_seconds:g} s"
        )


class EventsMissed(WireError):
    """A client follows all events and reads them too slowly; it has to begin anew."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.limit = limit

    def __str__(self) -> str:
        return f"more than {self.limit} events have waited for who follows them"


class RequestInvalid(WireError, ValueError):
    """A request that nobody takes; nothing was done."""

    def __init__(self, address: str, reason: str) -> None:
        super().__init__(address, reason)
        self.address = address
        self.reason = reason

    def __str__(self) -> str:
        return f"request to {self.address!r} is not one it takes: {self.reason}"


class SessionsNotHosted(WireError):
    """The process that has the state runs only its own sessions; nothing was started."""

    def __init__(self, pid: int) -> None:
        super().__init__(pid)
        self.pid = pid

    def __str__(self) -> str:
        return (
            f"process {self.pid} has the state directory and runs only its own sessions: "
            "those of others are run by `maestro-runtime serve`"
        )


class RemoteFailure(WireError):
    """The daemon failed in a way that has no class here; its log says more."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(kind, text)
        self.kind = kind
        self.text = text

    def __str__(self) -> str:
        return f"the daemon failed with {self.kind}: {self.text}"
