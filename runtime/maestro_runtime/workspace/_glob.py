"""Artifact globs: `*`, `?`, `[...]` within a name, `**` for any number of folders."""

import fnmatch
import re
from collections.abc import Iterable
from typing import Final

from maestro_runtime.workspace.errors import GlobEscapes

ANY_FOLDERS: Final = "**"

Positions = frozenset[int]
"""How far a glob has matched a path: indices of the parts that may come next."""


def check_glob(pattern: str) -> None:
    """Refuse a glob that could leave the workspace or that names no file.

    Raises:
        GlobEscapes: The pattern is empty, absolute, a folder, or has a `..` part, a backslash or
            a NUL.
    """
    parts = pattern.split("/")
    if not pattern:
        reason = "it is empty"
    elif "\0" in pattern:
        reason = "it has a NUL"
    elif "\\" in pattern:
        reason = "it has a backslash"
    elif pattern.startswith("/"):
        reason = "it is absolute"
    elif ".." in parts:
        reason = "it has a '..' part"
    elif parts[-1] in {"", "."}:
        reason = "it names a folder"
    else:
        return
    raise GlobEscapes(pattern, reason)


class Glob:
    """One checked glob, matched name by name, so that a walk can skip what cannot match.

    Case matters. A name that starts with a dot is matched only by a part that starts with one,
    and `**` does not enter hidden folders. A final `**` stands for all files below.

    Raises:
        GlobEscapes: See `check_glob`.
    """

    def __init__(self, pattern: str) -> None:
        check_glob(pattern)
        self.pattern = pattern
        parts = [part for part in pattern.split("/") if part not in {"", "."}]
        if parts[-1] == ANY_FOLDERS:
            parts.append("*")
        self._parts = tuple(parts)
        self._regexes = tuple(re.compile(fnmatch.translate(part)) for part in parts)
        self.start: Positions = self._with_empty_folders({0})

    def step(self, positions: Positions, name: str) -> Positions:
        """Return where the glob stands after `name`; empty when nothing below can match."""
        after = set()
        for position in positions:
            if position == len(self._parts):
                continue
            if self._parts[position] == ANY_FOLDERS:
                if not name.startswith("."):
                    after.add(position)
            elif self._part_matches(position, name):
                after.add(position + 1)
        return self._with_empty_folders(after)

    def accepts(self, positions: Positions) -> bool:
        """Tell whether a file is matched when the glob stands at `positions`."""
        return len(self._parts) in positions

    def names(self, positions: Positions, name: str) -> bool:
        """Tell whether a part other than `**` asks for `name` at `positions`."""
        return any(
            self._parts[position] != ANY_FOLDERS and self._part_matches(position, name)
            for position in positions
            if position < len(self._parts)
        )

    def matches(self, path: str) -> bool:
        """Tell whether the glob matches the relative `path` of a file."""
        positions = self.start
        for name in path.split("/"):
            positions = self.step(positions, name)
        return self.accepts(positions)

    def _part_matches(self, position: int, name: str) -> bool:
        """Match one name against one part, with the rule for hidden names."""
        if name.startswith(".") and not self._parts[position].startswith("."):
            return False
        return self._regexes[position].match(name) is not None

    def _with_empty_folders(self, positions: Iterable[int]) -> Positions:
        """Add the positions behind every `**`, because it may stand for no folder."""
        closed = set()
        for start in positions:
            position = start
            while position < len(self._parts) and self._parts[position] == ANY_FOLDERS:
                closed.add(position)
                position += 1
            closed.add(position)
        return frozenset(closed)
