"""What is printed: data on stdout, messages on stderr, JSON when asked for."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import click
import msgspec


def print_json(value: Any) -> None:
    """Print one value as indented JSON, alone on stdout."""
    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def print_table(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows under headers, columns aligned, nothing cut off."""
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [
        max(len(row[column]) for row in [list(headers), *cells]) for column in range(len(headers))
    ]
    for row in [list(headers), *cells]:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo(printable(line.rstrip()))


def say(text: str) -> None:
    """Print a message to the user on stderr."""
    click.echo(text, err=True)


def printable(text: str) -> str:
    """Replace control characters: persona output must not drive the terminal."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def instant(at_ms: int | None) -> str:
    """Return a wall-clock instant in UTC, to the second; "-" for none."""
    if at_ms is None:
        return "-"
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
