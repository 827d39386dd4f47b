"""The ballast: disk space kept aside, so that there is room to write when the disk is full.

LMDB copies on write: even a deletion needs free pages first.
"""

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

import lmdb

from maestro_storage._environment import is_full, sync_directory

BALLAST_NAME: Final = "ballast"

T = TypeVar("T")


class Ballast:
    """A file of really allocated blocks in the state directory. Any thread."""

    def __init__(
        self, state_dir: Path, size_bytes: int, on_missing: Callable[[str], None] | None = None
    ) -> None:
        self.path = state_dir / BALLAST_NAME
        self.size_bytes = size_bytes
        self.missing_because = ""
        """Why there is no ballast; empty while there is one."""
        self._on_missing = on_missing
        # Held from giving the ballast up until the write is done, so that nobody takes the room.
        self._lock = threading.RLock()

    def restore(self) -> None:
        """Allocate the file if there is room for it and as much again; see `missing_because`."""
        with self._lock:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                status, room = os.fstat(descriptor), os.fstatvfs(descriptor)
                allocated_bytes = status.st_blocks * 512
                if allocated_bytes + room.f_bavail * room.f_frsize < 2 * self.size_bytes:
                    self._release("no room for the ballast")
                    return
                os.posix_fallocate(descriptor, 0, self.size_bytes)
                os.fsync(descriptor)
                self.missing_because = ""
            except OSError as error:
                if not is_full(error):
                    raise
                self._release(f"no room for the ballast: {error.strerror}")
            finally:
                os.close(descriptor)

    def spend_if_full(self, write: Callable[[], T]) -> T:
        """Run a write transaction; when there is no room, once more without the ballast.

        `write` aborts its transaction when it raises. Whatever it raises the second time, or for
        another reason, is raised.
        """
        try:
            return write()
        except lmdb.Error as error:
            if not is_full(error):
                raise
            with self._lock:
                self._release(f"the ballast was given up: {error}")
                return write()

    def _release(self, reason: str) -> None:
        """Give the space back to the file system."""
        self.path.unlink(missing_ok=True)
        # Some file systems reuse freed blocks only after their own journal has been written.
        sync_directory(self.path.parent)
        news = not self.missing_because
        self.missing_because = reason
        if news and self._on_missing is not None:
            self._on_missing(reason)
