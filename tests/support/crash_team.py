"""A small team whose every engine run is recorded outside the runtime, for tests that kill it."""

import json
import textwrap
from pathlib import Path

import msgspec

WORK = textwrap.dedent(
    '''
    """The engine of the crash tests: says outside the runtime that it ran, then does its work."""

    import json
    import os
    import threading
    from pathlib import Path

    from maestro_runtime.engines.errors import Transient


    def work(task):
        line = json.dumps(
            {"call_id": task.call_id, "task_id": task.task_id, "ordinal": task.ordinal}
        )
        log = os.open(task.options["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(log, (line + "\\n").encode())
        finally:
            os.close(log)
        # Long enough for a kill to find the call in flight.
        threading.Event().wait(0.01)
        if task.task_id in task.options["fails_first"] and task.ordinal == 1:
            raise Transient("scripted")
        Path(task.workspace, f"{task.task_id}.txt").write_text(task.requirement)
        return {"input_tokens": 10, "output_tokens": 5}
    '''
)

TEAM = """
[team]
name = "crash"
requirement = "survive"
max_parallel_workers = 2
[defaults]
engine = "python"
callable = "crash_work:work"
max_attempts = {max_attempts}
backoff_seconds = 0.02
backoff_max_seconds = 0.05
round_backoff_seconds = [0.05]
token_budget = 1000000
options = {{ log = {log}, fails_first = ["b"] }}
[personas.dev]
[personas.qa]
[[budgets]]
id = "all"
window = "forever"
limit = 1000000
[[budgets]]
id = "recent"
scope = "persona"
window = "rolling:86400"
limit = 1000000
[[budgets]]
id = "requests"
metric = "requests"
limit = 1000000
[[budgets]]
id = "watched"
scope = "phase"
window = "month"
metric = "output"
limit = 20
action = "warn"
[[phases]]
name = "one"
[[phases]]
name = "two"
after = ["one"]
"""


class Run(msgspec.Struct, frozen=True):
    """One run of the engine, as it recorded itself outside the killed process."""

    call_id: str
    task_id: str
    ordinal: int


def write_team(directory: Path, tasks_per_phase: int = 2, max_attempts: int = 3) -> Path:
    """Write a team of two phases and the module of its engine; return the team file."""
    (directory / "crash_work.py").write_text(WORK)
    log = json.dumps(str(directory / "engine.log"))
    text = TEAM.format(log=log, max_attempts=max_attempts)
    for phase, names in (("one", "abcdefgh"), ("two", "mnopqrst")):
        for place, name in enumerate(names[:tasks_per_phase]):
            text += textwrap.dedent(
                f"""
                [[contracts]]
                id = "{name}"
                name = "contract {name}"
                phase = "{phase}"
                provider_persona_id = "{"qa" if place % 2 else "dev"}"
                deliverables = [{{ name = "file", artifacts = ["{name}.txt"] }}]
                """
            )
    path = directory / "team.toml"
    path.write_text(text)
    return path


def engine_runs(directory: Path) -> list[Run]:
    """Read what the engine recorded, in the order it ran."""
    log = directory / "engine.log"
    if not log.exists():
        return []
    return [msgspec.json.decode(line, type=Run) for line in log.read_bytes().splitlines()]
