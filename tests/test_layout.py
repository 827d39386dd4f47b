"""The folder tree is the architecture: what may be where."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE_ROOTS = {
    "actors": "maestro_actors",
    "runtime": "maestro_runtime",
    "storage": "maestro_storage",
}
SOURCES = [path for folder in SOURCE_ROOTS for path in sorted((ROOT / folder).rglob("*.py"))]


@pytest.mark.parametrize(("folder", "package"), SOURCE_ROOTS.items())
def test_a_source_root_holds_exactly_its_package(folder: str, package: str) -> None:
    entries = {path.name for path in (ROOT / folder).iterdir()} - {"__pycache__"}

    assert entries == {package}


@pytest.mark.parametrize("folder", ["runtime"])
def test_only_the_driver_and_the_demo_start_processes(folder: str) -> None:
    users = {
        path.relative_to(ROOT / folder / SOURCE_ROOTS[folder]).as_posix()
        for path in SOURCES
        if path.is_relative_to(ROOT / folder)
        and re.search(r"subprocess|os\.(fork|exec|spawn|posix_spawn)", path.read_text())
    }

    assert users <= {"engines/driver.py", "engines/guard.py", "cli/demo.py"}


def test_the_actors_open_no_file_and_no_socket() -> None:
    forbidden = {"pathlib", "socket", "subprocess", "shutil", "tempfile", "io"}
    imports = {
        (path.name, name)
        for path in SOURCES
        if path.is_relative_to(ROOT / "actors")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in _names(node)
        if name.partition(".")[0] in forbidden
    }

    assert imports == set()


def test_nothing_unpickles_or_runs_a_shell() -> None:
    found = [
        path.name
        for path in SOURCES
        if re.search(r"\bpickle\b|shell=True|os\.system|ext_hook", path.read_text())
    ]

    assert found == []


def test_the_locks_name_no_index_and_hash_every_requirement() -> None:
    for lock in sorted((ROOT / "requirements").glob("*.txt")):
        text = lock.read_text()
        requirements = re.findall(r"^[A-Za-z0-9._-]+==", text, re.MULTILINE)

        assert requirements
        assert "://" not in text
        assert text.count("--hash=sha256:") >= len(requirements)


def _names(node: ast.Import | ast.ImportFrom) -> list[str]:
    if isinstance(node, ast.ImportFrom):
        return [node.module or ""]
    return [alias.name for alias in node.names]
