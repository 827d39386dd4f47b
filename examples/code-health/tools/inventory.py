"""Take stock of a source tree: files and lines per language and per Python package."""

import json
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

FILES_MAX = 20_000
"""A larger tree is cut off here, and the result says so."""
COUNTED_BYTES_MAX = 4 << 20
"""A larger file is listed without its number of lines (4 MiB)."""

FOREIGN_FOLDERS = {
    ".eggs",
    ".git",
    ".hg",
    ".mypy_cache",
    ".nox",
    ".pytest_cache",
    ".ruff_cache",
    ".svn",
    ".tox",
    ".venv",
    "__pycache__",
    "maestro-output",
    "node_modules",
    "venv",
}
"""Folders that hold no source of the tree."""

LANGUAGES = {
    ".c": "C",
    ".cc": "C++",
    ".cpp": "C++",
    ".cs": "C#",
    ".css": "CSS",
    ".go": "Go",
    ".h": "C",
    ".hpp": "C++",
    ".html": "HTML",
    ".ini": "INI",
    ".java": "Java",
    ".js": "JavaScript",
    ".json": "JSON",
    ".kt": "Kotlin",
    ".markdown": "Markdown",
    ".md": "Markdown",
    ".php": "PHP",
    ".py": "Python",
    ".pyi": "Python stubs",
    ".rb": "Ruby",
    ".rs": "Rust",
    ".rst": "reStructuredText",
    ".sh": "Shell",
    ".sql": "SQL",
    ".swift": "Swift",
    ".toml": "TOML",
    ".ts": "TypeScript",
    ".tsx": "TypeScript",
    ".txt": "Text",
    ".xml": "XML",
    ".yaml": "YAML",
    ".yml": "YAML",
}


def take_inventory(task: Any) -> str:
    """Write `results/inventory.json`; called by the `python` engine."""
    if task.input_dir is None:
        raise ValueError("there is no source tree: run the team with --input DIR")
    inventory = survey(Path(task.input_dir), Path(task.workspace))
    target = Path(task.workspace, "results", "inventory.json")
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(inventory, indent=1))
    return f"{len(inventory['files'])} files, {len(inventory['skipped'])} left out"


def survey(root: Path, workspace: Path) -> dict[str, Any]:
    """Describe the tree below `root`, except for the workspace if it lies inside."""
    files: list[dict[str, Any]] = []
    skipped: list[dict[str, str]] = []
    truncated = False
    for entry, path in _entries(root, workspace, skipped):
        if len(files) == FILES_MAX:
            truncated = True
            break
        described = _describe(entry, path, skipped)
        if described is not None:
            files.append(described)
    return {
        "root": root.resolve().name,
        "files": files,
        "languages": _totals((file["language"], file) for file in files),
        "packages": _totals(_by_package(root.resolve().name, files)),
        "skipped": skipped,
        "truncated": truncated,
    }


def _entries(
    root: Path, workspace: Path, skipped: list[dict[str, str]]
) -> Iterator[tuple[os.DirEntry[str], str]]:
    """Yield each file with its path below `root`, folder by folder, in a stable order."""
    waiting = [""]
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(root / folder) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except OSError as error:
            skipped.append({"path": _printable(folder or "."), "reason": _reason(error)})
            continue
        below = []
        for entry in entries:
            path = f"{folder}/{entry.name}" if folder else entry.name
            # Links are not followed, so a loop of links is no loop here.
            if not entry.is_dir(follow_symlinks=False):
                yield entry, path
            elif not _is_foreign(entry, workspace):
                below.append(path)
        waiting.extend(reversed(below))


def _is_foreign(entry: os.DirEntry[str], workspace: Path) -> bool:
    """Tell whether a folder holds something else than source of the tree."""
    return (
        entry.name in FOREIGN_FOLDERS
        or os.path.lexists(os.path.join(entry.path, "pyvenv.cfg"))  # noqa: PTH118 - entry is no Path
        or os.path.realpath(entry.path) == os.path.realpath(workspace)
    )


def _describe(
    entry: os.DirEntry[str], path: str, skipped: list[dict[str, str]]
) -> dict[str, Any] | None:
    """Return path, language, bytes and lines of a file; None, and a note, if it has none."""
    try:
        path.encode()
        status = entry.stat(follow_symlinks=False)
        if not stat.S_ISREG(status.st_mode):
            reason = "symbolic link" if stat.S_ISLNK(status.st_mode) else "not a regular file"
            skipped.append({"path": path, "reason": reason})
            return None
        lines = _count_lines(entry.path) if status.st_size <= COUNTED_BYTES_MAX else None
    except UnicodeEncodeError:
        skipped.append({"path": _printable(path), "reason": "name is not UTF-8"})
        return None
    except OSError as error:
        skipped.append({"path": path, "reason": _reason(error)})
        return None
    language = LANGUAGES.get(PurePosixPath(path).suffix.lower(), "Other")
    return {"path": path, "language": language, "bytes": status.st_size, "lines": lines}


def _count_lines(path: str) -> int | None:
    """Count the lines of a text; a file with a NUL near its start is none."""
    content = Path(path).read_bytes()
    if b"\0" in content[:8192]:
        return None
    return content.count(b"\n") + (not content.endswith(b"\n") and bool(content))


def _by_package(
    root_name: str, files: list[dict[str, Any]]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Pair each Python file with its outermost package."""
    packages = {
        str(PurePosixPath(file["path"]).parent)
        for file in files
        if PurePosixPath(file["path"]).name == "__init__.py"
    }
    for file in files:
        if file["language"] != "Python":
            continue
        outermost = None
        for folder in PurePosixPath(file["path"]).parents:
            if str(folder) not in packages:
                break
            outermost = folder
        if outermost is None:
            yield "(no package)", file
        else:
            yield (root_name if str(outermost) == "." else str(outermost)), file


def _totals(pairs: Iterable[tuple[str, dict[str, Any]]]) -> dict[str, dict[str, int]]:
    """Add up files, lines and bytes per name; the most lines come first."""
    totals: dict[str, dict[str, int]] = {}
    for name, file in pairs:
        total = totals.setdefault(name, {"files": 0, "lines": 0, "bytes": 0})
        total["files"] += 1
        total["lines"] += file["lines"] or 0
        total["bytes"] += file["bytes"]
    return dict(sorted(totals.items(), key=lambda item: (-item[1]["lines"], item[0])))


def _reason(error: OSError) -> str:
    """Return the system's words for an error."""
    return error.strerror or type(error).__name__


def _printable(path: str) -> str:
    """Replace bytes of a name that are not UTF-8."""
    return path.encode(errors="surrogateescape").decode(errors="replace")
