"""A module of this folder that runs in a process of its own and is spoken to in lines."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Child:
    """One that prints a line when it is ready, and then one for each line it is given."""

    def __init__(self, name: str, process: "subprocess.Popen[str]") -> None:
        """Wait until it is ready.

        Raises:
            RuntimeError: It has ended before.
        """
        self._name = name
        self._process = process
        self.greeting = self._line()
        """What it has printed first."""

    def ask(self, text: str) -> str:
        """Give it a line and return its answer.

        Raises:
            RuntimeError: It has ended before it answered.
        """
        assert self._process.stdin is not None
        self._process.stdin.write(f"{text}\n")
        self._process.stdin.flush()
        return self._line()

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._name} has ended with exit code {self._process.wait()}")
        return line.strip()


@contextmanager
def started(module: str, *arguments: object) -> Iterator[Child]:
    """Lend a module of this folder as a child; it is killed at the end, whatever it does."""
    argv = [sys.executable, str(Path(__file__).with_name(f"{module}.py")), *map(str, arguments)]
    with subprocess.Popen(  # noqa: S603 - our own module
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield Child(module, process)
        finally:
            process.kill()
