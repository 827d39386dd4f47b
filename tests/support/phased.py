"""Teams of phases with one contract each, whose work a test can hold, fail, and look into."""

import os
import signal
import threading
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from maestro_actors.team import Contract, Deliverable, Persona, Phase, RetryPolicy, Team
from maestro_runtime.engines.python import Task

BOUND_SECONDS: Final = 20.0
LINE: Final = {"requirements": (), "design": ("requirements",), "build": ("design",)}
"""Three phases, one after the other."""


class Desk:
    """What the tasks of a test do: reset it at the start of the test."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.seen: dict[str, Task] = {}
        """The last order of each task."""
        self.failing: set[str] = set()
        self._held: dict[str, threading.Event] = {}
        self._begun: set[str] = set()
        self._changed = threading.Condition()

    def hold(self, *tasks: str) -> None:
        """Let tasks that begin from now on wait for `release`."""
        for task_id in tasks:
            self._held[task_id] = threading.Event()

    def release(self, *tasks: str) -> None:
        for task_id in tasks:
            self._held.pop(task_id).set()

    def wait_for(self, *tasks: str) -> None:
        """Wait until tasks have begun."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._begun.issuperset(tasks), BOUND_SECONDS), (
                f"not all of {tasks} have begun, but {self._begun}"
            )

    def serve(self, task: Task) -> dict[str, Any]:
        self.calls[task.task_id] += 1
        if "witness" in task.options:
            with Path(task.options["witness"]).open("a", encoding="utf-8") as file:
                file.write(f"{task.task_id}\n")
        if task.options.get("kill") == task.task_id and task.ordinal == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        self.seen[task.task_id] = task
        held = self._held.get(task.task_id)
        with self._changed:
            self._begun.add(task.task_id)
            self._changed.notify_all()
        if held is not None:
            assert held.wait(BOUND_SECONDS), f"{task.task_id} was not released"
        if task.task_id in self.failing:
            raise PermissionError(f"{task.task_id} is not allowed")
        Path(task.workspace, f"{task.task_id}.md").write_text(f"{task.task_id}\n")
        return {"output_tokens": 7, "decisions": {"blueprint": f"{task.task_id}-1"}}


DESK = Desk()


def work(task: Task) -> dict[str, Any]:
    """The callable of all personas."""
    return DESK.serve(task)


def phased(
    after: Mapping[str, tuple[str, ...]] = LINE, *, workers: int = 4, **options: str
) -> Team:
    """Return a team whose phases each owe `<phase>.md`.

    Options of its persona: `witness`, a file that gets a line for each call; `kill`, the task in
    whose first call the process dies.
    """
    retry = RetryPolicy(max_attempts=2, max_rounds=1, backoff_seconds=0.01)
    persona = Persona(
        persona_id="dev",
        engine="python",
        callable="phased:work",
        import_dir=str(Path(__file__).parent),
        retry=retry,
        options=options,
    )
    return Team(
        name="phased",
        requirement="notes",
        personas={"dev": persona},
        phases=tuple(Phase(name=name, after=names) for name, names in after.items()),
        contracts=tuple(
            Contract(
                id=name,
                name=f"the {name}",
                phase=name,
                provider_persona_id="dev",
                deliverables=(Deliverable(name="note", artifacts=(f"{name}.md",)),),
            )
            for name in after
        ),
        max_parallel_workers=workers,
    )
