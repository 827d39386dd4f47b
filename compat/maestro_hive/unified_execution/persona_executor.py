"""Level 1: see `maestro_runtime.executors`."""

from maestro_runtime.executors import (
    PersonaExecutor,
    PersonaResult,
)

__all__ = [
    "PersonaExecutor",
    "PersonaResult",
]
