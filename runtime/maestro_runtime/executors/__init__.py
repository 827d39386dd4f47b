"""Executors: personas at work for programs, over one runtime for each state directory.

Every name here is a thin one over `maestro_runtime`: attempts, rounds, budgets, breakers and
tickets are the runtime's, and nothing is tried twice by two loops.
"""

from typing import TYPE_CHECKING

from maestro_runtime._lazy import loader

if TYPE_CHECKING:
    from maestro_runtime.executors._shared import (
        close_shared_runtimes,
        resolved_state_dir,
        shared_runtime,
    )
    from maestro_runtime.executors.checkpoint_manager import CheckpointManager
    from maestro_runtime.executors.config import (
        DEFAULT_STATE_PATH,
        BreakerConfig,
        ExecutionConfig,
        RetryConfig,
        StateConfig,
    )
    from maestro_runtime.executors.errors import (
        ContractNotOwn,
        RecoverableError,
        StateKeyInvalid,
        StateManagerConflict,
        StateValueInvalid,
        UnrecoverableError,
        WorkNotImportable,
    )
    from maestro_runtime.executors.parallel_coordinator_v2 import ParallelCoordinatorV2
    from maestro_runtime.executors.persona_executor import PersonaExecutor
    from maestro_runtime.executors.persona_executor_v2 import PersonaExecutorV2
    from maestro_runtime.executors.result import ParallelResult, PersonaResult
    from maestro_runtime.executors.safety_retry import SafetyRetryWrapper
    from maestro_runtime.executors.state_manager import StateManager
    from maestro_runtime.executors.state_persistence import StatePersistence

_HOMES = {
    "BreakerConfig": "config",
    "CheckpointManager": "checkpoint_manager",
    "ContractNotOwn": "errors",
    "DEFAULT_STATE_PATH": "config",
    "ExecutionConfig": "config",
    "ParallelCoordinatorV2": "parallel_coordinator_v2",
    "ParallelResult": "result",
    "PersonaExecutor": "persona_executor",
    "PersonaExecutorV2": "persona_executor_v2",
    "PersonaResult": "result",
    "RecoverableError": "errors",
    "RetryConfig": "config",
    "SafetyRetryWrapper": "safety_retry",
    "StateConfig": "config",
    "StateKeyInvalid": "errors",
    "StateManager": "state_manager",
    "StateManagerConflict": "errors",
    "StatePersistence": "state_persistence",
    "StateValueInvalid": "errors",
    "UnrecoverableError": "errors",
    "WorkNotImportable": "errors",
    "close_shared_runtimes": "_shared",
    "resolved_state_dir": "_shared",
    "shared_runtime": "_shared",
}
"""Public names, and the module each is loaded from."""

__all__ = [
    "DEFAULT_STATE_PATH",
    "BreakerConfig",
    "CheckpointManager",
    "ContractNotOwn",
    "ExecutionConfig",
    "ParallelCoordinatorV2",
    "ParallelResult",
    "PersonaExecutor",
    "PersonaExecutorV2",
    "PersonaResult",
    "RecoverableError",
    "RetryConfig",
    "SafetyRetryWrapper",
    "StateConfig",
    "StateKeyInvalid",
    "StateManager",
    "StateManagerConflict",
    "StatePersistence",
    "StateValueInvalid",
    "UnrecoverableError",
    "WorkNotImportable",
    "close_shared_runtimes",
    "resolved_state_dir",
    "shared_runtime",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = loader(__name__, _HOMES)
