"""One persona, one contract: see `maestro_runtime.executors`."""

from maestro_runtime.executors import (
    ContractNotOwn,
    PersonaExecutorV2,
    PersonaResult,
)

__all__ = [
    "ContractNotOwn",
    "PersonaExecutorV2",
    "PersonaResult",
]
