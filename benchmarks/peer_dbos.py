"""DBOS on SQLite and on PostgreSQL: workflows of durable steps, on the threads of its executor."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from child import Child, started
from measure import Options

STEPS_MIN: Final = 20
"""Of a workflow, because to begin and to end one costs as much as some steps."""
THREADS_MAX: Final = 64
"""Workflows at the same time; more of them only fight for its lock."""


class Workflows:
    """One DBOS and its database."""

    def __init__(self, worker: Child) -> None:
        self._worker = worker

    def run(self, steps: int, concurrent: int) -> None:
        """Run `steps` steps in up to `concurrent` workflows at the same time."""
        width = min(concurrent, THREADS_MAX, max(1, steps // STEPS_MIN))
        self._worker.ask(f"{steps} {width}")


@contextmanager
def open_workflows(options: Options, url: str | None) -> Iterator[Workflows | None]:
    """Lend the workflows of a database; None if DBOS is absent, or the database is."""
    if url is None or not options.has("dbos"):
        yield None
        return
    with started("dbos_worker", url) as worker:
        yield Workflows(worker)
