"""A team phase by phase: see `maestro_runtime.team_engine`."""

from maestro_runtime.team_engine import (
    TeamExecutionContext,
    TeamExecutionEngineV2,
    TeamExecutionEngineV2SplitMode,
)

__all__ = ["TeamExecutionContext", "TeamExecutionEngineV2", "TeamExecutionEngineV2SplitMode"]
