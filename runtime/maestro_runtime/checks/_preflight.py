"""Whether a check can be evaluated on this machine at all, found out before a session starts."""

import importlib.util
import os
import shutil

from maestro_actors import checks
from maestro_actors.checks import Check
from maestro_runtime.engines._importing import import_callable
from maestro_runtime.engines.errors import EngineUnavailable


def hindrance(check: Check) -> str:
    """Return why a check can never be evaluated here, with the remedy; empty if it can.

    Blocks: the function of a `callable` check is imported.
    """
    match check:
        case checks.JsonSchema():
            return _package("jsonschema_rs", "jsonschema-rs")
        case checks.Parses(format="yaml"):
            return _package("yaml", "PyYAML")
        case checks.Command(argv=(program, *_)):
            return _program(program)
        case checks.Callable():
            return _function(check)
        case _:
            return ""


def _package(module: str, package: str) -> str:
    if importlib.util.find_spec(module) is not None:
        return ""
    return f"package {package!r} is not installed: pip install 'maestro-runtime[checks]'"


def _program(program: str) -> str:
    # A relative path is one of the workspace, where it may yet be written.
    if "/" in program and not program.startswith("/"):
        return ""
    path = os.environ.get("PATH")
    if shutil.which(program, path=path) is not None:
        return ""
    where = "" if program.startswith("/") else f" in PATH {path!r}"
    return f"program {program!r} is not found or not executable{where}: install it"


def _function(check: checks.Callable) -> str:
    try:
        import_callable(check.callable, check.import_dir)
    except EngineUnavailable as error:
        place = f" (looked for in {check.import_dir} first)" if check.import_dir else ""
        return f"{error.detail}{place}"
    return ""
