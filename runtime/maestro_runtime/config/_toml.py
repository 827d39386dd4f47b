"""Reading a TOML file that a user wrote."""

import tomllib
from pathlib import Path
from typing import Any, Final

from maestro_runtime.config.errors import FileInvalid, FileUnreadable, Problem

FILE_BYTES_MAX: Final = 16 << 20
"""Largest file (16 MiB)."""


def read_toml(
    path: str | Path, unreadable: type[FileUnreadable], invalid: type[FileInvalid]
) -> dict[str, Any]:
    """Return the parsed file.

    Args:
        path: Of the file.
        unreadable: Raised if the system refuses to read it.
        invalid: Raised if it is not TOML in UTF-8, or too large.
    """
    try:
        with Path(path).open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
    except (OSError, ValueError) as error:
        # ValueError: a NUL in the path.
        reason = getattr(error, "strerror", None) or str(error)
        raise unreadable(str(path), reason) from error

    def broken(text: str) -> FileInvalid:
        """Make the error for a file that has no keys to point at."""
        return invalid(str(path), (Problem("", text),))

    if len(content) > FILE_BYTES_MAX:
        raise broken(f"must have at most {FILE_BYTES_MAX} bytes, got more")
    try:
        return tomllib.loads(content.decode())
    except UnicodeDecodeError as error:
        raise broken(f"must be UTF-8, got another byte at offset {error.start}") from error
    except ValueError as error:
        # TOMLDecodeError names line and column; an overlong number is a plain ValueError.
        raise broken(f"must be TOML: {error}") from error
    except RecursionError as error:
        raise broken("must be TOML that is nested less deeply") from error
