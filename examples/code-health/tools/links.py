"""Check the links in Markdown files: relative ones must lead to a file, external ones count."""

import json
import os.path
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

CHECKED_BYTES_MAX = 1 << 20
"""A larger file is not checked (1 MiB); it is reported as left out."""
LISTED_MAX = 1_000
"""Most broken links that are listed one by one; all are counted."""

FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
CODE = re.compile(r"`[^`]*`")
INLINE = re.compile(r"\]\([ \t]*(<[^<>]*>|[^\s()]*(?:\([^\s()]*\)[^\s()]*)*)")
REFERENCE = re.compile(r" {0,3}\[[^\]^][^\]]*\]:[ \t]*(<[^<>]*>|\S+)")
SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:|//")


def check_links(task: Any) -> str:
    """Write `results/links.json`; called by the `python` engine."""
    if task.input_dir is None:
        raise ValueError("there is no source tree: run the team with --input DIR")
    results = Path(task.workspace, "results")
    inventory = json.loads((results / "inventory.json").read_text())
    result = check_tree(Path(task.input_dir), inventory)
    (results / "links.json").write_text(json.dumps(result, indent=1))
    return f"{result['links']} links, {result['broken']} broken"


def check_tree(root: Path, inventory: dict[str, Any]) -> dict[str, Any]:
    """Count the links of all Markdown files and list the broken ones."""
    counts = {"files": 0, "links": 0, "external": 0, "anchors": 0, "outside": 0, "broken": 0}
    broken: list[dict[str, Any]] = []
    skipped: list[dict[str, str]] = []
    for file in inventory["files"]:
        if file["language"] != "Markdown":
            continue
        path = file["path"]
        if file["bytes"] > CHECKED_BYTES_MAX:
            skipped.append({"path": path, "reason": "too large"})
            continue
        try:
            text = (root / path).read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            skipped.append({"path": path, "reason": error.strerror or type(error).__name__})
            continue
        counts["files"] += 1
        for line, target in links(text):
            counts["links"] += 1
            kind = judge(root, path, target)
            if kind != "good":
                counts[kind] += 1
            if kind == "broken" and len(broken) < LISTED_MAX:
                broken.append({"path": path, "line": line, "target": target[:200]})
    return {**counts, "broken_links": broken, "skipped": skipped}


def links(text: str) -> Iterator[tuple[int, str]]:
    """Yield line (counted from 1) and target of each link that is not in code."""
    fence = ""
    for number, line in enumerate(text.split("\n"), start=1):
        mark = FENCE.match(line)
        if fence:
            # Only as many of the same character, or more, end a block of code.
            if mark and mark[1].startswith(fence):
                fence = ""
            continue
        if mark:
            fence = mark[1]
            continue
        prose = CODE.sub("", line)
        reference = REFERENCE.match(prose)
        found = [reference[1]] if reference else INLINE.findall(prose)
        for target in found:
            if target.strip("<>"):
                yield number, target.strip("<>")


def judge(root: Path, path: str, target: str) -> str:
    """Say what a link is: external, an anchor, outside of the tree, good or broken."""
    if SCHEME.match(target):
        return "external"
    name = unquote(re.split("[?#]", target, maxsplit=1)[0])
    if not name:
        return "anchors"
    folder = "" if name.startswith("/") else posixpath.dirname(path)
    place = posixpath.normpath(posixpath.join(folder, name.lstrip("/") or "."))
    if place.split("/")[0] == "..":
        return "outside"
    # os.path, because Path.exists raises for a name that is too long.
    return "good" if os.path.exists(root / place) else "broken"  # noqa: PTH110
