"""The executors of programs: results, configuration, dependencies, one runtime for all."""

import asyncio
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from maestro_actors.team import decode_team
from maestro_runtime.config import ContextInvalid, TeamFileInvalid
from maestro_runtime.errors import EngineNotReady, SessionConflict
from maestro_runtime.executors import (
    ContractNotOwn,
    ParallelCoordinatorV2,
    PersonaExecutorV2,
    close_shared_runtimes,
    shared_runtime,
)
from maestro_storage.errors import StateOwned

BOUND_SECONDS = 20.0
QUICK = {"backoff_seconds": 0.01, "backoff_max_seconds": 0.01, "round_backoff_seconds": [0.01]}


def contract(name: str = "api", glob: str = "src/*.py", **more: Any) -> dict[str, Any]:
    return {
        "id": name,
        "name": f"The {name}",
        "deliverables": [{"name": name, "artifacts": [glob]}],
        **more,
    }


def executor(**persona_config: Any) -> PersonaExecutorV2:
    return PersonaExecutorV2(
        "backend_developer", "output", persona_config={**QUICK, **persona_config}
    )


def test_work_that_fails_is_a_result_with_its_errors_and_all_it_cost() -> None:
    failing = executor(script=["transient", "missing", "transient"], max_rounds=1)

    result = failing.execute_sync("Build API", contract())

    assert (result.success, result.contract_fulfilled, result.artifacts) == (False, False, [])
    assert result.failure == "transient"
    assert result.errors[0] == "contract 'api': engine failed: rehearsed in attempt 3"
    assert result.attempts == len(result.call_ids) == 3
    assert result.tokens_used > 0
    assert result.duration_seconds > 0


def test_the_same_call_answers_from_the_records_and_another_session_works_again() -> None:
    first = executor().execute_sync("Build API", contract())

    again = executor().execute_sync("Build API", contract())
    other = executor().execute_sync("Build API", contract(), {"session_id": "again"})

    assert again == first
    assert other.session_id == "again"
    assert other.call_ids != first.call_ids


def test_a_persona_out_of_budget_is_a_result_and_says_so() -> None:
    result = executor().execute_sync("Build API", contract(), {"token_budget": 1})

    assert (result.success, result.failure, result.attempts) == (False, "limit", 0)
    assert "token budget of persona 'backend_developer' cannot pay" in result.errors[0]


def test_an_executor_refuses_the_contract_of_another_persona() -> None:
    with pytest.raises(ContractNotOwn) as raised:
        executor().execute_sync("Build API", contract(provider_persona_id="qa_engineer"))

    assert str(raised.value) == (
        "contract 'api' must be provided by persona 'backend_developer', got 'qa_engineer'"
    )


@pytest.mark.parametrize(
    ("context", "environment", "persona_config", "engine"),
    [
        ({}, None, {}, "rehearsal"),
        ({}, "python", {}, "python"),
        ({}, "python", {"engine": "command"}, "command"),
        ({"engine": "rehearsal"}, "python", {"engine": "command"}, "rehearsal"),
        ({"persona_config": {"engine": "rehearsal"}}, None, {"engine": "command"}, "rehearsal"),
    ],
)
def test_the_engine_is_that_of_context_configuration_environment_or_rehearsal(
    monkeypatch: pytest.MonkeyPatch,
    state_dir: Path,
    context: dict[str, Any],
    environment: str | None,
    persona_config: dict[str, Any],
    engine: str,
) -> None:
    if environment is not None:
        monkeypatch.setenv("MAESTRO_ENGINE", environment)
    needs = {"callable": "nowhere:work", "command": {"argv": ["true"]}}
    made = executor(**needs, max_attempts=1, max_rounds=1, **persona_config)

    try:
        result = made.execute_sync("Build API", contract(), context)
    except EngineNotReady as error:
        found = error.engine
    else:
        store = shared_runtime(state_dir).store
        team = decode_team(store.payloads.require(store.require_session(result.session_id).team))
        found = team.personas["backend_developer"].engine

    assert found == engine


def test_contracts_wait_for_those_they_depend_on_and_what_depends_on_a_failure_is_undone() -> None:
    coordinator = ParallelCoordinatorV2(
        "output",
        max_parallel_workers=4,
        persona_config={**QUICK, "max_attempts": 1, "max_rounds": 1},
        personas={"qa_engineer": {"script": ["permanent"]}},
    )
    contracts = [
        contract("api", "src/*.py", provider_persona_id="backend_developer"),
        contract("tests", "tests/*.py", provider_persona_id="qa_engineer", after=("api",)),
        contract(
            "manual", "docs/*.md", provider_persona_id="backend_developer", depends_on=["tests"]
        ),
    ]

    result = coordinator.execute_parallel_sync("Build X", contracts, {"session_id": "exec_001"})

    backend = result.persona_results["backend_developer"]
    assert list(result.persona_results) == ["backend_developer", "qa_engineer"]
    assert (result.success, backend.success) == (False, False)
    assert (backend.artifacts, backend.quality_score) == (["src/api.py"], 0.5)
    assert backend.errors == ["contract 'manual': blocked"]
    assert result.persona_results["qa_engineer"].failure == "permanent"
    assert result.tokens_used == sum(item.tokens_used for item in result.persona_results.values())


