"""Changing the content of one file: where a block stands in it, and what stands there after."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from maestro_runtime.edits._diff import Hunk
from maestro_runtime.edits.errors import Misfit

PLACES_MAX: Final = 100
"""Places are counted up to this number."""

LISTED_MAX: Final = 10
"""Most lines that an error names."""


@dataclass(frozen=True, slots=True)
class _Change:
    """Lines `start` to `end`, 0-based and without the last, become `lines`."""

    start: int
    end: int
    lines: tuple[bytes, ...]


def replace_once(content: bytes, search: bytes, replace: bytes) -> bytes:
    """Replace the one place where `search` stands; see `SearchReplace`.

    Raises:
        Misfit: It is empty, stands nowhere, or stands in several places.
    """
    if not search:
        raise Misfit("search must not be empty")
    places = _places(content, search)
    if len(places) > 1:
        raise _not_once("search", [content.count(b"\n", 0, at) for at in places])
    if places:
        at = places[0]
        return content[:at] + replace + content[at + len(search) :]
    hunk = _hunk_between(_lines_of(search)[0], _lines_of(replace)[0])
    return _patched(content, [("search", hunk)])


def apply_hunks(content: bytes, hunks: Sequence[Hunk]) -> bytes:
    """Apply the hunks of one file; see `UnifiedDiff`.

    Raises:
        Misfit: A hunk has nothing to be found by, stands nowhere or in several places, or two
            hunks change the same lines.
    """
    return _patched(content, [(f"hunk {n}", hunk) for n, hunk in enumerate(hunks, 1)])


def _patched(content: bytes, hunks: Sequence[tuple[str, Hunk]]) -> bytes:
    """Apply hunks to the lines of a file, all as the file is before the first of them."""
    lines, ends_open = _lines_of(content)
    changes: list[_Change] = []
    for what, hunk in hunks:
        start, exact = _find(what, lines, hunk.old)
        changes += _changes(hunk, start, None if exact else lines[start].endswith(b"\r"))
        if start + len(hunk.old) == len(lines) and (hunk.old_ends_open or hunk.new_ends_open):
            ends_open = hunk.new_ends_open
    # From the end, so that the numbers of lines stay true.
    changes.sort(key=lambda change: (change.start, change.end), reverse=True)
    for later, earlier in pairwise(changes):
        if later.start < earlier.end or later.start == earlier.start:
            raise Misfit("hunks must not change the same lines", (later.start + 1,))
    for change in changes:
        lines[change.start : change.end] = change.lines
    return b"\n".join(lines) + (b"" if ends_open or not lines else b"\n")


def _lines_of(content: bytes) -> tuple[list[bytes], bool]:
    """Split at line feeds; also tell whether the last line has none."""
    lines = content.split(b"\n")
    if lines[-1]:
        return lines, True
    return lines[:-1], False


def _find(what: str, lines: list[bytes], block: list[bytes]) -> tuple[int, bool]:
    """Return where the block begins, and whether it stands there byte for byte."""
    if not block:
        if lines:
            raise Misfit(f"{what} must have a line of context, or one to remove")
        return 0, True
    exact = True
    places = _line_places(lines, block)
    if not places:
        exact = False
        bare = [line.rstrip() for line in block]
        # Empty lines alone say nothing about the place.
        if any(bare):
            places = _line_places([line.rstrip() for line in lines], bare)
    if len(places) == 1:
        return places[0], exact
    if places:
        raise _not_once(what, places)
    first = next((line.strip() for line in block if line.strip()), b"")
    alike = [number for number, line in enumerate(lines) if first and line.strip() == first]
    raise _not_once(what, places, alike)


def _not_once(what: str, places: Sequence[int], alike: Sequence[int] = ()) -> Misfit:
    """Return the error for a block that is not there exactly once; `places` are 0-based."""
    count = f"at least {PLACES_MAX}" if len(places) == PLACES_MAX else str(len(places))
    reason = f"{what} must be found in one place, found in {count}"
    if alike:
        reason += "; only its first line, indentation aside, is there"
    return Misfit(reason, tuple(place + 1 for place in (places or alike)[:LISTED_MAX]))


def _line_places(lines: Sequence[bytes], block: Sequence[bytes]) -> list[int]:
    """Return the lines, 0-based, at which `block` begins."""
    if not lines:
        return []
    # As one search in one string: linear also where lines repeat.
    whole = b"\n" + b"\n".join(lines) + b"\n"
    offsets = _places(whole, b"\n" + b"\n".join(block) + b"\n")
    return [whole.count(b"\n", 0, offset) for offset in offsets]


def _places(content: bytes, search: bytes) -> list[int]:
    """Return the offsets of `search`, overlapping ones too, the first `PLACES_MAX` of them."""
    places: list[int] = []
    at = content.find(search)
    while at >= 0 and len(places) < PLACES_MAX:
        places.append(at)
        at = content.find(search, at + 1)
    return places


def _changes(hunk: Hunk, start: int, carriage: bool | None) -> list[_Change]:
    """Return what a hunk changes if it begins at line `start`; its context is not touched.

    Args:
        hunk: The hunk.
        start: 0-based.
        carriage: Whether added lines are to end with a carriage return; None: as they are.
    """
    changes = []
    at = begun = start
    added: list[bytes] = []
    # A last line of context, so that the last change is closed too.
    for sign, line in (*hunk.lines, (b" ", b"")):
        if sign == b"+":
            bare = line.removesuffix(b"\r")
            added.append(line if carriage is None else bare + b"\r" * carriage)
            continue
        if sign == b" ":
            if added or at > begun:
                changes.append(_Change(begun, at, tuple(added)))
            begun, added = at + 1, []
        at += 1
    return changes


def _hunk_between(old: list[bytes], new: list[bytes]) -> Hunk:
    """Return the hunk that makes `new` of `old`; lines both begin or end with are context."""
    room = min(len(old), len(new))
    head = next((n for n in range(room) if old[n] != new[n]), room)
    room -= head
    tail = next((n for n in range(room) if old[-1 - n] != new[-1 - n]), room)
    return Hunk(
        [
            *((b" ", line) for line in old[:head]),
            *((b"-", line) for line in old[head : len(old) - tail]),
            *((b"+", line) for line in new[head : len(new) - tail]),
            *((b" ", line) for line in old[len(old) - tail :]),
        ]
    )
