"""How the two levels try, and where their state is kept: see `maestro_runtime.executors`."""

from maestro_runtime.executors import (
    BreakerConfig,
    ExecutionConfig,
    RetryConfig,
    StateConfig,
)

__all__ = [
    "BreakerConfig",
    "ExecutionConfig",
    "RetryConfig",
    "StateConfig",
]
