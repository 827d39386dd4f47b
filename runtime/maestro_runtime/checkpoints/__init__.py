"""Checkpoints of a session: read, compared, verified, pruned, exported, imported, forked."""

from maestro_runtime.checkpoints._diff import Changes, CheckpointDiff, compared
from maestro_runtime.checkpoints._files import CheckpointVerification, content_of, verified
from maestro_runtime.checkpoints._fork import (
    ForkOrder,
    ForkPlan,
    PhaseAgain,
    fork,
    fork_plan,
    forked_team,
)
from maestro_runtime.checkpoints._prune import Pruned, prune
from maestro_runtime.checkpoints._report import (
    CheckpointReport,
    CheckpointTask,
    checkpoint_report,
    find_checkpoint,
    report_of_now,
)
from maestro_runtime.checkpoints._transfer import Exported, Imported, export, import_bundle
from maestro_runtime.checkpoints.errors import (
    ArtifactMismatch,
    BundleInvalid,
    CheckpointError,
    ExportFailed,
)

__all__ = [
    "ArtifactMismatch",
    "BundleInvalid",
    "Changes",
    "CheckpointDiff",
    "CheckpointError",
    "CheckpointReport",
    "CheckpointTask",
    "CheckpointVerification",
    "ExportFailed",
    "Exported",
    "ForkOrder",
    "ForkPlan",
    "Imported",
    "PhaseAgain",
    "Pruned",
    "checkpoint_report",
    "compared",
    "content_of",
    "export",
    "find_checkpoint",
    "fork",
    "fork_plan",
    "forked_team",
    "import_bundle",
    "prune",
    "report_of_now",
    "verified",
]
