"""A small team whose every engine run is recorded outside the runtime, for tests that kill it."""

import textwrap
from pathlib import Path

import msgspec

from program import RICH_TOKENS, Engine, Program, Task

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
            {
                "call_id": task.call_id,
                "task_id": task.task_id,
                "ordinal": task.ordinal,
                "workspace": Path(task.workspace).name,
            }
        )
        log = os.open(task.options["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(log, (line + "\\n").encode())
        finally:
            os.close(log)
        # Long enough for a kill to find the call in flight.
        threading.Event().wait(0.01)
        if task.ordinal <= task.options["fails_first"].get(task.task_id, 0):
            raise Transient("scripted")
        Path(task.workspace, f"{task.task_id}.txt").write_text(task.requirement)
        return {"input_tokens": 10, "output_tokens": 5}
    '''
)


class Run(msgspec.Struct, frozen=True):
    """One run of the engine, as it recorded itself outside the killed process."""

    call_id: str
    task_id: str
    ordinal: int
    workspace: str = ""
    """Name of the directory it ran in, if it says so."""


def write_team(directory: Path, tasks_per_phase: int = 2) -> Path:
    """Write a program of two phases and the module of its engine; return the team file."""
    (directory / "crash_work.py").write_text(WORK)
    tasks = [
        Task(name, phase, ("dev", "qa")[place % 2], failures=int(name == "b"))
        for phase, names in (("one", "abcdefgh"), ("two", "mnopqrst"))
        for place, name in enumerate(names[:tasks_per_phase])
    ]
    program = Program(
        personas={"dev": RICH_TOKENS, "qa": RICH_TOKENS},
        phases={"one": (), "two": ("one",)},
        tasks={task.task_id: task for task in tasks},
        failures_max=5,
    )
    engine = Engine("python", ("log", directory / "engine.log"), callable="crash_work:work")
    return program.write(directory, engine)


def engine_runs(directory: Path) -> list[Run]:
    """Read what the engine recorded, in the order it ran."""
    log = directory / "engine.log"
    if not log.exists():
        return []
    return [msgspec.json.decode(line, type=Run) for line in log.read_bytes().splitlines()]
