"""What a child of a fork does, which has everything of its parent but the threads."""

import os
import signal
import traceback
import warnings
from collections.abc import Callable

WAIT_SECONDS = 20
"""Safety net; no test waits that long unless it fails."""


def run_in_fork(work: Callable[[], object]) -> int:
    """Fork, run `work` in the child; return its exit code, negative if a signal ended it."""
    with warnings.catch_warnings():
        # Newer Pythons warn of a fork beside threads, which is what is tested here.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        signal.alarm(WAIT_SECONDS)
        try:
            work()
        except BaseException:  # noqa: BLE001 - nothing may return into the parent's test run
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)
