"""What does a persona's work: the engine protocol, the built-in engines, and their host."""

from maestro_runtime.engines.errors import (
    CallInFlight,
    EngineCrashed,
    EngineError,
    EngineTimeout,
    EngineUnavailable,
    HostClosed,
    MalformedOutput,
    Permanent,
    RateLimited,
    Refused,
    Transient,
    UnknownEngine,
)
from maestro_runtime.engines.host import EngineHost
from maestro_runtime.engines.protocol import (
    Capabilities,
    Engine,
    EngineContext,
    EngineResult,
    Health,
)
from maestro_runtime.engines.python import Task
from maestro_runtime.engines.registry import EngineRegistry, builtin_engines
from maestro_runtime.engines.script import SCRIPT_STEPS
from maestro_runtime.engines.survivors import kill_survivors

__all__ = [
    "SCRIPT_STEPS",
    "CallInFlight",
    "Capabilities",
    "Engine",
    "EngineContext",
    "EngineCrashed",
    "EngineError",
    "EngineHost",
    "EngineRegistry",
    "EngineResult",
    "EngineTimeout",
    "EngineUnavailable",
    "Health",
    "HostClosed",
    "MalformedOutput",
    "Permanent",
    "RateLimited",
    "Refused",
    "Task",
    "Transient",
    "UnknownEngine",
    "builtin_engines",
    "kill_survivors",
]
