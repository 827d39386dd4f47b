"""Collects findings, and words them."""

import difflib
import json
import re
import reprlib
from collections.abc import Collection
from typing import Final

from maestro_runtime.config.errors import Problem

KeyPath = tuple[str | int, ...]
"""Keys and list indexes (counted from 0) that lead to a value; empty for the whole file."""

SUGGESTED_FROM_MAX: Final = 500
"""Comparing with more names than this, for each of many wrong ones, would take minutes."""
LISTED_MAX: Final = 20
"""Most known names that one finding lists."""


class Problems:
    """The findings so far: the first one per key, and none above or below a broken key.

    What merely follows from a broken value is not the user's mistake, so it is not reported.
    """

    def __init__(self) -> None:
        self._texts: dict[KeyPath, str] = {}
        self._touched: set[KeyPath] = set()

    def add(self, path: KeyPath, text: str) -> None:
        """Note that the value at `path` breaks the rule in `text`."""
        prefixes = [path[:length] for length in range(len(path) + 1)]
        if path in self._touched or any(prefix in self._texts for prefix in prefixes):
            return
        self._texts[path] = text
        self._touched.update(prefixes)

    def listed(self) -> tuple[Problem, ...]:
        """Return the findings in the order they were made."""
        return tuple(Problem(shown_path(path), text) for path, text in self._texts.items())


def shown_path(path: KeyPath) -> str:
    """Write a path as TOML does, with list indexes in brackets."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            bare = re.fullmatch(r"[A-Za-z0-9_-]{1,80}", step)
            text += f".{step}" if bare else f".{json.dumps(step[:80])}"
    return text.removeprefix(".")


def unknown(name: str, kind: str, known: Collection[str]) -> str:
    """Word that a name is none of the known ones, with the nearest of them."""
    hint = ""
    if len(known) <= SUGGESTED_FROM_MAX:
        close = difflib.get_close_matches(name[:80], known, n=1)
        hint = f", did you mean {close[0]!r}?" if close else ""
    listed = [item if item.isprintable() else shown(item) for item in sorted(known)[:LISTED_MAX]]
    if len(known) > LISTED_MAX:
        listed.append(f"and {len(known) - LISTED_MAX} more")
    return f"{shown(name)} is not a known {kind}{hint} (known: {', '.join(listed)})"


class _Short(reprlib.Repr):
    """A repr that stays on one line whatever the file holds."""

    def repr_int(self, x: int, level: int) -> str:  # noqa: ARG002 - reprlib's signature
        # Python refuses to write out very long integers, and nobody would read one.
        return repr(x) if x.bit_length() <= 64 else f"an integer of {x.bit_length()} bits"  # noqa: PLR2004 - as the text says


_SHORT: Final = _Short()
_SHORT.maxstring = 80
_SHORT.maxother = 80


def shown(value: object) -> str:
    """Return the value as an error shows it: quoted, on one line, shortened."""
    return _SHORT.repr(value)
