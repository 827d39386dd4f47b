"""Several personas, many contracts: see `maestro_runtime.executors`."""

from maestro_runtime.executors import (
    ParallelCoordinatorV2,
    ParallelResult,
    PersonaResult,
)

__all__ = [
    "ParallelCoordinatorV2",
    "ParallelResult",
    "PersonaResult",
]
