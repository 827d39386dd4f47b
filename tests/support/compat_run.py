"""Executors in a process that tests kill: work that reports itself outside, and may be held up.

A directory tells what is to happen. As long as there is a pipe named `held-<attempt>` in it, that
attempt says so on the pipe and then does nothing, until somebody kills the process.
"""

import asyncio
import json
import os
import signal
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from maestro_hive.unified_execution import (
    BreakerConfig,
    ExecutionConfig,
    HelpNeeded,
    PersonaExecutor,
    PersonaResult,
    RecoverableError,
    RetryConfig,
    SafetyRetryWrapper,
    StateConfig,
    StateManager,
    UnrecoverableError,
)
from maestro_runtime import Runtime
from maestro_runtime.engines.python import Task
from maestro_runtime.executors import shared_runtime

CONTRACT: Mapping[str, Any] = {
    "id": "contract_001",
    "name": "Backend API Contract",
    "provider_persona_id": "backend_developer",
    "deliverables": [{"name": "api", "artifacts": ["src/*.py"]}],
}
REQUIREMENT = "Build API"
QUICK = RetryConfig(backoff_seconds=0.01, backoff_max_seconds=0.01, round_backoff_seconds=(0.01,))

ONE_ROUND = msgspec.structs.replace(QUICK, max_attempts=2, max_rounds=1)


def work(task: Task) -> dict[str, int]:
    """Fail or write the deliverable, as the options of the persona say; a line for each attempt."""
    directory = Path(task.options["directory"])
    with (directory / "attempts.log").open("a") as log:
        log.write(f"{task.ordinal}\n")
    hold = directory / f"held-{task.ordinal}"
    if hold.exists():
        hold.write_text("here")
        threading.Event().wait()
    if task.ordinal in task.options["fails"]:
        raise RecoverableError(f"rehearsed in attempt {task.ordinal}")
    if task.ordinal in task.options["gives_up"]:
        raise UnrecoverableError("there is no such API")
    source = Path(task.workspace, "src")
    source.mkdir(exist_ok=True)
    (source / "api.py").write_text("API = 1\n")
    return {"input_tokens": 10, "output_tokens": 5}


def executor(
    directory: Path,
    *,
    fails: tuple[int, ...] = (),
    gives_up: tuple[int, ...] = (),
    retry: RetryConfig = QUICK,
    failures_max: int = 50,
    auto_resume: bool = True,
) -> PersonaExecutor:
    """Return an executor whose state and output are in `directory`."""
    config = ExecutionConfig(
        retry=retry,
        breaker=BreakerConfig(failures_max=failures_max),
        state=StateConfig(state_dir=directory / "state", auto_resume=auto_resume),
    )
    options = {"directory": str(directory), "fails": list(fails), "gives_up": list(gives_up)}
    return PersonaExecutor(
        "backend_developer",
        directory / "output",
        work,
        config=config,
        persona_config={"options": options},
    )


def attempts(directory: Path) -> list[int]:
    """Return the ordinals of the attempts that work has begun."""
    return [int(line) for line in (directory / "attempts.log").read_text().splitlines()]


def held(directory: Path, attempt: int) -> Path:
    """Have an attempt held up; open the pipe for reading to wait for it."""
    path = directory / f"held-{attempt}"
    os.mkfifo(path)
    return path


def main(directory: str, level: str, fails: str, failures_max: str = "50") -> None:
    """Execute the contract at a level, or just look; leave in `outcome.json` what came of it.

    If there is a pipe named `breaker`, the state of the breaker goes into it when it changes.
    """
    place = Path(directory)
    if (place / "breaker").exists():
        runtime = shared_runtime(place / "state")
        assert isinstance(runtime, Runtime)
        runtime.subscribe_breakers(lambda change: _tell(place / "breaker", change.state))
    scripted = tuple(int(ordinal) for ordinal in fails.split())
    made = executor(place, fails=scripted, failures_max=int(failures_max))
    found = {
        "found": made.session_id,
        "found_attempts": made.attempts,
        "found_status": made.final_status,
        "circuit": SafetyRetryWrapper(made).circuit_state,
    }
    outcome = {} if level == "look" else asyncio.run(_outcome(made, level))
    (place / "outcome.json").write_text(json.dumps({**found, **outcome}))


def set_and_die(directory: str) -> None:
    """Set a value, and be killed."""
    StateManager(Path(directory) / "state").set_state("progress", {"done": [1, 2]})
    os.kill(os.getpid(), signal.SIGKILL)


def _tell(pipe: Path, text: str) -> None:
    pipe.write_text(text)


async def _outcome(made: PersonaExecutor, level: str) -> dict[str, Any]:
    runner = made if level.startswith("1") else SafetyRetryWrapper(made)
    result: PersonaResult | None
    try:
        if level.endswith("restore"):
            result = await runner.restore_latest()
        else:
            result = await runner.execute(REQUIREMENT, CONTRACT)
    except (UnrecoverableError, HelpNeeded) as error:
        return {"raised": type(error).__name__, "text": str(error), "attempts": made.attempts}
    if result is None:
        return {"raised": "", "attempts": made.attempts}
    return {
        "raised": "",
        "success": result.success,
        "attempts": result.attempts,
        "artifacts": result.artifacts,
        "session_id": result.session_id,
    }
