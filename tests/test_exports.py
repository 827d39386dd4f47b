"""What the packages export, and what importing them costs."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
INITS = sorted(
    path
    for folder in ("actors", "runtime", "storage")
    for path in (ROOT / folder).rglob("__init__.py")
)


@pytest.mark.parametrize("init", INITS, ids=lambda path: path.parent.name)
def test_an_init_exports_what_it_imports_sorted(init: Path) -> None:
    folder = next(ROOT / name for name in ("actors", "runtime", "storage") if name in init.parts)
    name = ".".join(init.parent.relative_to(folder).parts)
    imported = {
        alias.asname or alias.name
        for node in ast.parse(init.read_text()).body
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("maestro_")
        for alias in node.names
    }
    module = importlib.import_module(name)
    exported: list[str] = getattr(module, "__all__", [])

    assert imported <= set(exported)
    assert len(exported) == len(set(exported))
    assert all(getattr(module, public, None) is not None for public in exported)


@pytest.mark.parametrize(
    ("argv", "absent"),
    [
        (
            ["-c", "import maestro_runtime"],
            {"lmdb", "pykka", "msgspec", "rich", "structlog", "click"},
        ),
        (
            ["-m", "maestro_runtime", "--help"],
            {"lmdb", "pykka", "msgspec", "rich", "structlog", "asyncio"},
        ),
        (["-m", "maestro_runtime", "run", "--help"], {"lmdb", "pykka", "rich", "structlog"}),
    ],
    ids=["import", "help", "run help"],
)
def test_starting_loads_nothing_that_is_not_needed(argv: list[str], absent: set[str]) -> None:
    result = subprocess.run(
        [sys.executable, "-X", "importtime", *argv],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )

    loaded = {line.rsplit("|", 1)[-1].strip() for line in result.stderr.splitlines()}
    assert not loaded & absent
