"""The folder a session's personas write in: path guard, atomic writes, manifest of artifacts."""

from maestro_runtime.workspace._glob import Glob, check_glob
from maestro_runtime.workspace._manifest import (
    FILES_MAX,
    HASHED_BYTES_MAX,
    Fingerprint,
    Manifest,
    diff,
)
from maestro_runtime.workspace._workspace import DRAFT_NAME, Workspace, canonical_path
from maestro_runtime.workspace.errors import (
    GlobEscapes,
    PathEscapes,
    WorkspaceError,
    WorkspaceTooLarge,
)

__all__ = [
    "DRAFT_NAME",
    "FILES_MAX",
    "HASHED_BYTES_MAX",
    "Fingerprint",
    "Glob",
    "GlobEscapes",
    "Manifest",
    "PathEscapes",
    "Workspace",
    "WorkspaceError",
    "WorkspaceTooLarge",
    "canonical_path",
    "check_glob",
    "diff",
]
