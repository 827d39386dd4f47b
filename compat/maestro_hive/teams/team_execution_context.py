"""Where the session of a team stands: see `maestro_runtime.team_engine`."""

from maestro_runtime.team_engine import PhaseResult, TeamExecutionContext

__all__ = ["PhaseResult", "TeamExecutionContext"]
