"""The rules of a foreign checkpoint, so that nothing fails once its files are being written.

Each function yields what is wrong, in a sentence; what comes later relies on what came before.
"""

import graphlib
import re
from collections.abc import Iterable, Iterator
from typing import Final

from maestro_actors.engine import FIGURE_MAX, Artifact
from maestro_actors.messages import encode
from maestro_actors.sessions.session import KeptTask
from maestro_actors.team import Contract, Team
from maestro_runtime.config import NAME_PATTERN
from maestro_runtime.workspace import (
    FILES_MAX,
    HASHED_BYTES_MAX,
    PathEscapes,
    canonical_path,
    check_glob,
)
from maestro_storage import PAYLOAD_BYTES_MAX
from maestro_storage.records import TASK_PASSED

FILE_NAME_BYTES_MAX: Final = 255
"""Longest name of a file or folder in a path, in UTF-8."""

PATH_BYTES_MAX: Final = 1024
"""Longest path, so that the manifest of a task can be stored."""

_SHA256: Final = re.compile(r"[0-9a-f]{64}")


def name_faults(names: Iterable[str]) -> Iterator[str]:
    """Look at names that become keys, file names and words on a command line."""
    for name in names:
        if not re.fullmatch(NAME_PATTERN, name):
            yield f"name must match {NAME_PATTERN}, got {name[:80]!r}"


def figure_faults(**figures: int) -> Iterator[str]:
    """Look at counts and instants."""
    for what, figure in figures.items():
        if not 0 <= figure <= FIGURE_MAX:
            yield f"{what} must be 0 to {FIGURE_MAX}, got {figure}"


def task_faults(task: KeptTask) -> Iterator[str]:
    """Look at one task that is not to be run."""
    if task.state not in TASK_PASSED:
        yield f"state of a task must be one of {sorted(TASK_PASSED)}, got {task.state!r}"
    yield from figure_faults(tokens_used=task.tokens_used, finished_ms=task.finished_ms)
    if not 0 <= task.quality_score <= 1:
        yield f"quality_score must be 0 to 1, got {task.quality_score}"
    if len(task.artifacts) > FILES_MAX:
        yield f"task must have at most {FILES_MAX} artifacts, got {len(task.artifacts)}"
    if len({file.path for file in task.artifacts}) < len(task.artifacts):
        yield "artifacts of a task must have a path each, got one twice"
    for file in task.artifacts:
        yield from _file_faults(file)


def _file_faults(file: Artifact) -> Iterator[str]:
    try:
        canonical = canonical_path(file.path)
    except PathEscapes as error:
        yield str(error)
        return
    shown = repr(file.path[:80])
    if canonical != file.path or not file.path.isprintable():
        yield f"path of an artifact must be printable and canonical, got {shown}"
    elif len(file.path.encode()) > PATH_BYTES_MAX:
        yield f"path of an artifact must have at most {PATH_BYTES_MAX} bytes, got {shown}"
    elif any(len(name.encode()) > FILE_NAME_BYTES_MAX for name in file.path.split("/")):
        yield f"name in a path must have at most {FILE_NAME_BYTES_MAX} bytes, got {shown}"
    if not 0 <= file.size_bytes <= HASHED_BYTES_MAX:
        yield f"artifact must have 0 to {HASHED_BYTES_MAX} bytes, got {file.size_bytes}"
    if not _SHA256.fullmatch(file.sha256):
        yield f"sha256 of an artifact must be 64 hex digits, got {file.sha256[:80]!r}"


def folder_faults(paths: set[str]) -> Iterator[str]:
    """Look for files that would have to be folders, too."""
    for path in sorted(paths):
        names = path.split("/")
        for depth in range(1, len(names)):
            if (folder := "/".join(names[:depth])) in paths:
                yield f"artifact must not be the folder of another, got {folder!r}"


def team_faults(team: Team) -> Iterator[str]:
    """Look for what a team file could not have said: names, references, order and size."""
    phases = {phase.name: phase.after for phase in team.phases}
    contracts = {contract.id: contract for contract in team.contracts}
    yield from name_faults((team.name, *team.personas, *phases, *contracts))
    if len(phases) < len(team.phases) or len(contracts) < len(team.contracts):
        yield "phases and contracts must have a name each, got one twice"
    for persona_id, persona in team.personas.items():
        if persona.persona_id != persona_id:
            yield f"persona must be known by its own name, got {persona_id!r}"
    for after in phases.values():
        if unknown := set(after) - set(phases):
            yield f"phase must be known, got {min(unknown)[:80]!r}"
    for contract in team.contracts:
        yield from _contract_faults(contract, team, contracts)
    yield from _order_faults(phases)
    yield from _order_faults({name: item.after for name, item in contracts.items()})
    yield from _storing_faults(team)


def _contract_faults(
    contract: Contract, team: Team, contracts: dict[str, Contract]
) -> Iterator[str]:
    if contract.provider_persona_id not in team.personas:
        yield f"persona must be known, got {contract.provider_persona_id[:80]!r}"
    if contract.phase not in {phase.name for phase in team.phases}:
        yield f"phase must be known, got {contract.phase[:80]!r}"
    for name in contract.after:
        if name not in contracts or contracts[name].phase != contract.phase:
            yield f"contract before another must be one of its phase, got {name[:80]!r}"
    for glob in contract.globs:
        check_glob(glob)


def _order_faults(order: dict[str, tuple[str, ...]]) -> Iterator[str]:
    try:
        graphlib.TopologicalSorter(order).prepare()
    except graphlib.CycleError as error:
        yield f"phases and contracts must not form a cycle, got {' -> '.join(error.args[1])}"


def _storing_faults(team: Team) -> Iterator[str]:
    try:
        size = len(encode(team))
    except OverflowError as error:
        yield f"integers of the team must have 64 bits: {error}"
        return
    if size > PAYLOAD_BYTES_MAX:
        yield f"team must have at most {PAYLOAD_BYTES_MAX} bytes, got {size}"
