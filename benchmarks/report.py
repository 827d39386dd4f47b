"""The figures as text, as JSON and as a page with plots."""

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import NamedTuple

from plot import Bar, bars
from row import Row

COLUMNS = ("question", "ours", "unit", "beside", "theirs", "ratio", "from", "to", "target", "met")
STYLE = """
body { font-family: sans-serif; margin: 2rem auto; max-width: 70rem; color: #222 }
table { border-collapse: collapse; margin: 1rem 0 }
tr { border-top: 1px solid #ddd }
td, th { padding: .2rem .7rem; text-align: left }
td.number { text-align: right; font-variant-numeric: tabular-nums }
td.no { color: #b00020; font-weight: bold }
p.question { color: #555; white-space: pre-line }
"""
PREFACE = """
Medians of rounds in which all contestants took turns. A ratio is ours divided by theirs, the median
over the rounds; "from" and "to" are the least and the greatest of them, and where they lie far
apart the machine was busy. Figures of two machines do not compare; ratios do, roughly.
"""


class Section(NamedTuple):
    """What one module of the suite has measured."""

    name: str
    question: str
    """Its docstring: the question in the first line, then what is compared."""
    rows: Sequence[Row]


def as_text(environment: str, sections: Iterable[Section]) -> str:
    """Return the figures for a terminal."""
    lines = [environment]
    for section in sections:
        cells = [_cells(row) for row in section.rows]
        widths = [max(map(len, column)) for column in zip(COLUMNS, *cells, strict=True)]
        lines += ["", f"{section.name}: {section.question.splitlines()[0]}"]
        lines += [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in (COLUMNS, *cells)
        ]
    return "\n".join(lines)


def as_json(environment: str, sections: Iterable[Section]) -> str:
    """Return the figures with all samples."""
    facts: Mapping[str, object] = {
        "environment": environment,
        "benchmarks": {section.name: [row.facts for row in section.rows] for section in sections},
    }
    return json.dumps(facts, indent=2)


def as_page(environment: str, sections: Iterable[Section]) -> str:
    """Return an HTML page: for each section what is asked, a table and its plots."""
    body = "\n".join(map(_section, sections))
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>maestro-runtime, measured</title><style>{STYLE}</style></head>\n"
        f"<body><h1>maestro-runtime, measured</h1><p>{escape(environment)}</p>\n"
        f"<p>{PREFACE}</p>"
        f"\n{body}\n</body></html>\n"
    )


def _section(section: Section) -> str:
    question, _, rest = section.question.partition("\n")
    head = "".join(f"<th>{name}</th>" for name in COLUMNS)
    rows = "\n".join(f"<tr>{_html_cells(row)}</tr>" for row in section.rows)
    plots = "\n".join(f"<p>{bars(unit, figures)}</p>" for unit, figures in _plots(section.rows))
    return (
        f"<h2>{escape(section.name)}: {escape(question)}</h2>\n"
        f'<p class="question">{escape(rest.strip())}</p>\n'
        f"<table><tr>{head}</tr>\n{rows}</table>\n{plots}"
    )


def _html_cells(row: Row) -> str:
    numbers = {"ours", "theirs", "ratio", "from", "to"}
    return "".join(
        f'<td class="{"number" if name in numbers else cell}">{escape(cell)}</td>'
        if name in numbers or name == "met"
        else f"<td>{escape(cell)}</td>"
        for name, cell in zip(COLUMNS, _cells(row), strict=True)
    )


def _cells(row: Row) -> tuple[str, ...]:
    theirs = "absent" if row.absent else _number(row.peer_figure)
    return (
        row.question + (f" ({row.note})" if row.note else ""),
        _number(row.figure),
        row.unit,
        row.beside,
        theirs,
        _number(row.ratio),
        _number(min(row.ratios, default=None)),
        _number(max(row.ratios, default=None)),
        "" if row.target is None else str(row.target),
        {True: "yes", False: "no", None: ""}[row.met],
    )


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _plots(rows: Sequence[Row]) -> Iterator[tuple[str, list[Bar]]]:
    """Return the bars of each unit: ours once for each question, then those beside it."""
    for unit, group in itertools.groupby(rows, lambda row: row.unit):
        figures: list[Bar] = []
        for question, same in itertools.groupby(group, lambda row: row.question):
            for place, row in enumerate(same):
                if place == 0:
                    figures.append(Bar(question, row.figure, is_ours=True))
                if row.peer_figure is not None:
                    figures.append(Bar(row.beside, row.peer_figure, is_ours=False))
        yield unit, figures
