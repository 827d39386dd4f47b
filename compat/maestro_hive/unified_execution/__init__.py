"""The two levels of an execution, and what survives it: see `maestro_runtime.executors`."""

from maestro_hive.unified_execution.config import (
    BreakerConfig,
    ExecutionConfig,
    RetryConfig,
    StateConfig,
)
from maestro_hive.unified_execution.exceptions import (
    ContractNotOwn,
    HelpNeeded,
    RecoverableError,
    UnrecoverableError,
    WorkNotImportable,
)
from maestro_hive.unified_execution.persona_executor import PersonaExecutor, PersonaResult
from maestro_hive.unified_execution.safety_retry import SafetyRetryWrapper
from maestro_hive.unified_execution.state_persistence import (
    DEFAULT_STATE_PATH,
    CheckpointManager,
    StateManager,
    StatePersistence,
)

__all__ = [
    "DEFAULT_STATE_PATH",
    "BreakerConfig",
    "CheckpointManager",
    "ContractNotOwn",
    "ExecutionConfig",
    "HelpNeeded",
    "PersonaExecutor",
    "PersonaResult",
    "RecoverableError",
    "RetryConfig",
    "SafetyRetryWrapper",
    "StateConfig",
    "StateManager",
    "StatePersistence",
    "UnrecoverableError",
    "WorkNotImportable",
]
