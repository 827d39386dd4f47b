"""File contents for the rehearsal engine: valid in their type, whatever the requirement says.

Names and requirement are foreign data. Each writer escapes them for its type.
"""

import csv
import html
import io
import json
import shlex
import textwrap
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Final

import msgspec

EXCERPT_CHARACTERS_MAX: Final = 2_000
LINE_CHARACTERS: Final = 76


class Brief(msgspec.Struct, frozen=True, kw_only=True):
    """What a file is about."""

    title: str
    contract: str
    persona: str
    requirement: str
    reference: str
    """Hex digits that differ from seed to seed."""

    @property
    def facts(self) -> dict[str, str]:
        """Everything but the requirement."""
        return {
            "title": self.title,
            "contract": self.contract,
            "persona": self.persona,
            "reference": self.reference,
        }

    @property
    def lines(self) -> list[str]:
        """The requirement's beginning, wrapped; at least one line."""
        wrapped = [
            piece
            for line in self.requirement.splitlines()
            for piece in textwrap.wrap(line, LINE_CHARACTERS) or [""]
        ]
        return wrapped or [""]


def brief_of(title: str, contract: str, persona: str, requirement: str, reference: str) -> Brief:
    """Make a brief of foreign text: printable, one line per name, the requirement cut short."""
    return Brief(
        title=" ".join(_printable(title).split()),
        contract=" ".join(_printable(contract).split()),
        persona=persona,
        requirement=_printable(requirement[:EXCERPT_CHARACTERS_MAX]),
        reference=reference,
    )


def content_for(path: str, brief: Brief) -> str:
    """Return the content of the file at `path`; plain text for types it does not know."""
    place = PurePosixPath(path)
    if place.suffix == ".py" and (place.name.startswith("test_") or place.stem.endswith("_test")):
        return _python_tests(brief)
    return WRITERS.get(place.suffix.lower(), _text)(brief)


def _printable(text: str) -> str:
    """Keep what every text format can hold: printable characters, line ends, tabs."""
    return "".join(
        character for character in text if character.isprintable() or character in "\n\t"
    )


def _quoted(text: str) -> str:
    r"""Quote for TOML and YAML, which both know \uXXXX but no surrogate pairs."""
    return json.dumps(text, ensure_ascii=False)


def _comment(brief: Brief, prefix: str) -> str:
    """Return facts and requirement as line comments."""
    facts = [f"{name}: {value}" for name, value in brief.facts.items()]
    return "\n".join(f"{prefix} {line}".rstrip() for line in [*facts, "", *brief.lines]) + "\n"


def _markdown(brief: Brief) -> str:
    # Indented lines are code, so no mark-up of the requirement takes effect.
    requirement = "\n".join(f"    {line}".rstrip() for line in brief.lines)
    facts = "\n".join(f"- {name}: `{_ticks(value)}`" for name, value in brief.facts.items())
    return (
        f"# `{_ticks(brief.title)}`\n\n{facts}\n\n"
        f"## Requirement\n\n{requirement}\n\n"
        "## Approach\n\n"
        "1. Restate the requirement.\n2. Deliver what the contract asks for.\n"
        "3. Check each deliverable before handing it over.\n"
    )


def _ticks(text: str) -> str:
    """Make text safe between back-ticks."""
    return text.replace("`", "'") or " "


def _python_constants(brief: Brief) -> str:
    """Return the facts and the requirement as Python literals, in ASCII."""
    lines = "".join(f"    {line!a},\n" for line in brief.lines)
    facts = "".join(f"    {name!a}: {value!a},\n" for name, value in brief.facts.items())
    return f"FACTS = {{\n{facts}}}\n\nREQUIREMENT = (\n{lines})\n"


def _python(brief: Brief) -> str:
    return (
        '"""What this module is for is told by `describe`."""\n\n'
        f"{_python_constants(brief)}\n\n"
        "def describe() -> str:\n"
        '    """Return the title and the requirement this module was written for."""\n'
        '    return "\\n".join([FACTS["title"], *REQUIREMENT])\n\n\n'
        "def handle(request: dict[str, object]) -> dict[str, object]:\n"
        '    """Answer a request with its own content and the reference of this module."""\n'
        '    return {"reference": FACTS["reference"], **request}\n'
    )


def _python_tests(brief: Brief) -> str:
    return (
        '"""Tests that hold for the contract they were written for."""\n\n'
        f"{_python_constants(brief)}\n\n"
        "def test_requirement_is_kept_as_text() -> None:\n"
        "    assert all(isinstance(line, str) for line in REQUIREMENT)\n\n\n"
        "def test_reference_is_hexadecimal() -> None:\n"
        '    assert int(FACTS["reference"], 16) >= 0\n'
    )


