"""The examples' folder, and the tools of code-health run by hand, without the runtime."""

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

EXAMPLES = Path(__file__).parents[3] / "examples"
TOOLS = EXAMPLES / "code-health" / "tools"


class CodeHealth:
    """Runs the tools as the engines do: functions with a task, programs with an environment."""

    def __init__(self, tree: Path, workspace: Path) -> None:
        self.tree = tree
        self.workspace = workspace

    def function(self, module_name: str, function_name: str, **changes: Any) -> str:
        """Call a tool of a `python` persona."""
        task = SimpleNamespace(
            requirement="Report on <this> tree.",
            workspace=str(self.workspace),
            input_dir=str(self.tree),
        )
        vars(task).update(changes)
        message: str = getattr(load_tool(module_name), function_name)(task)
        return message

    def program(
        self, name: str, *arguments: str, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a tool of a `command` persona."""
        return subprocess.run(
            [sys.executable, TOOLS / name, *arguments],
            cwd=self.workspace,
            env={
                "PATH": os.environ["PATH"],
                "PYTHONDONTWRITEBYTECODE": "1",
                "MAESTRO_INPUT_DIR": str(self.tree),
                "MAESTRO_RESULT": str(self.workspace / "told.json"),
                **environment,
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def survey(self) -> Any:
        """Take the inventory, which every other tool needs."""
        self.function("inventory", "take_inventory")
        return self.result("inventory")

    def result(self, name: str) -> Any:
        """Return what a tool wrote."""
        return json.loads((self.workspace / "results" / f"{name}.json").read_text())


def load_tool(name: str) -> ModuleType:
    """Import one file of the tools by its place, and leave no trace in `sys.modules`."""
    spec = importlib.util.spec_from_file_location(f"code_health_{name}", TOOLS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def examples() -> Path:
    """Return the folder of the examples."""
    return EXAMPLES


@pytest.fixture
def code_health(tmp_path: Path) -> CodeHealth:
    """Return the tools on an empty tree and an empty workspace."""
    tree, workspace = tmp_path / "tree", tmp_path / "workspace"
    tree.mkdir()
    workspace.mkdir()
    return CodeHealth(tree, workspace)


@pytest.fixture
def tool() -> Callable[[str], ModuleType]:
    """Return a function that imports one tool."""
    return load_tool
