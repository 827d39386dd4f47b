"""The edit plan: what an engine wants changed, as data. Paths are relative to the workspace."""

from typing import Final, assert_never

import msgspec

EDITS_MAX: Final = 1_000
"""Most edits in a plan."""

FILES_MAX: Final = 1_000
"""Most files in a plan; one diff may name many."""

PLAN_BYTES_MAX: Final = 4 << 20
"""Most bytes of text in a plan (4 MiB)."""

FILE_BYTES_MAX: Final = 4 << 20
"""Largest file that is edited, before and after (4 MiB)."""

TOTAL_BYTES_MAX: Final = 64 << 20
"""Most bytes of all files of a plan together, after it (64 MiB)."""


class WholeFile(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    tag="whole_file",
    tag_field="kind",
    forbid_unknown_fields=True,
):
    """Create a file and its folders, or replace all of it."""

    path: str
    content: str


class SearchReplace(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    tag="search_replace",
    tag_field="kind",
    forbid_unknown_fields=True,
):
    """Replace the one place of a file where `search` stands.

    It is looked for byte for byte; overlapping places count. If it is nowhere, whole lines are
    compared without the whitespace at their ends; then whole lines are replaced, what replaces
    them gets the file's line ends, and lines that `search` and `replace` begin or end with stay
    as they are. Both ways, anything but one place is an error.
    """

    path: str
    search: str
    """Not empty."""
    replace: str


class UnifiedDiff(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    tag="unified_diff",
    tag_field="kind",
    forbid_unknown_fields=True,
):
    """Apply the hunks of a unified diff by their content.

    Line numbers and counts of `@@` lines are not read. The context and removed lines of each hunk
    must stand in the file, as it is before the diff, in exactly one place: line by line, or, if
    they are nowhere, without the whitespace at the ends of lines. Context stays as it is in the
    file, byte for byte. A completely empty line counts as context, except at a hunk's end.
    """

    path: str | None = None
    """None: the names after `---` and `+++` count, without git's `a/` and `b/`, and there may be
    several files. Otherwise the diff is of this one file, whatever those lines say."""
    diff: str


Edit = WholeFile | SearchReplace | UnifiedDiff

EditPlan = tuple[Edit, ...]
"""Edits, applied all or not at all; each sees what those before it leave."""


def texts_of(edit: Edit) -> tuple[str, ...]:
    """Return all text that the author of an edit had to write, but for its path."""
    match edit:
        case WholeFile():
            return (edit.content,)
        case SearchReplace():
            return (edit.search, edit.replace)
        case UnifiedDiff():
            return (edit.diff,)
        case _:
            assert_never(edit)
