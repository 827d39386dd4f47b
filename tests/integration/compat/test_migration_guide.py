"""The code and the commands of the platform's migration guide, as they are written there."""

import ast
import asyncio
import inspect
import os
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from maestro_actors.team import decode_team
from maestro_runtime.executors import shared_runtime
from persona_executor_v2 import PersonaExecutorV2

OLD_IMPORTS = [
    "from iterative_executor import IterativeExecutor",
    "from maestro_hive.core.execution.iterative_executor import IterativeExecutor",
    "from maestro_hive.execution.iterative_executor import IterativeExecutor",
]

IMPORTS = """\
from persona_executor_v2 import PersonaExecutorV2
from parallel_coordinator_v2 import ParallelCoordinatorV2
"""

INSTANTIATION = """\
from pathlib import Path

executor = PersonaExecutorV2(
    persona_id="backend_developer",
    output_dir=Path("./output")
)
result = await executor.execute(
    requirement="Build feature X",
    contract=your_contract,
    context={"max_attempts": 3}
)
"""

TOKEN_TRACKING = """\
from maestro_hive.cost.token_tracker import TokenTracker

# Create tracker with budget
tracker = TokenTracker(max_tokens_per_persona=100000)

# Record usage (automatic in V2 executors)
tracker.record(persona_id="backend_developer", tokens=5000)

# Check usage
usage = tracker.get_usage("backend_developer")
print(f"Used: {usage.tokens_used} / {usage.budget}")

# Get report
report = tracker.get_report()
"""

THRESHOLDS = """\
# In persona configuration
persona_config = {
    "max_attempts": 3,  # Default
    "token_budget": 100000,
    "give_up_on_failure": True
}
"""

THRESHOLDS_IN_A_SHELL = """\
# Or via environment
export MAESTRO_MAX_ATTEMPTS=3
export MAESTRO_TOKEN_BUDGET=100000
"""

PARALLEL = """\
from parallel_coordinator_v2 import ParallelCoordinatorV2

coordinator = ParallelCoordinatorV2(
    output_dir=Path("./output"),
    max_parallel_workers=4
)

result = await coordinator.execute_parallel(
    requirement="Build feature X",
    contracts=contracts_list,
    context={"session_id": "exec_001"}
)

# Access results
for persona_id, persona_result in result.persona_results.items():
    print(f"{persona_id}: {persona_result.quality_score}")
"""

CONTRACT_BASED = """\
contract = {
    "id": "contract_001",
    "name": "Backend API Contract",
    "provider_persona_id": "backend_developer",
    "deliverables": [
        {"name": "api", "artifacts": ["src/*.py"]}
    ]
}

result = await executor.execute(
    requirement="Build API",
    contract=contract
)
"""

RESULT = """\
result.success
result.artifacts  # List of created files
result.quality_score  # 0.0 - 1.0
result.contract_fulfilled  # Boolean
result.duration_seconds
result.tokens_used
"""

LARGER_BUDGET = "tracker = TokenTracker(max_tokens_per_persona=200000)"

VERIFICATION = [
    """python -c "from persona_executor_v2 import PersonaExecutorV2; print('OK')\"""",
    """python -c "from maestro_hive.cost.token_tracker import TokenTracker; print('OK')\"""",
]
RUN_TESTS = "PYTHONPATH=src python -m pytest tests/ -v"


def contract(name: str, persona_id: str, glob: str, **more: Any) -> dict[str, Any]:
    return {
        "id": name,
        "name": name,
        "provider_persona_id": persona_id,
        "deliverables": [{"name": name, "artifacts": [glob]}],
        **more,
    }


