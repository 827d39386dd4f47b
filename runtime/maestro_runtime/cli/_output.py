"""What is printed: data on stdout, messages on stderr, JSON when asked for."""

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from io import TextIOWrapper
from typing import Any, TextIO

import click


class OutputFailed(Exception):
    """What a command has to say cannot be written, though somebody wants to read it."""

    def __init__(self, stream: str, reason: str) -> None:
        super().__init__(stream, reason)
        self.stream = stream
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.stream} cannot be written: {self.reason}"


def prepare_streams() -> None:
    """Make stdout and stderr usable, whatever the caller did to them."""
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            # Closed by the caller. Left free, the number would go to the next file that is
            # opened, and a stray message would land in the store.
            null = os.open(os.devnull, os.O_RDWR)
            setattr(sys, name, os.fdopen(null, "r" if name == "stdin" else "w", closefd=False))
    if isinstance(sys.stdout, TextIOWrapper):
        # A file name that the terminal's encoding lacks must not end the command.
        sys.stdout.reconfigure(errors="backslashreplace")


@contextmanager
def stdout_reserved() -> Iterator[None]:
    """Keep stdout for the result: whatever else writes to it meanwhile comes out on stderr.

    That is a persona's `print`, or a program started by one.
    """
    stdout = sys.stdout.fileno()
    with ExitStack() as stack:
        kept = os.dup(stdout)
        stack.callback(os.close, kept)
        stack.callback(os.dup2, kept, stdout)
        os.dup2(sys.stderr.fileno(), stdout)
        # Runs first: what is still buffered belongs to stderr.
        stack.callback(_write, "", line=False)
        yield


def print_json(value: Any) -> None:
    """Print one value as indented JSON in UTF-8, alone on stdout."""
    import msgspec

    _write(msgspec.json.format(json_text(value), indent=2).encode())


def json_text(value: Any) -> str:
    """Return a value as JSON on one line, without a character that could drive a terminal."""
    import json

    import msgspec

    text = msgspec.json.encode(value).decode()
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in text)


def print_table(
    headers: Sequence[str], rows: Sequence[Sequence[object]], *, empty: str = "nothing to show"
) -> None:
    """Print rows under headers, columns aligned, nothing cut off; without rows, say `empty`."""
    if not rows:
        say(empty)
        return
    for line in table_lines(headers, rows):
        _write(line)


def table_lines(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """Return rows under headers as lines that are safe for a terminal."""
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [
        max(len(row[column]) for row in [list(headers), *cells]) for column in range(len(headers))
    ]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in [list(headers), *cells]
    )
    return [printable(line.rstrip()) for line in lines]


def print_lines(lines: Iterable[str]) -> None:
    """Print lines that are safe for a terminal as they are."""
    for line in lines:
        _write(line)


def print_live(text: str) -> bool:
    """Print a line on stdout; False if nobody reads it any more.

    Raises:
        OutputFailed: Stdout has no room.
    """
    try:
        click.echo(text)
    except BrokenPipeError:
        _discard(sys.stdout)
        return False
    except OSError as error:
        _discard(sys.stdout)
        raise OutputFailed("stdout", error.strerror or str(error)) from error
    return True


def can_draw(stream: TextIO) -> bool:
    """Whether a stream is a terminal that moves its cursor, and its user wants that."""
    dumb = os.environ.get("TERM", "dumb") in {"dumb", "unknown"}
    return stream.isatty() and not dumb and not os.environ.get("NO_COLOR")


def say(text: str) -> None:
    """Print a message to the user on stderr. Never fails: the work goes on unwatched."""
    _write("\n".join(printable(line) for line in text.split("\n")), err=True)


def printable(text: str) -> str:
    """Replace control characters: persona output must not drive the terminal."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def instant(at_ms: int | None) -> str:
    """Return a wall-clock instant in UTC, to the second; "-" for none."""
    if at_ms is None:
        return "-"
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _write(text: str | bytes, *, err: bool = False, line: bool = True) -> None:
    """Write at once.

    Raises:
        OutputFailed: Stdout has no room. A reader that went away is no error.
    """
    try:
        click.echo(text, err=err, nl=line)
    except BrokenPipeError:
        _discard(sys.stderr if err else sys.stdout)
    except OSError as error:
        _discard(sys.stderr if err else sys.stdout)
        if not err:
            raise OutputFailed("stdout", error.strerror or str(error)) from error


def _discard(stream: TextIO) -> None:
    """Let what is still written to a stream vanish, and to the other if it is the same pipe."""
    gone = [
        other.fileno()
        for other in (sys.stdout, sys.stderr)
        if os.path.sameopenfile(other.fileno(), stream.fileno())
    ]
    null = os.open(os.devnull, os.O_WRONLY)
    for descriptor in gone:
        os.dup2(null, descriptor)
    os.close(null)
