"""Checkpoints of a session: read, compared, verified, pruned, exported, imported, forked."""

from typing import TYPE_CHECKING

from maestro_runtime._lazy import loader

if TYPE_CHECKING:
    from maestro_runtime.checkpoints._bundle import read_bundle
    from maestro_runtime.checkpoints._diff import Changes, CheckpointDiff, compared
    from maestro_runtime.checkpoints._files import CheckpointVerification, content_of, verified
    from maestro_runtime.checkpoints._fork import (
        Forked,
        ForkOrder,
        ForkPlan,
        PhaseAgain,
        fork,
        fork_plan,
        forked_team,
    )
    from maestro_runtime.checkpoints._on_demand import checkpoint_at_rest, require_name
    from maestro_runtime.checkpoints._prune import Pruned, prune
    from maestro_runtime.checkpoints._report import (
        CheckpointReport,
        CheckpointTask,
        checkpoint_report,
        find_checkpoint,
        report_of_now,
    )
    from maestro_runtime.checkpoints._transfer import (
        Exported,
        Imported,
        ImportOrder,
        export,
        import_bundle,
    )
    from maestro_runtime.checkpoints.errors import (
        ArtifactMismatch,
        BundleInvalid,
        CheckpointError,
        ExportFailed,
    )

_HOMES = {
    "ArtifactMismatch": "errors",
    "BundleInvalid": "errors",
    "Changes": "_diff",
    "CheckpointDiff": "_diff",
    "CheckpointError": "errors",
    "CheckpointReport": "_report",
    "CheckpointTask": "_report",
    "CheckpointVerification": "_files",
    "ExportFailed": "errors",
    "Exported": "_transfer",
    "ForkOrder": "_fork",
    "Forked": "_fork",
    "ForkPlan": "_fork",
    "ImportOrder": "_transfer",
    "Imported": "_transfer",
    "PhaseAgain": "_fork",
    "Pruned": "_prune",
    "checkpoint_at_rest": "_on_demand",
    "checkpoint_report": "_report",
    "compared": "_diff",
    "content_of": "_files",
    "export": "_transfer",
    "find_checkpoint": "_report",
    "fork": "_fork",
    "fork_plan": "_fork",
    "forked_team": "_fork",
    "import_bundle": "_transfer",
    "prune": "_prune",
    "read_bundle": "_bundle",
    "report_of_now": "_report",
    "require_name": "_on_demand",
    "verified": "_files",
}
"""Public names, and the module each is loaded from."""

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
    "Forked",
    "ImportOrder",
    "Imported",
    "PhaseAgain",
    "Pruned",
    "checkpoint_at_rest",
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
    "read_bundle",
    "report_of_now",
    "require_name",
    "verified",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = loader(__name__, _HOMES)
