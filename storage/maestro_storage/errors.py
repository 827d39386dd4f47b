"""Everything the storage refuses or reports, one class per thing that can be done about it.

Every error carries its fields as `args`, so it survives pickling between processes.
"""

from typing import Final


class StorageError(Exception):
    """Root of all errors of this package."""


class StateNotWritable(StorageError):
    """The state directory cannot be created or written; nothing was put anywhere else."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"state directory {self.path!r} is not writable: {self.reason}; "
            "choose another with MAESTRO_STATE_DIR or --state-dir"
        )


class StateOwned(StorageError):
    """Another live process owns the state directory.

    `pid` is 0, `host` and `started` are empty, if the owner has not written its name yet. One that
    `is_silent` stays and does not listen, so nobody need wait for it; any other may be on its way,
    in or out.
    """

    def __init__(
        self, path: str, pid: int, host: str, started: str, is_silent: bool = False
    ) -> None:
        super().__init__(path, pid, host, started, is_silent)
        self.path = path
        self.pid = pid
        self.host = host
        self.started = started
        self.is_silent = is_silent

    def __str__(self) -> str:
        holder = (
            f"pid {self.pid} on {self.host}, started {self.started}"
            if self.pid
            else "a process that has not named itself yet"
        )
        silent = ", which does not listen" if self.is_silent else ""
        return f"state directory {self.path!r} is owned by {holder}{silent}"


class StateTooNew(StorageError):
    """The state directory was written by a newer version; it has been left untouched."""

    def __init__(self, path: str, found: int, known: int) -> None:
        super().__init__(path, found, known)
        self.path = path
        self.found = found
        self.known = known

    def __str__(self) -> str:
        return (
            f"state directory {self.path!r} has schema {self.found}, "
            f"this version knows up to {self.known}"
        )


class RecordTooNew(StorageError):
    """A record was written by a newer version; its meaning is not guessed."""

    def __init__(self, database: str, key_hex: str, found: int, known: int) -> None:
        super().__init__(database, key_hex, found, known)
        self.database = database
        self.key_hex = key_hex
        self.found = found
        self.known = known

    def __str__(self) -> str:
        return (
            f"record {self.key_hex} in {self.database} has version {self.found}, "
            f"this version knows up to {self.known}"
        )


class StateDamaged(StorageError):
    """The state as a whole cannot be trusted.

    Its structure is broken, or a damaged record belongs to no session. Left for inspection.
    """

    def __init__(self, path: str, detail: str) -> None:
        super().__init__(path, detail)
        self.path = path
        self.detail = detail

    def __str__(self) -> str:
        return f"state directory {self.path!r} is damaged: {self.detail}"


class RecordDamaged(StorageError):
    """A stored record does not match its digest. It is left in place for inspection.

    `session_id` is empty for a record that belongs to no session.
    """

    def __init__(self, session_id: str, database: str, key_hex: str, detail: str) -> None:
        super().__init__(session_id, database, key_hex, detail)
        self.session_id = session_id
        self.database = database
        self.key_hex = key_hex
        self.detail = detail

    def __str__(self) -> str:
        owner = f" of session {self.session_id!r}" if self.session_id else ""
        return f"record {self.key_hex} in {self.database}{owner} is damaged: {self.detail}"


class SessionQuarantined(StorageError):
    """A session has damaged records and is not read; the other sessions are."""

    def __init__(self, session_id: str, damaged: tuple[str, ...]) -> None:
        super().__init__(session_id, damaged)
        self.session_id = session_id
        self.damaged = damaged

    def __str__(self) -> str:
        return f"session {self.session_id!r} is quarantined: {'; '.join(self.damaged)}"


class NetworkFileSystem(StorageError):
    """The state directory is on a file system that cannot keep LMDB's promises."""

    def __init__(self, path: str, kind: str) -> None:
        super().__init__(path, kind)
        self.path = path
        self.kind = kind

    def __str__(self) -> str:
        return f"state directory {self.path!r} is on a network file system: got {self.kind!r}"


class StoreFull(StorageError):
    """There is no room for what was to be written; nothing of it is stored."""

    def __init__(self, path: str, detail: str) -> None:
        super().__init__(path, detail)
        self.path = path
        self.detail = detail

    def __str__(self) -> str:
        return f"no room left in state directory {self.path!r}: {self.detail}"


class StoreFailed(StorageError):
    """The storage failed and has stopped; what was acknowledged before is durable.

    What was being written may or may not be: only a restart, which verifies, can tell.
    """

    def __init__(self, path: str, detail: str) -> None:
        super().__init__(path, detail)
        self.path = path
        self.detail = detail

    def __str__(self) -> str:
        return f"storage in {self.path!r} failed: {self.detail}"


class StoreClosed(StorageError):
    """The store was used after its end, or in a child of the process that opened it."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"store {self.path!r} is closed: {self.reason}"


class OwnerFenced(StorageError):
    """Another owner has taken over the state; this one wrote nothing since."""

    def __init__(self, own_epoch: int, found_epoch: int) -> None:
        super().__init__(own_epoch, found_epoch)
        self.own_epoch = own_epoch
        self.found_epoch = found_epoch

    def __str__(self) -> str:
        return f"owner epoch {self.own_epoch} is fenced: the state is at epoch {self.found_epoch}"


class KeyTooLong(StorageError, ValueError):
    """A key, or the session name it begins with, is empty or longer than can be stored."""

    def __init__(self, kind: str, size: int, limit: int) -> None:
        super().__init__(kind, size, limit)
        self.kind = kind
        self.size = size
        self.limit = limit

    def __str__(self) -> str:
        return f"key in {self.kind} must be 1 to {self.limit} bytes: got {self.size}"


class RecordTooLarge(StorageError, ValueError):
    """A record or payload is larger than its limit."""

    def __init__(self, kind: str, size: int, limit: int) -> None:
        super().__init__(kind, size, limit)
        self.kind = kind
        self.size = size
        self.limit = limit

    def __str__(self) -> str:
        return f"record in {self.kind} must be at most {self.limit} bytes: got {self.size}"


class QuotaExceeded(StorageError):
    """The state has reached its quota; running sessions go on, new ones are not admitted."""

    def __init__(self, path: str, used_bytes: int, quota_bytes: int) -> None:
        super().__init__(path, used_bytes, quota_bytes)
        self.path = path
        self.used_bytes = used_bytes
        self.quota_bytes = quota_bytes

    def __str__(self) -> str:
        return (
            f"state directory {self.path!r} uses {self.used_bytes} bytes "
            f"of a quota of {self.quota_bytes}"
        )


class BackupTargetNotEmpty(StorageError):
    """A backup never writes over what is there."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path

    def __str__(self) -> str:
        return f"backup target {self.path!r} is not an empty directory"


class NotFound(StorageError):
    """Nothing of this kind has this name."""

    def __init__(self, kind: str, name: str) -> None:
        super().__init__(kind, name)
        self.kind = kind
        self.name = name

    def __str__(self) -> str:
        return f"no such {self.kind}: {self.name!r}"


STORE_LOST: Final = (StoreFailed, StoreFull, StoreClosed, OwnerFenced)
"""What concerns all that is stored, and nothing but another start can mend."""