def _json(brief: Brief) -> str:
    return json.dumps({**brief.facts, "requirement": brief.lines}, indent=2) + "\n"


def _toml(brief: Brief) -> str:
    facts = "".join(f"{name} = {_quoted(value)}\n" for name, value in brief.facts.items())
    lines = "".join(f"    {_quoted(line)},\n" for line in brief.lines)
    return f"[deliverable]\n{facts}requirement = [\n{lines}]\n"


def _yaml(brief: Brief) -> str:
    facts = "".join(f"  {name}: {_quoted(value)}\n" for name, value in brief.facts.items())
    lines = "".join(f"    - {_quoted(line)}\n" for line in brief.lines)
    return f"deliverable:\n{facts}  requirement:\n{lines}"


def _html(brief: Brief) -> str:
    title = html.escape(brief.title)
    facts = "".join(
        f"      <dt>{name}</dt><dd>{html.escape(value)}</dd>\n"
        for name, value in brief.facts.items()
    )
    requirement = html.escape("\n".join(brief.lines))
    return (
        '<!DOCTYPE html>\n<html lang="en">\n  <head>\n    <meta charset="utf-8" />\n'
        f"    <title>{title}</title>\n  </head>\n  <body>\n    <h1>{title}</h1>\n"
        f"    <dl>\n{facts}    </dl>\n    <pre>{requirement}</pre>\n  </body>\n</html>\n"
    )


def _xml(brief: Brief) -> str:
    facts = "".join(
        f"  <{name}>{html.escape(value)}</{name}>\n" for name, value in brief.facts.items()
    )
    requirement = html.escape("\n".join(brief.lines))
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<deliverable>\n{facts}  <requirement>{requirement}</requirement>\n</deliverable>\n"
    )


def _svg(brief: Brief) -> str:
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 480 120" width="480" height="120">\n'
        f"  <title>{html.escape(brief.title)}</title>\n"
        '  <rect x="1" y="1" width="478" height="118" rx="8" fill="none" stroke="black" />\n'
        f'  <text x="20" y="66" font-family="sans-serif">{html.escape(brief.title)}</text>\n'
        "</svg>\n"
    )


def _css(brief: Brief) -> str:
    comment = _comment(brief, " *").replace("*/", "* /")
    return f"/*\n{comment} */\n\nbody {{\n  font-family: sans-serif;\n  margin: 2rem;\n}}\n"


def _javascript(brief: Brief) -> str:
    facts = json.dumps({**brief.facts, "requirement": brief.lines}, indent=2)
    return (
        f'"use strict";\n\nconst deliverable = {facts};\n\n'
        'function describe() {\n  return deliverable.requirement.join("\\n");\n}\n'
    )


def _sql(brief: Brief) -> str:
    rows = ",\n".join(
        f"  ({_sql_text(name)}, {_sql_text(value)})" for name, value in brief.facts.items()
    )
    return (
        f"{_comment(brief, '--')}\n"
        "CREATE TABLE IF NOT EXISTS deliverable (\n"
        "  name TEXT PRIMARY KEY,\n  value TEXT NOT NULL\n);\n\n"
        f"INSERT INTO deliverable (name, value) VALUES\n{rows};\n"
    )


def _sql_text(text: str) -> str:
    """Quote an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def _csv(brief: Brief) -> str:
    table = io.StringIO()
    rows = csv.writer(table, lineterminator="\n", quoting=csv.QUOTE_ALL)
    rows.writerow(["name", "value"])
    rows.writerows(brief.facts.items())
    rows.writerow(["requirement", "\n".join(brief.lines)])
    return table.getvalue()


def _shell(brief: Brief) -> str:
    return (
        f"#!/bin/sh\n{_comment(brief, '#')}\nset -eu\nprintf '%s\\n' {shlex.quote(brief.title)}\n"
    )


def _text(brief: Brief) -> str:
    return _comment(brief, "#")


WRITERS: Final[dict[str, Callable[[Brief], str]]] = {
    ".css": _css,
    ".csv": _csv,
    ".htm": _html,
    ".html": _html,
    ".js": _javascript,
    ".json": _json,
    ".markdown": _markdown,
    ".md": _markdown,
    ".mjs": _javascript,
    ".py": _python,
    ".sh": _shell,
    ".sql": _sql,
    ".svg": _svg,
    ".toml": _toml,
    ".ts": _javascript,
    ".xml": _xml,
    ".yaml": _yaml,
    ".yml": _yaml,
}
