"""What does a persona's work: the engine protocol, the built-in engines, and their host."""

from typing import TYPE_CHECKING

from maestro_runtime._lazy import loader

if TYPE_CHECKING:
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
        Engine,
        EngineContext,
        EngineResult,
        Health,
        VersionedEngine,
    )
    from maestro_runtime.engines.python import Task
    from maestro_runtime.engines.registry import EngineRegistry, builtin_engines
    from maestro_runtime.engines.script import SCRIPT_STEPS
    from maestro_runtime.engines.survivors import kill_survivors

_HOMES = {
    "CallInFlight": "errors",
    "Engine": "protocol",
    "EngineContext": "protocol",
    "EngineCrashed": "errors",
    "EngineError": "errors",
    "EngineHost": "host",
    "EngineRegistry": "registry",
    "EngineResult": "protocol",
    "EngineTimeout": "errors",
    "EngineUnavailable": "errors",
    "Health": "protocol",
    "HostClosed": "errors",
    "MalformedOutput": "errors",
    "Permanent": "errors",
    "RateLimited": "errors",
    "Refused": "errors",
    "SCRIPT_STEPS": "script",
    "Task": "python",
    "Transient": "errors",
    "UnknownEngine": "errors",
    "VersionedEngine": "protocol",
    "builtin_engines": "registry",
    "kill_survivors": "survivors",
}
"""Public names, and the module each is loaded from."""

__all__ = [
    "SCRIPT_STEPS",
    "CallInFlight",
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
    "VersionedEngine",
    "builtin_engines",
    "kill_survivors",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = loader(__name__, _HOMES)
