"""A plain function as the work of a persona: named, so that a later process finds it again."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from maestro_runtime.engines.python import Task
from maestro_runtime.executors.errors import WorkNotImportable

Work = Callable[[Task], Any]
"""What the `python` engine calls for each attempt; see `PythonEngine` for what it may return."""


def reference_of(work: Work) -> str:
    """Return `module:function`.

    Raises:
        WorkNotImportable: It is not found under its name: a lambda, a method, an inner function.
    """
    module, name = getattr(work, "__module__", ""), getattr(work, "__qualname__", "")
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    if found is not work:
        raise WorkNotImportable(repr(work))
    return f"{module}:{name}"


def import_dir_of(work: Work) -> Path:
    """Return the directory that the module of `work` is imported from, as a later start needs it.

    That of a program itself is the directory it lies in: it is found while the program runs.
    """
    module = sys.modules[work.__module__]
    file = getattr(module, "__file__", None)
    if file is None:
        return Path.cwd()
    depth = module.__name__.count(".")
    if Path(file).name == "__init__.py":
        depth += 1
    return Path(file).resolve().parents[depth]
