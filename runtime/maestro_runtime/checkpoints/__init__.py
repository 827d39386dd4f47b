"""Checkpoints of a session: read, compared, verified, pruned."""

from maestro_runtime.checkpoints._diff import Changes, CheckpointDiff, compared
from maestro_runtime.checkpoints._files import CheckpointVerification, content_of, verified
from maestro_runtime.checkpoints._prune import Pruned, prune
from maestro_runtime.checkpoints._report import (
    CheckpointReport,
    CheckpointTask,
    checkpoint_report,
    find_checkpoint,
    report_of_now,
)
from maestro_runtime.checkpoints.errors import ArtifactMismatch, CheckpointError

__all__ = [
    "ArtifactMismatch",
    "Changes",
    "CheckpointDiff",
    "CheckpointError",
    "CheckpointReport",
    "CheckpointTask",
    "CheckpointVerification",
    "Pruned",
    "checkpoint_report",
    "compared",
    "content_of",
    "find_checkpoint",
    "prune",
    "report_of_now",
    "verified",
]
