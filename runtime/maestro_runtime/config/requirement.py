"""The requirement: what a session is asked to do, in the words of whoever starts it."""

from pathlib import Path
from typing import Final

from maestro_runtime.config.errors import RequirementInvalid

REQUIREMENT_BYTES_MAX: Final = 1 << 20
"""Largest requirement, encoded as UTF-8 (1 MiB)."""


def read_requirement(value: str) -> str:
    """Return the requirement that `--requirement` stands for.

    Args:
        value: The text itself, or `@FILE` for the content of a UTF-8 file.

    Raises:
        RequirementInvalid: The file cannot be read, or the text is not UTF-8, blank, or larger
            than `REQUIREMENT_BYTES_MAX`.
    """
    source = value if value.startswith("@") else "--requirement"
    text = _file_text(value[1:]) if value.startswith("@") else value
    fault = requirement_fault(text)
    if fault:
        raise RequirementInvalid(source, fault)
    return text


def requirement_fault(text: str) -> str | None:
    """Say which rule the text breaks, or None."""
    try:
        size_bytes = len(text.encode())
    except UnicodeEncodeError:
        # The command line hands over undecodable bytes as lone surrogates.
        return "must be UTF-8"
    if not text.strip():
        return "must not be blank"
    if size_bytes > REQUIREMENT_BYTES_MAX:
        return f"must have at most {REQUIREMENT_BYTES_MAX} bytes, got {size_bytes}"
    return None


def _file_text(path: str) -> str:
    """Read the file, but never more than can be accepted."""
    try:
        with Path(path).open("rb") as file:
            # One byte more than allowed is enough to be refused.
            content = file.read(REQUIREMENT_BYTES_MAX + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise RequirementInvalid(f"@{path}", f"cannot be read: {reason}") from error
    if len(content) > REQUIREMENT_BYTES_MAX:
        raise RequirementInvalid(
            f"@{path}", f"must have at most {REQUIREMENT_BYTES_MAX} bytes, got more"
        )
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise RequirementInvalid(
            f"@{path}", f"must be UTF-8, got another byte at offset {error.start}"
        ) from error
