"""Programs that run, and may be killed, in a process of their own."""

import multiprocessing
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from typing import Final

BOUND_SECONDS: Final = 40.0

# No fork of the caller: its threads would be gone and its locks held.
_context: Final = multiprocessing.get_context("forkserver")


def preload(*modules: str) -> None:
    """Have processes that are started from now on find modules imported; before the first one."""
    _context.set_forkserver_preload(list(modules))


def start_program(main: Callable[..., None], *arguments: object) -> BaseProcess:
    """Start `main`, a function of a module that can be imported by its name, and return at once.

    It does not outlive this process.
    """
    process = _context.Process(target=main, args=arguments, daemon=True)
    process.start()
    return process


def end_of(process: BaseProcess) -> int:
    """Wait for a process and return its exit code; a killed one has the negative signal.

    Raises:
        TimeoutError: It did not end within 40 seconds; it is killed now.
    """
    process.join(BOUND_SECONDS)
    code = process.exitcode
    if code is None:
        process.kill()
        process.join()
        raise TimeoutError(f"process {process.pid} did not end within {BOUND_SECONDS:g} s")
    process.close()
    return code


def run_program(main: Callable[..., None], *arguments: object) -> int:
    """Run `main` to its end in a process of its own; as `start_program` and `end_of`."""
    return end_of(start_program(main, *arguments))
