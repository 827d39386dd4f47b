"""The team engine of the Maestro platform: phases, batches, plans with stops, resume; all async."""

from typing import TYPE_CHECKING

from maestro_runtime._lazy import loader

if TYPE_CHECKING:
    from maestro_runtime.team_engine.context import PhaseResult, TeamExecutionContext, context_of
    from maestro_runtime.team_engine.engine import TeamExecutionEngineV2
    from maestro_runtime.team_engine.errors import ContextTooNew, ContextUnreadable
    from maestro_runtime.team_engine.split_mode import TeamExecutionEngineV2SplitMode

_HOMES = {
    "ContextTooNew": "errors",
    "ContextUnreadable": "errors",
    "PhaseResult": "context",
    "TeamExecutionContext": "context",
    "TeamExecutionEngineV2": "engine",
    "TeamExecutionEngineV2SplitMode": "split_mode",
    "context_of": "context",
}
"""Public names, and the module each is loaded from."""

__all__ = [
    "ContextTooNew",
    "ContextUnreadable",
    "PhaseResult",
    "TeamExecutionContext",
    "TeamExecutionEngineV2",
    "TeamExecutionEngineV2SplitMode",
    "context_of",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = loader(__name__, _HOMES)
