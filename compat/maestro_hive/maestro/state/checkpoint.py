"""Checkpoints of sessions: see `maestro_runtime.executors`."""

from maestro_runtime.executors import (
    CheckpointManager,
)

__all__ = [
    "CheckpointManager",
]