async def run(block: str, names: dict[str, Any]) -> None:
    """Run a block whose `await` stands at the top level, as in a notebook."""
    code = compile(block, "guide", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    if code.co_flags & inspect.CO_COROUTINE:
        await types.FunctionType(code, names)()
    else:
        exec(code, names)  # noqa: S102 - what the test is about


@pytest.mark.parametrize("line", OLD_IMPORTS)
def test_an_import_of_a_removed_executor_says_what_to_import(line: str) -> None:
    with pytest.raises(ImportError, match="from persona_executor_v2 import PersonaExecutorV2"):
        exec(line, {})  # noqa: S102 - as above


def test_the_blocks_of_the_guide_run_one_after_the_other(
    capsys: pytest.CaptureFixture[str],
) -> None:
    names: dict[str, Any] = {
        "your_contract": contract("feature_x", "backend_developer", "src/feature/*.py"),
        "contracts_list": [
            contract("backend", "backend_developer", "src/backend/*.py"),
            contract("tests", "qa_engineer", "tests/*.py", depends_on=["backend"]),
            contract("manual", "backend_developer", "docs/*.md", after=["tests"]),
        ],
    }

    async def read_the_guide() -> None:
        for block in (IMPORTS, INSTANTIATION, RESULT, TOKEN_TRACKING, THRESHOLDS, LARGER_BUDGET):
            await run(block, names)
        assert names["result"].success
        assert names["result"].artifacts == ["src/feature/feature_x.py"]
        await run(PARALLEL, names)
        assert names["result"].success
        assert names["result"].session_id == "exec_001"
        await run(CONTRACT_BASED, names)
        await run(RESULT, names)

    asyncio.run(read_the_guide())

    assert capsys.readouterr().out.splitlines() == [
        "Used: 5000 / 100000",
        "backend_developer: 1.0",
        "qa_engineer: 1.0",
    ]
    result = names["result"]
    assert (result.success, result.contract_fulfilled, result.quality_score) == (True, True, 1.0)
    assert result.artifacts == ["src/api.py"]
    assert Path("output/src/api.py").is_file()
    assert result.tokens_used > 0
    assert names["report"]["backend_developer"].tokens_used == 5000


def test_an_execution_has_to_be_awaited() -> None:
    """In the guide, `result = executor.execute(...)` is old and the same with `await` is new."""
    executor = PersonaExecutorV2("backend_developer", "output")

    unawaited = executor.execute("Build API", contract("api", "backend_developer", "src/*.py"))

    assert inspect.iscoroutine(unawaited)
    assert asyncio.run(unawaited).success


def test_the_thresholds_go_into_a_constructor_a_context_and_the_environment(
    monkeypatch: pytest.MonkeyPatch, state_dir: Path
) -> None:
    names: dict[str, Any] = {}
    exec(THRESHOLDS, names)  # noqa: S102 - as above
    exported = subprocess.run(
        ["/bin/bash", "-c", f"{THRESHOLDS_IN_A_SHELL}\nenv -0"],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    ).stdout
    environment = dict(line.split("=", 1) for line in exported.split("\0") if line)
    wanted = contract("api", "backend_developer", "src/*.py")
    config = names["persona_config"]
    ids = []

    def executed(context: dict[str, Any], **more: Any) -> None:
        executor = PersonaExecutorV2("backend_developer", "output", **more)
        ids.append(executor.execute_sync("Build API", wanted, context).session_id)

    executed({}, persona_config=config)
    executed({"persona_config": config})
    executed(config)
    for name in ("MAESTRO_MAX_ATTEMPTS", "MAESTRO_TOKEN_BUDGET"):
        monkeypatch.setenv(name, environment[name])
    executed({})
    # Which are the built-in ones: all four are the same order, and so the same session.
    assert len(set(ids)) == 1
    monkeypatch.setenv("MAESTRO_MAX_ATTEMPTS", "4")
    executed({}, persona_config=config)

    assert ids[-1] != ids[0]
    store = shared_runtime(state_dir).store
    record = store.require_session(ids[-1])
    team = decode_team(store.payloads.require(record.team))
    assert team.personas["backend_developer"].retry.max_attempts == 4


@pytest.mark.parametrize("command", VERIFICATION)
def test_a_verification_command_prints_ok(command: str) -> None:
    assert shell(command).stdout == "OK\n"


def test_the_tests_of_a_project_run_as_the_guide_says(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "tests").mkdir()
    (tmp_path / "src" / "project.py").write_text(IMPORTS)
    test = "import project\ndef test_it() -> None:\n    assert project.PersonaExecutorV2\n"
    (tmp_path / "tests" / "test_project.py").write_text(test)

    assert "1 passed" in shell(RUN_TESTS).stdout


def shell(command: str) -> "subprocess.CompletedProcess[str]":
    """Run a command as a reader would, with the `python` of this environment."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path}
    result = subprocess.run(
        ["/bin/bash", "-c", command],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result
