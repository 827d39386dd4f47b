"""A team from end to end: see `maestro_runtime.team_engine`."""

from maestro_runtime.team_engine import TeamExecutionContext, TeamExecutionEngineV2

__all__ = ["TeamExecutionContext", "TeamExecutionEngineV2"]
