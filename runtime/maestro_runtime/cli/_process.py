"""The process of a command: what a signal does to it, and its exit code."""

import os
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


def leave(_signal: int, _frame: FrameType | None) -> NoReturn:
    """Handle what stops a daemon until it hears signals itself: nothing is open yet.

    Not by an exception: Python drops one in a callback, as imports have, and the daemon would go on
    for ever.
    """
    os._exit(0)


def main() -> NoReturn:
    """Run the command line and exit with the code that tells what happened.

    From its first line on a signal has a defined end, also while modules are loaded: 130 or 143,
    and 0 for `serve`, which is stopped by them.
    """
    is_daemon = sys.argv[1:2] == ["serve"]
    try:
        if is_daemon:
            signal.signal(signal.SIGINT, leave)
        signal.signal(signal.SIGTERM, leave if is_daemon else terminate)
        from maestro_runtime.cli._main import run_command

        code = run_command()
    except Terminated:
        code = TERMINATED
    except KeyboardInterrupt:
        code = INTERRUPTED
    sys.exit(code)
