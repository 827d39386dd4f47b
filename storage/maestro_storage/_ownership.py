"""One owner per state directory: an flock that the kernel releases when its holder dies.

The lock file lies outside LMDB's own directory, and LMDB's `lock.mdb` is never opened here: closing
any descriptor of that file would silently drop LMDB's own locks.
"""

import datetime as dt
import fcntl
import os
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import msgspec

from maestro_storage._environment import exists, make_directory
from maestro_storage.errors import NetworkFileSystem, NotFound, StateNotWritable, StateOwned

LOCK_NAME: Final = "owner.lock"
HOLDER_BYTES: Final = 512

BEREAVED_SECONDS: Final = 0.5
"""How long a lock is waited for that no owner has. A child that a dead one was about to start has
it until its program begins, and who only looks, for an instant."""

PAUSE_SECONDS: Final = 0.002
"""Between two tries; the kernel has no lock with a time limit."""

_NETWORK_KIND: Final = re.compile(
    r"(?:fuse\.)?(?:nfs\d?|cifs|smb\w*|9p|ceph|gluster\w*|afs|lustre|gpfs|beegfs|ncpfs"
    r"|sshfs|davfs\d?|s3fs|rclone|gcsfuse|goofys)"
)


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """Who owns the state directory. Written for messages only; the lock is what counts."""

    pid: int = 0
    host: str = ""
    boot_id: str = ""
    started: str = ""
    """UTC, ISO 8601, to the second."""
    is_silent: bool = False
    """It stays and does not listen. Not said by who is on his way, in or out."""


def network_kind(path: str, mountinfo: str) -> str | None:
    """Return the kind of the network file system `path` is on, None if it is on a local one.

    Args:
        path: Absolute, links resolved.
        mountinfo: Text of /proc/self/mountinfo.
    """
    best, kind = "", ""
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        mount_point = re.sub(
            r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), before.split(" ")[4]
        )
        inside = path == mount_point or path.startswith(mount_point.rstrip("/") + "/")
        # The last of several mounts on one point hides the others, hence not ">".
        if inside and len(mount_point) >= len(best):
            best, kind = mount_point, after.split(" ")[0]
    return kind if _NETWORK_KIND.fullmatch(kind) else None


class Ownership:
    """The exclusive right to a state directory, from its creation until `close`."""

    def __init__(self, state_dir: Path) -> None:
        """Take the lock without waiting for who has it; create the directory (0700) if missing.

        Raises:
            NetworkFileSystem: The directory is, or would be, on one. Nothing is created.
            StateNotWritable: The directory or the lock file cannot be created or written.
            StateOwned: Another process has the lock.
        """
        self._path = path = str(state_dir)
        self._is_silent = False
        """And has said so."""
        kind = network_kind(os.path.realpath(path), Path("/proc/self/mountinfo").read_text())
        if kind is not None:
            raise NetworkFileSystem(path, kind)
        try:
            make_directory(state_dir)
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            self._descriptor = os.open(state_dir / LOCK_NAME, flags, 0o600)
        except OSError as error:
            raise StateNotWritable(path, error.strerror or str(error)) from error
        try:
            self._lock()
        except BaseException:
            self.close()
            raise

    def _lock(self) -> None:
        """Lock the open file and put our name into it."""
        try:
            _lock(self._descriptor, fcntl.LOCK_EX, self._path)
        except OSError as error:
            raise StateNotWritable(self._path, error.strerror or str(error)) from error
        self._say(
            Holder(
                pid=os.getpid(),
                host=socket.gethostname(),
                boot_id=Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
                started=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            )
        )

    def stay_silent(self) -> None:
        """Tell whoever looks at the lock that its owner stays and does not listen.

        Raises:
            StateNotWritable: The lock file cannot be written.
        """
        self._say(msgspec.structs.replace(_read_holder(self._descriptor), is_silent=True))
        self._is_silent = True

    def take_leave(self) -> None:
        """Tell them that the owner is about to go, if they were told that he stays. Never raises.

        His name stays in the file until the next owner has written his own, who may be worth
        waiting for.
        """
        if self._is_silent:
            self._is_silent = False
            # Nothing but that a wait is not begun hangs on it.
            with suppress(StateNotWritable):
                self._say(msgspec.structs.replace(_read_holder(self._descriptor), is_silent=False))

    def _say(self, holder: Holder) -> None:
        try:
            # Written over the old name at the same length, so it needs no room on a full disk.
            os.pwrite(self._descriptor, msgspec.json.encode(holder).ljust(HOLDER_BYTES), 0)
        except OSError as error:
            raise StateNotWritable(self._path, error.strerror or str(error)) from error

    def close(self) -> None:
        """Give the state directory up. A second call does nothing."""
        # Not LOCK_UN: an unlock in a forked child would take the lock from its parent.
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def abandon(self) -> None:
        """Leave the lock to the parent process; for a forked child."""
        self._is_silent = False
        self.close()


@contextmanager
def owned_state(state_dir: Path) -> Iterator[None]:
    """Own a state that must exist. Creates nothing if it does not; raises NotFound then."""
    if not exists(state_dir):
        raise NotFound("state", str(state_dir))
    ownership = Ownership(state_dir)
    try:
        yield
    finally:
        ownership.close()


def require_unowned(state_dir: Path) -> None:
    """Look whether a process owns a state directory. Changes nothing, and takes nothing.

    One that this user may not look into counts as unowned.

    Raises:
        StateOwned: Another process has the lock.
    """
    try:
        descriptor = os.open(state_dir / LOCK_NAME, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return
    try:
        # Shared, so that two who look are not in each other's way.
        _lock(descriptor, fcntl.LOCK_SH, str(state_dir))
        # Not left to the close: a child that was forked meanwhile would keep the lock.
        fcntl.flock(descriptor, fcntl.LOCK_UN)
    finally:
        os.close(descriptor)


def _lock(descriptor: int, operation: int, path: str) -> None:
    """Lock an open file, unless an owner who is alive has it.

    Raises:
        StateOwned: One has, or it does not become free although none has.
    """
    until = time.monotonic() + BEREAVED_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, operation | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _read_holder(descriptor)
            # The last owner may well live although he has given it up.
            passes = _is_dead(holder) or _is_only_looked_at(descriptor)
            if not passes or time.monotonic() > until:
                raise StateOwned(
                    path, holder.pid, holder.host, holder.started, holder.is_silent
                ) from None
        else:
            return
        time.sleep(PAUSE_SECONDS)


def _is_only_looked_at(descriptor: int) -> bool:
    """Whether nobody has a lock that an owner would have."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return True


def _is_dead(holder: Holder) -> bool:
    """Whether there is no such process here."""
    try:
        stat = Path(f"/proc/{holder.pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return True
    # The command's name is in parentheses and may hold anything: look behind its end.
    return stat[stat.rindex(b")") + 2 :][:1] in b"ZX"


def _read_holder(descriptor: int) -> Holder:
    """Return who is named in the lock file; nobody if its name is not, or not wholly, there."""
    try:
        return msgspec.json.decode(os.pread(descriptor, HOLDER_BYTES, 0), type=Holder)
    except msgspec.DecodeError:
        return Holder()
