"""Reading unified diffs. Nothing is believed but the lines themselves and the names of files."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from maestro_runtime.edits.errors import Misfit

NO_FILE: Final = "/dev/null"

BEYOND_LINES: Final = (
    b"Binary files ",
    b"GIT binary patch",
    b"copy from ",
    b"deleted file ",
    b"new mode ",
    b"old mode ",
    b"rename from ",
)
"""How the lines begin by which git asks for more than a change of lines."""

PLAIN_FILE: Final = b"new file mode 100644"

SHOWN_CHARACTERS_MAX: Final = 60
"""How much of a wrong line is quoted."""


@dataclass(slots=True)
class Hunk:
    """Lines that follow each other, each with its sign: context, removed or added."""

    lines: list[tuple[bytes, bytes]] = field(default_factory=list)
    """Sign and text, without the line feed."""
    old_ends_open: bool = False
    """The last old line is said to have no line feed."""
    new_ends_open: bool = False

    @property
    def old(self) -> list[bytes]:
        """What must stand in the file."""
        return [line for sign, line in self.lines if sign != b"+"]


@dataclass(slots=True)
class FileDiff:
    """The hunks of one file."""

    path: str
    creates: bool
    """The diff says that there is no such file yet."""
    hunks: list[Hunk] = field(default_factory=list)


def parse_diff(diff: bytes, path: str | None) -> list[FileDiff]:
    """Read a diff, file by file; with a `path`, all of it is of that file.

    Raises:
        Misfit: It is no unified diff, names no file, or asks for more than a change of lines.
    """
    return _Parser(diff.split(b"\n"), path).files()


class _Parser:
    """One pass over the lines of a diff."""

    def __init__(self, lines: Sequence[bytes], path: str | None) -> None:
        self._lines = lines
        self._path = path
        self._at = 0

    def files(self) -> list[FileDiff]:
        """Read to the end."""
        found = [] if self._path is None else [FileDiff(self._path, creates=False)]
        while self._at < len(self._lines):
            line = self._lines[self._at]
            if line.startswith(b"@@"):
                if not found:
                    raise Misfit("diff must name its file after '---' and '+++'")
                found[-1].hunks.append(self._hunk())
            elif self._at_names():
                file = self._names()
                if self._path is None:
                    found.append(file)
            elif line.startswith(BEYOND_LINES) or (
                line.startswith(b"new file mode ") and line.rstrip() != PLAIN_FILE
            ):
                raise Misfit(f"diff may only change lines, got {_shown(line)}")
            else:
                # What stands before the names of a file is for people, or for git.
                self._at += 1
        if not found or not all(file.hunks for file in found):
            raise Misfit("diff must have a hunk for each file, beginning with '@@'")
        return found

    def _at_names(self) -> bool:
        """Tell whether the two names of a file come next."""
        pair = self._lines[self._at : self._at + 2]
        return [line[:4] for line in pair] == [b"--- ", b"+++ "]

    def _names(self) -> FileDiff:
        """Read the two names."""
        old, new = (_name(line[4:]) for line in self._lines[self._at : self._at + 2])
        self._at += 2
        if new == NO_FILE:
            raise Misfit(f"diff may only change lines, got the removal of {old!a}")
        if old == NO_FILE:
            return FileDiff(new.removeprefix("b/"), creates=True)
        if old.startswith("a/") and new.startswith("b/"):
            old, new = old[2:], new[2:]
        if self._path is None and old != new:
            raise Misfit(f"diff must name one file, got {old!a} and {new!a}")
        return FileDiff(new, creates=False)

    def _hunk(self) -> Hunk:
        """Read from a line of `@@` to the next one, the next file, or the end."""
        self._at += 1
        hunk = Hunk()
        empty_at_end = 0
        while self._at < len(self._lines) and not self._hunk_ends():
            line = self._lines[self._at]
            self._at += 1
            sign = line[:1]
            if line in {b"", b"\r"}:
                # An editor or a model has stripped the space of an empty line of context.
                empty_at_end += 1
                hunk.lines.append((b" ", line))
            elif sign == b"\\" and hunk.lines:
                last = hunk.lines[-1][0]
                hunk.old_ends_open |= last != b"+"
                hunk.new_ends_open |= last != b"-"
            elif sign in {b" ", b"-", b"+"}:
                empty_at_end = 0
                hunk.lines.append((sign, line[1:]))
            else:
                rule = f"line {self._at} of the diff must begin with ' ', '-', '+' or '@@'"
                raise Misfit(f"{rule}, got {_shown(line)}")
        del hunk.lines[len(hunk.lines) - empty_at_end :]
        if not hunk.lines:
            raise Misfit(f"hunk that ends at line {self._at} of the diff has no lines")
        return hunk

    def _hunk_ends(self) -> bool:
        """Tell whether the next line is no longer of the hunk.

        A removed line may look like `--- name`, so names need all three lines, and are not looked
        for at all if the file is known.
        """
        line = self._lines[self._at]
        if line.startswith((b"@@", b"diff ")):
            return True
        third = self._lines[self._at + 2 : self._at + 3]
        return (
            self._path is None and self._at_names() and bool(third) and third[0].startswith(b"@@")
        )


def _name(text: bytes) -> str:
    """Return the name of a file, without the date that may follow it after a tab."""
    name = text.partition(b"\t")[0].strip()
    if name.startswith(b'"'):
        raise Misfit(f"names of files must not be quoted, got {_shown(name)}")
    return name.decode()


def _shown(line: bytes) -> str:
    """Quote the beginning of a foreign line."""
    return repr(line.decode(errors="replace")[:SHOWN_CHARACTERS_MAX])
