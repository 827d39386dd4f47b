"""Digests of the programs that engines run."""

import functools
import hashlib
import os
import stat
from pathlib import Path


def file_digest(path: str) -> str:
    """Return the hex SHA-256 of a file; empty if there is no such file, or it cannot be read."""
    try:
        known = os.stat(path)  # noqa: PTH116 - a Path cannot be made of every text
        if not stat.S_ISREG(known.st_mode):
            return ""
        return _digest(path, known.st_ino, known.st_size, known.st_mtime_ns)
    except (OSError, ValueError):
        # ValueError: a NUL in an argument that is no path.
        return ""


@functools.lru_cache(maxsize=256)
def _digest(path: str, _inode: int, _size: int, _changed_ns: int) -> str:
    # The same for every session of a process: a program may have 100 MB.
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
