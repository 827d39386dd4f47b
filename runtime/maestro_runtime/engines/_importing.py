"""Finding the functions that a team names: imports from the folder of its team file."""

import importlib
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from maestro_runtime.engines.errors import EngineUnavailable

_import_lock = threading.Lock()


def import_callable(reference: str, folder: str) -> Callable[..., Any]:
    """Import `module:function`, looking in `folder` first; the empty folder is none.

    Blocks, for as long as the module wants to. From any thread.

    Raises:
        EngineUnavailable: It is not written so, cannot be imported, or is not callable.
    """
    module_name, _, attribute = reference.partition(":")
    if not module_name or not attribute:
        raise EngineUnavailable(f"callable must be 'module:function', got {reference!r}")
    try:
        with _importing_from(folder):
            function = importlib.import_module(module_name)
            _check_origin(function, folder)
            for name in attribute.split("."):
                function = getattr(function, name)
    except (Exception, SystemExit) as error:
        # Foreign code runs at import; whatever it raises makes the function unavailable.
        detail = f"callable {reference!r} cannot be imported: {type(error).__name__}: {error}"
        raise EngineUnavailable(detail) from error
    if not callable(function):
        raise EngineUnavailable(f"callable {reference!r} is not callable")
    return function


@contextmanager
def _importing_from(folder: str) -> Iterator[None]:
    """Put `folder` first on the module path for as long as one import takes."""
    with _import_lock:
        if not folder:
            yield
            return
        sys.path.insert(0, folder)
        # Nothing is written outside the workspace: not even bytecode next to the team file.
        quiet, sys.dont_write_bytecode = sys.dont_write_bytecode, True
        # A file written a moment ago must be seen.
        importlib.invalidate_caches()
        try:
            yield
        finally:
            sys.dont_write_bytecode = quiet
            sys.path.remove(folder)


def _check_origin(module: ModuleType, folder: str) -> None:
    """Refuse a module of the same name that another team has loaded from elsewhere.

    Raises:
        ImportError: The interpreter knows the name already, for another file.
    """
    if not folder:
        return
    top = module.__name__.partition(".")[0]
    if not any((Path(folder) / name).exists() for name in (top, f"{top}.py")):
        return
    origin = getattr(module, "__file__", None) or str(next(iter(module.__path__), ""))
    if not Path(origin).resolve().is_relative_to(Path(folder).resolve()):
        raise ImportError(f"module {module.__name__!r} is already loaded from {origin!r}")
