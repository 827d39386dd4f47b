"""The rule for names that become ids, file names and words on a command line."""

import re
from collections.abc import Iterable
from typing import Final

from maestro_runtime.config._problems import KeyPath, Problems, shown, shown_path

NAME_PATTERN: Final = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
"""Team names, persona ids, phase names, contract ids and engine names match this as a whole."""
TITLE_CHARACTERS_MAX: Final = 200
"""Longest name of a contract or a deliverable, which only people read."""


def check_name(name: str, path: KeyPath, problems: Problems) -> None:
    """Note a name that cannot be an id."""
    if not name:
        problems.add(path, "is required")
    elif not re.fullmatch(NAME_PATTERN, name):
        problems.add(path, f"must match {NAME_PATTERN}, got {shown(name)}")


def check_title(title: str, path: KeyPath, problems: Problems) -> None:
    """Note a name that cannot be shown on one line."""
    if not title.strip():
        problems.add(path, "is required")
    elif len(title) > TITLE_CHARACTERS_MAX or not title.isprintable():
        problems.add(
            path,
            f"must be 1 to {TITLE_CHARACTERS_MAX} printable characters on one line, "
            f"got {shown(title)}",
        )


def check_unique(names: Iterable[tuple[str, KeyPath]], problems: Problems) -> None:
    """Note each name that an earlier entry has already."""
    first: dict[str, KeyPath] = {}
    for name, path in names:
        if name in first:
            problems.add(path, f"{shown(name)} is already used by {shown_path(first[name])}")
        elif name:
            first[name] = path
