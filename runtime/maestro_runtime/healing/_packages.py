"""Package markers that are owed, or that an import misses: empty `__init__.py` files."""

import re
from pathlib import PurePosixPath
from typing import Final

from maestro_actors.checks import Callable, Command
from maestro_actors.engine import Outcome
from maestro_actors.team import Contract
from maestro_runtime.workspace import Glob

MARKER: Final = "__init__.py"

MARKERS_MAX: Final = 50
"""Most markers that are created after one attempt."""

_NO_IMPORT: Final = re.compile(
    r"ModuleNotFoundError|ImportError|No module named|no known parent package"
)


def missing_markers(contract: Contract, outcome: Outcome) -> tuple[str, ...]:
    """Return the markers to create, for folders that hold Python files of the contract.

    That is a marker that the contract owes by name, or, if a program or function fails at an
    import, one that its globs allow. An empty file never stands in for work: without a module in
    or below its folder there is no marker.
    """
    delivered = {artifact.path for artifact in outcome.artifacts}
    modules = [PurePosixPath(path) for path in sorted(delivered) if path.endswith(".py")]
    folders = dict.fromkeys(folder for path in modules for folder in path.parents if folder.name)
    patterns = contract.globs if _import_failed(contract, outcome) else outcome.missing
    allowed = [Glob(pattern) for pattern in patterns]
    markers = [str(folder / MARKER) for folder in folders]
    return tuple(
        marker
        for marker in markers
        if marker not in delivered and any(glob.matches(marker) for glob in allowed)
    )[:MARKERS_MAX]


def _import_failed(contract: Contract, outcome: Outcome) -> bool:
    owed = contract.owed_checks
    return any(
        result.verdict == "fail"
        and isinstance(owed[result.index][0], Command | Callable)
        and _NO_IMPORT.search(result.got)
        for result in outcome.checks
    )
