"""Checked by mypy, not run: the names of the platform are typed as what they stand for."""

from pathlib import Path
from typing import assert_type

from maestro_hive.core.state_manager import StateManager
from maestro_hive.cost.token_tracker import TokenTracker, TrackedUsage
from maestro_hive.unified_execution import PersonaExecutor, SafetyRetryWrapper, StatePersistence
from maestro_runtime import Session
from maestro_runtime.executors import PersonaResult
from parallel_coordinator_v2 import ParallelCoordinatorV2
from persona_executor_v2 import PersonaExecutorV2


async def executes(contract: dict[str, object]) -> None:
    """Results are structs, by persona where there are several."""
    result = await PersonaExecutorV2("dev", Path("out")).execute("Build it", contract)
    assert_type(result, PersonaResult)
    assert_type(result.artifacts, list[str])
    parallel = await ParallelCoordinatorV2("out").execute_parallel("Build it", [contract])
    assert_type(parallel.persona_results, dict[str, PersonaResult])
    executor = PersonaExecutor("dev", "out")
    assert_type(await executor.execute("Build it", contract), PersonaResult)
    assert_type(await SafetyRetryWrapper(executor).restore_latest(), PersonaResult | None)


def keeps() -> None:
    """A manager is one, though it is not always another."""
    assert_type(StateManager(), StateManager)
    assert_type(StatePersistence().restore_latest(), Session | None)
    assert_type(TokenTracker(max_tokens_per_persona=1).record("dev", tokens=1), TrackedUsage)