def test_work_that_is_not_done_yet_says_what_it_waits_for() -> None:
    coordinator = ParallelCoordinatorV2(
        "output",
        persona_config={"script": ["permanent"], "give_up_on_failure": False},
        personas={"qa_engineer": {}},
    )
    contracts = [
        contract("api", "src/*.py", provider_persona_id="backend_developer"),
        contract("tests", "tests/*.py", provider_persona_id="qa_engineer", after=("api",)),
    ]

    result = coordinator.execute_parallel_sync("Build X", contracts, {})

    waits = result.persona_results["qa_engineer"]
    assert (waits.success, waits.state) == (False, "help_needed")
    assert waits.errors == ["contract 'tests': waits for contracts or phases before it"]


def test_phases_that_contracts_name_run_one_after_the_other(state_dir: Path) -> None:
    contracts = [
        contract("story", "story.md", provider_persona_id="analyst", phase="requirements"),
        contract("code", "src/*.py", provider_persona_id="developer", phase="implementation"),
    ]

    # Side by side, the slow one would be the last.
    coordinator = ParallelCoordinatorV2("output", personas={"analyst": {"latency_seconds": 0.2}})

    result = coordinator.execute_parallel_sync("Build X", contracts)

    assert result.success
    store = shared_runtime(state_dir).store
    phases = [record.phase for record in store.checkpoints.scan(result.session_id)]
    assert phases == ["init", "requirements", "implementation"]


def test_a_session_of_something_else_is_a_conflict() -> None:
    executor().execute_sync("Build API", contract(), {"session_id": "exec_001"})

    with pytest.raises(SessionConflict, match="session 'exec_001' was started with another"):
        executor().execute_sync("Build another API", contract(), {"session_id": "exec_001"})


def test_what_is_given_is_checked_before_anything_is_started(state_dir: Path) -> None:
    with pytest.raises(ContextInvalid, match="context max_attempt: 'max_attempt' is not a known"):
        executor().execute_sync("Build API", contract(), {"max_attempt": 3})
    with pytest.raises(TeamFileInvalid, match=r"contracts\[0\]\.depends_on: must not be given"):
        executor().execute_sync("Build API", contract(after=[], depends_on=[]))
    with pytest.raises(TeamFileInvalid, match=r"personas\.backend_developer\.max_attempts: must"):
        executor(max_attempts=0).execute_sync("Build API", contract())

    assert not state_dir.exists()


def test_an_executor_stays_with_the_state_directory_it_was_made_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, state_dir: Path
) -> None:
    made = PersonaExecutorV2("dev", tmp_path / "output", state_dir="here")
    monkeypatch.chdir(tmp_path.parent)
    monkeypatch.setenv("MAESTRO_STATE_DIR", str(tmp_path / "there"))

    assert made.execute_sync("Build API", contract()).success

    assert (tmp_path / "here" / "data").is_dir()
    assert not (tmp_path / "there").exists()


def test_loops_and_threads_share_one_runtime_and_one_session() -> None:
    start = threading.Barrier(4)

    def call() -> tuple[str, int]:
        start.wait(BOUND_SECONDS)
        result = asyncio.run(executor(latency_seconds=0.05).execute("Build API", contract()))
        return result.session_id, result.attempts

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: call(), range(4)))

    assert len(set(found)) == 1
    assert found[0][1] == 1


def test_a_shared_runtime_owns_its_directory_until_it_is_closed(state_dir: Path) -> None:
    """A symbolic link to a directory is the same directory."""
    link = state_dir.with_name("link")
    runtime = shared_runtime(state_dir)
    link.symlink_to(state_dir)

    assert shared_runtime(link) is runtime
    program = "from maestro_runtime import open_runtime as o; o('state')"
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=120
    )
    assert StateOwned.__name__ in result.stderr
    close_shared_runtimes()
    assert shared_runtime(state_dir) is not runtime


def test_a_program_that_ends_in_the_middle_closes_its_runtime_in_order(state_dir: Path) -> None:
    """What was in flight counts as interrupted, with its usage booked: not as lost in a crash."""
    program = (
        "import threading\n"
        "from persona_executor_v2 import PersonaExecutorV2\n"
        "from maestro_runtime.executors import shared_runtime\n"
        "begun = threading.Event()\n"
        "def note(event):\n"
        "    if event.kind == 'attempt_started': begun.set()\n"
        "shared_runtime().subscribe(note)\n"
        "c = {'id': 'a', 'name': 'a', 'deliverables': [{'name': 'a', 'artifacts': ['a.md']}]}\n"
        "PersonaExecutorV2('dev', 'output').execute_sync('x', c)\n"
        "begun.clear()\n"
        "e = PersonaExecutorV2('dev', 'output', persona_config={'latency_seconds': 600})\n"
        "threading.Thread(target=e.execute_sync, args=('x', c), daemon=True).start()\n"
        "assert begun.wait(20)\n"
    )

    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=120
    )

    assert result.returncode == 0, result.stderr
    assert "cannot schedule new futures" not in result.stderr
    calls = list(shared_runtime(state_dir).store.calls.scan())
    assert [call.state for call in calls] == ["settled", "settled"]
