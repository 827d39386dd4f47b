"""Values that a program keeps: see `maestro_runtime.executors`."""

from maestro_runtime.executors import (
    StateKeyInvalid,
    StateManager,
    StateManagerConflict,
    StateValueInvalid,
)

__all__ = [
    "StateKeyInvalid",
    "StateManager",
    "StateManagerConflict",
    "StateValueInvalid",
]
