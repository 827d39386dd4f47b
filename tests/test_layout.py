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
PLATFORM = {
    "iterative_executor",
    "maestro_hive",
    "parallel_coordinator_v2",
    "persona_executor_v2",
    "team_execution_v2",
}
"""Import names of the Maestro platform."""
FUNCTION_LINES_MAX = 60
MODULE_LINES_MAX = 500
SOURCES = [path for folder in SOURCE_ROOTS for path in sorted((ROOT / folder).rglob("*.py"))]
NAMES = sorted((ROOT / "compat").rglob("*.py"))


@pytest.mark.parametrize(
    ("folder", "packages"),
    [*((folder, {package}) for folder, package in SOURCE_ROOTS.items()), ("compat", PLATFORM)],
)
def test_a_source_root_holds_exactly_its_packages(folder: str, packages: set[str]) -> None:
    entries = {path.name for path in (ROOT / folder).iterdir()} - {"__pycache__"}

    assert entries == packages
    assert all((ROOT / folder / package / "py.typed").is_file() for package in packages)


def test_the_names_of_the_platform_have_no_logic_of_their_own() -> None:
    statements = {
        type(node).__name__
        for path in NAMES
        for node in ast.parse(path.read_text()).body
        if not (isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__")
    }
    raised = [path.stem for path in NAMES if "raise ImportError" in path.read_text()]

    # Expr is the docstring; the removed modules say what to import instead.
    assert statements == {"Expr", "ImportFrom", "Raise"}
    assert sorted(raised) == ["__init__", "iterative_executor", "iterative_executor"]


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


def test_the_map_names_all_that_is_in_a_package_and_nothing_else() -> None:
    parts = (ROOT / "ARCHITECTURE.md").read_text().split("## The parts", 1)[1].split("```")[1]
    named: dict[str, list[str]] = {}
    for line in parts.splitlines():
        if found := re.match(r"(\w+)/maestro_\w+/ ", line):
            folder = found[1]
        elif re.match(r"  \w", line):
            named.setdefault(folder, []).extend(re.split(r"  +", line.strip())[0].split())

    assert {folder: sorted(names) for folder, names in named.items()} == {
        folder: sorted(_children(ROOT / folder / package))
        for folder, package in SOURCE_ROOTS.items()
    }


def test_each_function_fits_a_screen_and_each_module_a_sitting() -> None:
    long_functions = {
        f"{path.name}:{node.name}"
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno + 1 > FUNCTION_LINES_MAX
    }
    long_modules = {
        path.name for path in SOURCES if len(path.read_text().splitlines()) > MODULE_LINES_MAX
    }

    assert long_functions == set()
    assert long_modules == set()


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


def _children(package: Path) -> list[str]:
    """Return the public modules of a package, and its packages with a slash."""
    modules = [path.stem for path in package.glob("*.py") if not path.stem.startswith("_")]
    return modules + [f"{path.parent.name}/" for path in package.glob("*/__init__.py")]
