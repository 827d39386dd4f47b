"""File names for globs: what an engine writes when a contract asks for `src/*.py`."""

import fnmatch
import re
import string
import unicodedata
from typing import Final

SLUG_CHARACTERS_MAX: Final = 40

CLASS_CANDIDATES: Final = (
    string.ascii_lowercase + string.digits + string.ascii_uppercase + "_-" + string.punctuation
)
"""Tried in this order for a character class, before the characters that the class itself names."""


def slug_of(name: str) -> str:
    """Return a short ASCII name for a file, of lower-case words joined by underscores."""
    ascii_name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    words = "_".join(re.findall(r"[a-z0-9]+", ascii_name))
    return words[:SLUG_CHARACTERS_MAX].strip("_") or "deliverable"


def name_for(glob: str, slug: str) -> str:
    """Return a relative path that `glob` matches, named after `slug` where the glob leaves it open.

    `**` stands for no folder. A glob without wildcards is its own name.
    """
    parts = [part for part in glob.split("/") if part not in {"", ".", "**"}]
    if f"/{glob}".endswith("/**"):
        parts.append("*")
    *folders, last = parts
    names = [_fill(part, slug) for part in folders]
    if last == "*":
        return "/".join([*names, f"{slug}.md"])
    if last.endswith(".*"):
        last = f"{last[:-1]}txt"
    return "/".join([*names, _fill(last, slug)])


def _fill(part: str, slug: str) -> str:
    """Replace the wildcards of one part: the first star by the slug, later ones by nothing."""
    name = ""
    star = slug
    at = 0
    while at < len(part):
        character = part[at]
        end = _class_end(part, at) if character == "[" else 0
        if end:
            name += _member(part[at:end])
            at = end
            continue
        if character == "*":
            name += star
            star = ""
        else:
            name += "x" if character == "?" else character
        at += 1
    return name


def _class_end(part: str, start: int) -> int:
    """Return the index behind the character class at `start`; 0 if the bracket is a plain one."""
    # A bracket right at the start of a class belongs to it, as in `[]a]` and `[!]a]`.
    first = start + 2 if part[start + 1 : start + 2] == "!" else start + 1
    return part.find("]", first + 1) + 1


def _member(character_class: str) -> str:
    """Return one character that the class matches; its first one if nothing else does."""
    candidates = CLASS_CANDIDATES + character_class[1:-1]
    return next(
        (
            character
            for character in candidates
            if character not in "/\\" and fnmatch.fnmatchcase(character, character_class)
        ),
        character_class[1],
    )
