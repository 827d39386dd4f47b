"""Deterministic repairs of one file's text: what models are known to get wrong around the work."""

import re
from typing import ClassVar, Final, Protocol

_FENCE: Final = re.compile(r"(`{3,}|~{3,})[^`~\s]*[ \t]*")

# Possessive, and a string without an end takes the rest: linear on any text.
_STRING_OR_COMMA: Final = re.compile(
    r'("[^"\\]*+(?:\\(?:.|\Z)[^"\\]*+)*+(?:"|\Z))|,(?=\s*[}\]])', re.DOTALL
)


class Fix(Protocol):
    """One way to repair the text of a file.

    It is asked in a thread and must be pure and quick, on any text. What it returns is written
    only if a check that fails now passes then, and none fails that passes now.
    """

    @property
    def name(self) -> str:
        """Recorded with the attempt whose file was repaired."""

    @property
    def checks(self) -> frozenset[str]:
        """Kinds of checks that call for it: those that read files, as a team file names them."""

    def mend(self, path: str, text: str) -> str | None:
        """Return the repaired text of the file at `path`; None if there is nothing to repair."""


class StripCodeFences:
    """Removes the code fence around the whole of a file, as a model wraps an answer in it."""

    name: ClassVar = "strip_code_fences"
    checks: ClassVar = frozenset({"parses", "json_schema", "python_compiles"})

    def mend(self, path: str, text: str) -> str | None:  # noqa: ARG002 - the same for all files
        """Return what is between the first and the last line, if both are one fence."""
        lines = text.strip().splitlines(keepends=True)
        opening = _FENCE.fullmatch(lines[0].rstrip("\r\n")) if len(lines) > 1 else None
        if opening is None:
            return None
        fence = opening[1]
        closing = [line for line in lines[1:] if line.rstrip().startswith(fence)]
        if len(closing) != 1 or set(lines[-1].strip()) != {fence[0]} or closing[0] != lines[-1]:
            # Several blocks: which of them is the file cannot be told.
            return None
        return "".join(lines[1:-1])


class DropTrailingCommas:
    """Removes commas before a closing bracket, which JSON does not allow."""

    name: ClassVar = "drop_trailing_commas"
    checks: ClassVar = frozenset({"parses", "json_schema"})

    def mend(self, path: str, text: str) -> str | None:  # noqa: ARG002 - the same for all files
        """Return the text without such commas; what stands in strings stays."""
        mended = _STRING_OR_COMMA.sub(lambda found: found[1] or "", text)
        return mended if mended != text else None


BUILT_IN: Final[tuple[Fix, ...]] = (StripCodeFences(), DropTrailingCommas())
