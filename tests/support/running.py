"""A command line that runs beside a test."""

from collections.abc import Iterator
from contextlib import contextmanager
from subprocess import Popen
from typing import Final

BOUND_SECONDS: Final = 120.0


@contextmanager
def killed_at_the_end(process: Popen[str]) -> Iterator[Popen[str]]:
    """Lend a process that does not outlive its test, however that ends."""
    with process:
        try:
            yield process
        finally:
            process.kill()
            process.communicate(timeout=BOUND_SECONDS)


def wait_for_line(process: Popen[str], text: str) -> None:
    """Read what it says until a line has `text`; what is printed there is durable.

    Raises:
        EOFError: It ended without saying so.
    """
    said = []
    for line in process.stderr or ():
        said.append(line)
        if text in line:
            return
    raise EOFError(f"{text!r} was not said: {''.join(said)}")
