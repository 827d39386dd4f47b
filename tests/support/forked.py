"""Processes that begin with everything imported: some 10 ms each, for tests that kill."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Final
from unittest.mock import patch

from maestro_runtime.testing import end_of, start_program
from maestro_runtime.testing.processes import preload

PLUGINS: Final = Path(__file__).parent / "plugins"

# The packages load lazily: only their modules bring what a run uses.
preload(
    *("maestro_runtime.runtime", "maestro_runtime.tickets.webhook"),
    *("maestro_runtime.config.team_file", "maestro_runtime.cli._progress"),
    *("clearing", "mortal", "observer", "posting_sink", "witnessed"),
)


def start(main: Callable[..., None], *arguments: object) -> BaseProcess:
    """Start `main` of an importable module in a process that finds the engines of the tests."""
    with _finding_the_tests():
        return start_program(_run, main, arguments)


def run(main: Callable[..., None], *arguments: object) -> int:
    """Run `main` to its end and return the exit code; a killed one has the negative signal."""
    return end_of(start(main, *arguments))


@contextmanager
def server(main: Callable[..., None], *arguments: object) -> Iterator[None]:
    """Let `main` serve for ever in a process of its own, until the end of the context."""
    process = start(main, *arguments)
    try:
        yield
    finally:
        process.kill()
        process.join()
        process.close()


def say_into(path: Path) -> None:
    """Let what this process says of errors go to a file."""
    os.dup2(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), sys.stderr.fileno())


@contextmanager
def _finding_the_tests() -> Iterator[None]:
    """Let the server of all forks, which the first start begins, find the modules of the tests.

    It is not told where they are, but for this.
    """
    with patch.dict(os.environ, {"PYTHONPATH": str(PLUGINS.parent)}):
        yield


def _run(main: Callable[..., None], arguments: tuple[object, ...]) -> None:
    sys.path.insert(0, str(PLUGINS))
    os.environ.pop("PYTHONPATH", None)
    for name in [name for name in os.environ if name.startswith("MAESTRO_")]:
        del os.environ[name]
    main(*arguments)
