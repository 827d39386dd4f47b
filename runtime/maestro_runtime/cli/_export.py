"""The ledger for other programs: one line a call, as CSV or as JSON."""

import csv
import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from maestro_runtime._files import put_whole
from maestro_runtime.cli._output import OutputFailed, json_text, printable
from maestro_runtime.statements.calls import CallReport

COLUMNS: Final = CallReport.__struct_fields__
"""Of the CSV, in this order; one is only ever added, at the end."""

_FORMULA: Final = ("=", "+", "-", "@")
"""A cell that begins like this is run by spreadsheets."""


def csv_lines(calls: Iterable[CallReport]) -> Iterator[str]:
    """Yield a CSV without line ends, names of the columns first; what is not known is empty.

    Text that a spreadsheet would take for a formula has an apostrophe before it, and characters
    that could drive a terminal or break a line are replaced.
    """
    yield _line(COLUMNS)
    for call in calls:
        yield _line([_cell(getattr(call, column)) for column in COLUMNS])


def json_lines(calls: Iterable[CallReport]) -> Iterator[str]:
    """Yield each call as JSON on one line, without its end; every character is there, escaped."""
    return map(json_text, calls)


def write_file(path: Path, lines: Iterable[str]) -> None:
    """Write lines to a file: all of them, or it stays as it was; durable on return.

    Raises:
        OutputFailed: It could not be written.
    """
    try:
        put_whole(path, (f"{line}\n".encode() for line in lines))
    except OSError as error:
        raise OutputFailed(str(path), error.strerror or str(error)) from error


def _line(cells: Iterable[object]) -> str:
    with io.StringIO() as text:
        csv.writer(text, lineterminator="").writerow(cells)
        return text.getvalue()


def _cell(value: str | int | None) -> str | int | None:
    if not isinstance(value, str):
        return value
    safe = printable(value)
    return f"'{safe}" if safe.startswith(_FORMULA) else safe
