"""What changed from one checkpoint of a session to another."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from maestro_runtime.checkpoints._report import CheckpointReport

DIFF_SCHEMA: Final = "maestro.checkpoint-diff/1"
"""Name and version of the JSON shape; a field is only ever added."""


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """Names of what differs, sorted."""

    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]


class CheckpointDiff(msgspec.Struct, frozen=True, kw_only=True):
    """What changed from one checkpoint to another, or to now."""

    schema: str
    session_id: str
    before: int
    """Number of the checkpoint."""
    after: int
    """The same; 0 for now."""
    tokens: int
    """Of the later one, less those of the earlier one."""
    tasks: Changes
    """Finished tasks by id."""
    artifacts: Changes
    """Files by path; one has changed if its digest has."""


def compared(before: CheckpointReport, after: CheckpointReport) -> CheckpointDiff:
    """Return what changed between two checkpoints of a session."""
    return CheckpointDiff(
        schema=DIFF_SCHEMA,
        session_id=after.session_id,
        before=before.number,
        after=after.number,
        tokens=after.tokens_used - before.tokens_used,
        tasks=_changes(
            {task.task_id: task for task in before.tasks},
            {task.task_id: task for task in after.tasks},
        ),
        artifacts=_changes(
            {path: file.sha256 for path, file in before.files.items()},
            {path: file.sha256 for path, file in after.files.items()},
        ),
    )


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> Changes:
    return Changes(
        added=tuple(sorted(after.keys() - before.keys())),
        changed=tuple(
            sorted(name for name in before.keys() & after if before[name] != after[name])
        ),
        removed=tuple(sorted(before.keys() - after.keys())),
    )
