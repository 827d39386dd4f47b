"""Level 2: see `maestro_runtime.executors`."""

from maestro_runtime.executors import (
    SafetyRetryWrapper,
)

__all__ = [
    "SafetyRetryWrapper",
]
