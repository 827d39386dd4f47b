import ast
import csv
import io
import json
import re
import sqlite3
import subprocess
import tomllib
import xml.etree.ElementTree as ET
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_runtime.engines._content import brief_of, content_for

HOSTILE = (
    "Build </script><b> & \"\"\" ''' ``` */ -->\n'; DROP TABLE x; --\r\n"
    "# [x]\n\\u0041 \\ $(rm) `id`\n"
    "\x00\x07\x1b[31m é \u2028 \U0001f600 \ufeff\x7f\x85 {{x}} %s ]]> =cmd()"
)


def _tables(text: str) -> None:
    with sqlite3.connect(":memory:") as database:
        database.executescript(text)
        (count,) = database.execute("SELECT count(*) FROM deliverable").fetchone()
    database.close()
    assert count == 4


def _rows(text: str) -> None:
    assert all(len(row) == 2 for row in csv.reader(io.StringIO(text)))


CHECKS: list[tuple[str, Callable[[str], object]]] = [
    ("a.py", ast.parse),
    ("test_a.py", ast.parse),
    ("a_test.py", ast.parse),
    ("a.json", json.loads),
    ("a.toml", tomllib.loads),
    ("a.html", lambda text: ET.fromstring(text.removeprefix("<!DOCTYPE html>"))),  # noqa: S314
    ("a.xml", ET.fromstring),
    ("a.svg", ET.fromstring),
    ("a.sql", _tables),
    ("a.csv", _rows),
]


@pytest.mark.parametrize(("path", "check"), CHECKS, ids=[path for path, _ in CHECKS])
@given(text=st.one_of(st.just(HOSTILE), st.text()), name=st.one_of(st.just(HOSTILE), st.text()))
def test_a_file_is_valid_whatever_the_requirement_says(
    path: str, check: Callable[[str], object], text: str, name: str
) -> None:
    content = content_for(path, brief_of(name, name, "dev", text, "00ff"))

    check(content)
    content.encode()
    assert content.endswith("\n")


def test_yaml_scalars_are_quoted_on_their_line() -> None:
    content = content_for("a.yaml", brief_of(HOSTILE, "c", "dev", HOSTILE, "00ff"))

    lines = [line for line in content.splitlines() if not line.endswith(":")]
    values = [re.fullmatch(r'(?: +\w+: | +- )(".*")', line) for line in lines]
    assert all(value is not None and json.loads(value[1]) is not None for value in values)


def test_a_stylesheet_has_one_comment_that_the_requirement_cannot_end() -> None:
    content = content_for("a.css", brief_of("t", "c", "dev", "x */ body { display: none }", "00"))

    assert content.count("*/") == 1
    assert content.index("display: none") < content.index("*/")


def test_a_script_runs_in_a_shell_and_prints_the_title_only() -> None:
    content = content_for("a.sh", brief_of("$(id) 'q' `x`", "c", "dev", HOSTILE, "00ff"))

    result = subprocess.run(
        ["sh"],  # noqa: S607 - any POSIX shell
        input=content.encode(),
        capture_output=True,
        check=True,
        timeout=120,
    )

    assert result.stdout == b"$(id) 'q' `x`\n"


def test_markdown_keeps_the_requirement_as_code() -> None:
    content = content_for("a.md", brief_of("t", "c", "dev", "# Not a heading\n```", "00ff"))

    assert "\n    # Not a heading\n    ```\n" in content


def test_generated_python_does_what_it_says() -> None:
    module: dict[str, object] = {}
    exec(content_for("a.py", brief_of("Todo", "c", "dev", "Build it", "00ff")), module)  # noqa: S102

    describe = module["describe"]
    assert callable(describe)
    assert describe() == "Todo\nBuild it"


def test_a_long_requirement_is_cut_short_in_files() -> None:
    assert len(content_for("a.txt", brief_of("t", "c", "dev", "x" * 1_000_000, "00"))) < 5_000
