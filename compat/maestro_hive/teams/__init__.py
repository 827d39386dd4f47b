"""Teams of personas: see `maestro_runtime.team_engine`."""

from maestro_hive.teams.team_execution_context import PhaseResult, TeamExecutionContext
from maestro_hive.teams.team_execution_v2 import TeamExecutionEngineV2
from maestro_hive.teams.team_execution_v2_split_mode import TeamExecutionEngineV2SplitMode

__all__ = [
    "PhaseResult",
    "TeamExecutionContext",
    "TeamExecutionEngineV2",
    "TeamExecutionEngineV2SplitMode",
]
