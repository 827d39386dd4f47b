"""Files that a reader finds whole, also after a power cut."""

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path


def put_whole(path: Path, parts: Iterable[bytes]) -> None:
    """Put a file in place: all of it, or what stood there stays; durable on return.

    Raises:
        OSError: It could not be written.
    """
    # Next to it, so that the rename cannot cross file systems.
    with tempfile.NamedTemporaryFile(
        dir=path.parent, prefix=f".{path.name}.", delete=False
    ) as draft:
        try:
            draft.writelines(parts)
            draft.flush()
            os.fsync(draft.fileno())
            Path(draft.name).replace(path)
        except BaseException:
            Path(draft.name).unlink()
            raise
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable.

    Raises:
        OSError: The system refuses.
    """
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
