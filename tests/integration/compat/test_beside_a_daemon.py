"""Programs use the executors as ever while a daemon has their state directory."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from compat_run import CONTRACT, REQUIREMENT
from daemon_team import TEAM
from hosted import BOUND_SECONDS, Hosted
from maestro_actors.team import Persona, Phase
from maestro_runtime import Client, Runtime
from maestro_runtime.daemon import reachable
from maestro_runtime.errors import EngineNotReady, HelpNeeded
from maestro_runtime.executors import (
    CheckpointManager,
    ExecutionConfig,
    ParallelCoordinatorV2,
    PersonaExecutor,
    PersonaExecutorV2,
    SafetyRetryWrapper,
    StateManager,
    StatePersistence,
    shared_runtime,
)
from maestro_runtime.executors.config import RetryConfig
from maestro_runtime.session import SessionOrder
from maestro_runtime.team_engine import TeamExecutionEngineV2
from maestro_storage.errors import StateOwned

QUICK = RetryConfig(backoff_seconds=0.0, backoff_max_seconds=0.0, round_backoff_seconds=(0.0,))


@pytest.fixture
def daemon(tmp_path: Path, state_dir: Path) -> Iterator[Hosted]:
    hosted = Hosted(tmp_path)
    hosted.socket = state_dir / "maestro.sock"
    hosted.start()
    yield hosted
    hosted.stop()


def test_a_daemon_that_owns_the_directory_is_used(daemon: Hosted, state_dir: Path) -> None:
    runtime = shared_runtime(state_dir)

    assert isinstance(runtime, Client)
    assert shared_runtime() is runtime
    assert runtime.welcome.state_id == daemon.runtime.store.state_id


def test_a_process_that_runs_only_its_own_sessions_keeps_its_directory(
    daemon: Hosted, state_dir: Path
) -> None:
    daemon.stop()
    hosted = Hosted(state_dir.parent)
    hosted.socket = state_dir.parent / "elsewhere"
    runtime = hosted.start()
    with reachable(runtime), pytest.raises(StateOwned):
        shared_runtime()
    hosted.stop()

    assert isinstance(shared_runtime(), Runtime)


def test_level_2_executors_work_over_a_daemon(daemon: Hosted, tmp_path: Path) -> None:
    alone = PersonaExecutorV2("backend_developer", tmp_path / "one")
    result = asyncio.run(alone.execute(REQUIREMENT, CONTRACT))
    several = ParallelCoordinatorV2(tmp_path / "two")
    contracts = [{**CONTRACT, "id": f"c{number}"} for number in range(3)]
    together = asyncio.run(several.execute_parallel(REQUIREMENT, contracts))

    assert result.success
    assert together.success
    assert len(list(daemon.runtime.store.sessions.scan())) == 2


def test_a_final_failure_has_its_ticket_over_a_daemon(daemon: Hosted, tmp_path: Path) -> None:
    executor = PersonaExecutor(
        "backend_developer",
        tmp_path / "out",
        config=ExecutionConfig(retry=QUICK),
        persona_config={"script": ["permanent"]},
    )
    wrapper = SafetyRetryWrapper(executor)

    with pytest.raises(HelpNeeded) as failed:
        asyncio.run(wrapper.execute(REQUIREMENT, CONTRACT))

    assert failed.value.reference
    assert wrapper.circuit_state == "closed"
    assert executor.final_status == "help_needed"
    assert daemon.runtime.store.tasks.count(executor.session_id) == 1


def test_values_checkpoints_and_sessions_are_those_of_the_daemon(
    daemon: Hosted, state_dir: Path, tmp_path: Path
) -> None:
    manager = StateManager(state_dir)
    manager.set_state("progress", {"done": 3})
    manager.set_state("gone", 1)
    manager.delete_state("gone")
    executor = PersonaExecutorV2("backend_developer", tmp_path / "out")
    result = asyncio.run(executor.execute(REQUIREMENT, CONTRACT))

    assert manager.get_state("progress") == {"done": 3}
    values = daemon.runtime.store.values.scan()
    stored = {record.name: json.loads(record.value) for record in values}
    assert stored == {"progress": {"done": 3}}
    checkpoints = CheckpointManager().list_checkpoints(result.session_id)
    assert [checkpoint.number for checkpoint in checkpoints] == [1, 2]
    latest = StatePersistence().latest()
    assert latest is not None
    assert latest.session_id == result.session_id


def test_a_team_engine_works_over_a_daemon_and_exports_as_it_goes(
    daemon: Hosted, tmp_path: Path
) -> None:
    (contract,) = TEAM.contracts
    team = msgspec.structs.replace(
        TEAM,
        phases=(Phase(name="build"), Phase(name="ship", after=("build",))),
        contracts=(contract, msgspec.structs.replace(contract, id="c2", phase="ship")),
    )
    exported = tmp_path / "exported"
    engine = TeamExecutionEngineV2(
        team, shared_runtime(), output_dir=tmp_path / "out", checkpoint_dir=exported
    )

    context = asyncio.run(asyncio.wait_for(engine.execute(), BOUND_SECONDS))

    sessions = list(daemon.runtime.store.sessions.scan())
    assert [record.session_id for record in sessions] == [context.session_id]
    assert {path.name for path in exported.iterdir()} == {
        "checkpoint_init.json",
        "checkpoint_build.json",
        "checkpoint_ship.json",
    }


def test_a_function_of_the_program_itself_cannot_travel(daemon: Hosted, tmp_path: Path) -> None:
    persona = Persona(persona_id="dev", engine="python", callable="__main__:work")
    team = msgspec.structs.replace(TEAM, personas={"dev": persona})

    with pytest.raises(EngineNotReady, match="'__main__:work' is of this program"):
        shared_runtime().run(SessionOrder(team, "s-1", tmp_path / "out"))

    assert not list(daemon.runtime.store.sessions.scan())
