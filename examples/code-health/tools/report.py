"""Write the report: Markdown, from the results of the other tools."""

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

ROWS_MAX = 50
"""Most rows of a table; a last line says how many are left out."""


def write_report(task: Any) -> str:
    """Write `report.md`; called by the `python` engine."""
    results = {
        name: json.loads(Path(task.workspace, "results", f"{name}.json").read_text())
        for name in ("inventory", "byte_compile", "tests", "links")
    }
    report = "\n".join(
        [
            f"# Health of {plain(results['inventory']['root'])}",
            "",
            plain(task.requirement[:500]),
            "",
            *summary(results),
            *inventory_part(results["inventory"]),
            *compile_part(results["byte_compile"]),
            *test_part(results["tests"]),
            *link_part(results["links"]),
            *skipped_part(results),
        ]
    )
    Path(task.workspace, "report.md").write_text(report, encoding="utf-8")
    return f"{len(report.splitlines())} lines of report"


def summary(results: dict[str, Any]) -> list[str]:
    """One row per check."""
    inventory, compiled, tests, links = results.values()
    lines = sum(total["lines"] for total in inventory["languages"].values())
    rows = [
        ("Files", f"{len(inventory['files'])}, {lines} lines"),
        ("Python files that do not compile", f"{len(compiled['failures'])} of {compiled['files']}"),
        ("Tests", f"{tests['outcome']}: {tests['summary']}"),
        ("Broken links", f"{links['broken']} of {links['links']}"),
    ]
    return table(("check", "result"), rows)


def inventory_part(inventory: dict[str, Any]) -> list[str]:
    """Languages and packages."""
    part = ["## Languages", ""]
    if inventory["truncated"]:
        part += ["The tree has more files than these; the rest was not looked at.", ""]
    part += table(("language", "files", "lines", "bytes"), totals(inventory["languages"]))
    part += ["## Python packages", ""]
    return part + table(("package", "files", "lines", "bytes"), totals(inventory["packages"]))


def totals(named: dict[str, dict[str, int]]) -> list[tuple[Any, ...]]:
    """Make rows of files, lines and bytes."""
    return [(name, item["files"], item["lines"], item["bytes"]) for name, item in named.items()]


def compile_part(compiled: dict[str, Any]) -> list[str]:
    """Files that do not compile."""
    rows = [(item["path"], item["line"] or "", item["reason"]) for item in compiled["failures"]]
    counted = f"{len(rows)} files do not compile; {compiled['warnings']} compiler warnings."
    return ["## Byte-compilation", "", counted, "", *table(("file", "line", "reason"), rows)]


def test_part(tests: dict[str, Any]) -> list[str]:
    """How the tests ended, with the end of their output if they did not pass."""
    part = ["## Tests", "", f"{plain(tests['outcome'])}: {plain(tests['summary'])}.", ""]
    if "runner" in tests:
        how = (
            f"{tests['test_files']} test files, run by {tests['runner']} for "
            f"{tests['duration_seconds']} s (limit {tests['time_limit_seconds']} s)."
        )
        part += [how, ""]
        if tests["outcome"] != "passed":
            part += [*code_block(tests["output_tail"]), ""]
    return part


def link_part(links: dict[str, Any]) -> list[str]:
    """Links that lead nowhere."""
    counted = (
        f"{links['files']} Markdown files, {links['links']} links: {links['external']} external "
        f"(not fetched), {links['anchors']} within their page, {links['outside']} out of the tree "
        f"(not checked), {links['broken']} broken."
    )
    rows = [(item["path"], item["line"], item["target"]) for item in links["broken_links"]]
    return ["## Links", "", counted, "", *table(("file", "line", "target"), rows)]


def skipped_part(results: dict[str, Any]) -> list[str]:
    """What no tool has looked at."""
    rows = [
        (item["path"], name.replace("_", " "), item["reason"])
        for name, result in results.items()
        for item in result.get("skipped", ())
    ]
    heading = ["## Left out", "", f"{len(rows)} files or folders.", ""]
    return heading + table(("path", "by", "reason"), rows)


def table(heads: Sequence[str], rows: Sequence[Iterable[Any]]) -> list[str]:
    """Return a Markdown table; nothing if there is nothing to list."""
    if not rows:
        return []
    lines = [
        heads,
        ["---"] * len(heads),
        *([plain(cell) for cell in row] for row in rows[:ROWS_MAX]),
    ]
    text = [f"| {' | '.join(line)} |" for line in lines]
    if len(rows) > ROWS_MAX:
        text += ["", f"And {len(rows) - ROWS_MAX} more."]
    return [*text, ""]


def plain(value: Any) -> str:
    """Return text that means itself in Markdown: file names may hold anything."""
    one_line = "".join(char if char.isprintable() else " " for char in str(value))
    return re.sub(r"([\\`*_{}\[\]<>#|~!])", r"\\\1", one_line)


def code_block(text: str) -> list[str]:
    """Return a block of code that no line of the text can end."""
    lines = [
        "".join(char if char.isprintable() else " " for char in line) for line in text.splitlines()
    ]
    ticks = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, ticks + 1)
    return [f"{fence}text", *lines, fence]
