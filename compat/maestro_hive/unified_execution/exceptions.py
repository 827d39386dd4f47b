"""What the two levels raise: see `maestro_runtime.executors`."""

from maestro_runtime.errors import HelpNeeded
from maestro_runtime.executors import (
    ContractNotOwn,
    RecoverableError,
    UnrecoverableError,
    WorkNotImportable,
)

__all__ = [
    "ContractNotOwn",
    "HelpNeeded",
    "RecoverableError",
    "UnrecoverableError",
    "WorkNotImportable",
]
