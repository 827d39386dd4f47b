"""The process of a command: what a signal does to it, and its exit code."""

import signal
import sys
from types import FrameType
from typing import Final, NoReturn

INTERRUPTED: Final = 130
"""Ctrl-C; see `ExitCode`, which is not loaded yet when it may come."""

TERMINATED: Final = 143
"""SIGTERM."""


class Terminated(BaseException):
    """SIGTERM arrived; a BaseException so that nothing on the way takes it for an error."""


def terminate(_signal: int, _frame: FrameType | None) -> NoReturn:
    """Handle SIGTERM: have all that is open closed in order, on the way out."""
    raise Terminated


def main() -> NoReturn:
    """Run the command line and exit with the code that tells what happened.

    From its first line on a signal has a defined end, also while modules are loaded: 130 or 143,
    and 0 for `serve`, which is stopped by them.
    """
    try:
        signal.signal(signal.SIGTERM, terminate)
        from maestro_runtime.cli._main import run_command

        code = run_command()
    except Terminated:
        code = TERMINATED
    except KeyboardInterrupt:
        code = INTERRUPTED
    if code in (INTERRUPTED, TERMINATED) and sys.argv[1:2] == ["serve"]:
        code = 0
    sys.exit(code)
