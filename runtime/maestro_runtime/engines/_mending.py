"""What a call needs to know and do about repairs: whether they are worth a try, and have helped."""

from collections.abc import Iterable

from maestro_actors.engine import Outcome
from maestro_runtime.workspace import Workspace


def faults_of(outcome: Outcome) -> frozenset[str | int]:
    """Return what is wrong with the work: globs without a file, and failed checks by index."""
    failed = (result.index for result in outcome.checks if result.verdict in ("fail", "error"))
    return frozenset((*outcome.missing, *failed))


def is_better(again: Outcome, before: Outcome) -> bool:
    """Tell whether a second look found some of the faults gone, and no new one."""
    return again.failure != "interrupted" and faults_of(again) < faults_of(before)


def withdraw(workspace: Workspace, created: Iterable[str]) -> None:
    """Remove files that were created empty, unless somebody has filled them. Blocks on the disk."""
    for path in created:
        if workspace.read_bytes(path, 1) == b"":
            workspace.remove(path)
