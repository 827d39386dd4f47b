"""Edit plans: changes of files as data, applied all or not at all, also across a crash."""

from maestro_runtime.edits._journal import (
    AppliedPlan,
    EditObserver,
    EditStep,
    apply_plan,
    has_journal,
    roll_forward,
)
from maestro_runtime.edits.errors import EditRejected
from maestro_runtime.edits.plan import Edit, EditPlan, SearchReplace, UnifiedDiff, WholeFile

__all__ = [
    "AppliedPlan",
    "Edit",
    "EditObserver",
    "EditPlan",
    "EditRejected",
    "EditStep",
    "SearchReplace",
    "UnifiedDiff",
    "WholeFile",
    "apply_plan",
    "has_journal",
    "roll_forward",
]
