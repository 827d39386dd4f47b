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
    for folder in ("actors", "compat", "runtime", "storage")
    for path in (ROOT / folder).rglob("__init__.py")
    # It cannot be imported: that is what it is for.
    if path.parent.name != "iterative_executor"
)


@pytest.mark.parametrize("init", INITS, ids=lambda path: path.parent.name)
def test_an_init_exports_what_it_imports_sorted(init: Path) -> None:
    # The folder of the project may have the name of a source root, too.
    name = ".".join(init.parent.relative_to(ROOT).parts[1:])
    imported = {
        alias.asname or alias.name
        for node in ast.parse(init.read_text()).body
        if isinstance(node, ast.ImportFrom)
        and (node.module or "").startswith("maestro_")
        and node.module != "maestro_runtime._lazy"
        for alias in node.names
    }
    module = importlib.import_module(name)
    exported: list[str] = getattr(module, "__all__", [])

    assert imported <= set(exported)
    assert len(exported) == len(set(exported))
    assert all(getattr(module, public, None) is not None for public in exported)
    # Loading a module sets its name in its package, over what is exported under the same name.
    assert not [public for public in exported if (init.parent / f"{public}.py").exists()]


@pytest.mark.parametrize(
    "package",
    [
        "maestro_runtime",
        "maestro_runtime.checkpoints",
        "maestro_runtime.client",
        "maestro_runtime.config",
        "maestro_runtime.daemon",
        "maestro_runtime.engines",
        "maestro_runtime.executors",
        "maestro_runtime.team_engine",
        "maestro_runtime.testing",
        "maestro_runtime.tickets",
    ],
)
def test_a_package_that_loads_late_exports_what_it_declares(package: str) -> None:
    module = importlib.import_module(package)
    declared = {
        alias.name: (node.module or "").removeprefix(f"{package}.")
        for condition in ast.parse(Path(str(module.__file__)).read_text()).body
        if isinstance(condition, ast.If)
        for node in condition.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }

    assert declared == module._HOMES
    assert set(declared) == set(module.__all__) - {"__version__"}
    assert {*declared, "__name__", "__doc__"} <= set(dir(module)), "what `help` shows"
    with pytest.raises(AttributeError, match="has no attribute 'missing'"):
        _ = module.missing


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
        timeout=120,
    )

    loaded = {line.rsplit("|", 1)[-1].strip() for line in result.stderr.splitlines()}
    assert not loaded & absent
