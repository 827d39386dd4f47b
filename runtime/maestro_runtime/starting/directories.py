"""The directories a session works in: made or looked at before anything is started."""

import errno
import os
from pathlib import Path

from maestro_runtime.errors import DirectoryUnusable


def own_workspace(base_dir: Path | None, session_id: str) -> Path:
    """Return the workspace of a session whose order names none; None: the current directory."""
    return (base_dir or Path()) / "maestro-output" / session_id


def require_makeable(path: Path) -> None:
    """Refuse a workspace that `usable_output` could not create or write; nothing is created.

    Raises:
        DirectoryUnusable: It could not.
    """
    place = path.absolute()
    there = next(item for item in (place, *place.parents) if os.path.lexists(item))
    if not there.is_dir():
        number = errno.EEXIST if there == place else errno.ENOTDIR
        raise DirectoryUnusable("output", str(path), os.strerror(number))
    if not os.access(there, os.W_OK | os.X_OK):
        reason = "it is not writable" if there == place else os.strerror(errno.EACCES)
        raise DirectoryUnusable("output", str(path), reason)


def usable_output(path: Path) -> str:
    """Create the workspace and return its absolute path.

    Raises:
        DirectoryUnusable: It cannot be created or written.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DirectoryUnusable("output", str(path), error.strerror or str(error)) from error
    if not os.access(path, os.W_OK | os.X_OK):
        raise DirectoryUnusable("output", str(path), "it is not writable")
    return str(path.absolute())


def usable_input(path: Path) -> str:
    """Return the absolute path of a source tree that can be read.

    Raises:
        DirectoryUnusable: It is no directory, or cannot be read.
    """
    if not path.is_dir():
        raise DirectoryUnusable("input", str(path), "it is not a directory")
    if not os.access(path, os.R_OK | os.X_OK):
        raise DirectoryUnusable("input", str(path), "it is not readable")
    return str(path.absolute())
