"""What survives the process: see `maestro_runtime.executors`."""

from maestro_runtime.executors import (
    DEFAULT_STATE_PATH,
    CheckpointManager,
    StateManager,
    StatePersistence,
)

__all__ = [
    "DEFAULT_STATE_PATH",
    "CheckpointManager",
    "StateManager",
    "StatePersistence",
]
