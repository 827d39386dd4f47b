"""DBOS on SQLite: workflows of durable steps, on the threads of its executor."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from measure import Options

STEPS_MIN = 20
"""Of a workflow, because to begin and to end one costs as much as some steps."""
THREADS_MAX = 64
"""Workflows at the same time; more of them only fight for SQLite's lock."""


class Workflows:
    """One DBOS for the process: it knows no more than one."""

    def __init__(self, dbos: Any, directory: Path) -> None:
        """Launch it; `dbos` is its module."""
        self._dbos = dbos.DBOS
        config = {
            "name": "bench",
            "system_database_url": f"sqlite:///{directory}/dbos.sqlite",
            "log_level": "ERROR",
            "run_admin_server": False,
        }
        self._dbos(config=config)

        @self._dbos.step()  # type: ignore[untyped-decorator] # the module is imported by name
        def step() -> int:
            return 1

        @self._dbos.workflow()  # type: ignore[untyped-decorator] # as above
        def workflow(steps: int) -> None:
            for _ in range(steps):
                step()

        self._workflow = workflow
        self._dbos.launch()

    def run(self, steps: int, concurrent: int) -> None:
        """Run `steps` steps in up to `concurrent` workflows at the same time."""
        width = min(concurrent, THREADS_MAX, max(1, steps // STEPS_MIN))
        shares = [steps // width + (place < steps % width) for place in range(width)]
        handles = [self._dbos.start_workflow(self._workflow, share) for share in shares]
        for handle in handles:
            handle.get_result()

    def close(self) -> None:
        """Let it go."""
        self._dbos.destroy()


@contextmanager
def open_workflows(options: Options, directory: Path) -> Iterator[Workflows | None]:
    """Lend the workflows; None if DBOS is absent."""
    dbos = options.peer("dbos")
    if dbos is None:
        yield None
        return
    workflows = Workflows(dbos, directory)
    try:
        yield workflows
    finally:
        workflows.close()
