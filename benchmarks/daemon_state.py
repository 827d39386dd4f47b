"""A daemon to measure, in a process of its own."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from maestro_runtime.wire.line import SOCKET_NAME

END_SECONDS_MAX: Final = 120.0


@contextmanager
def served(state: Path) -> Iterator[Path]:
    """Lend the socket of a daemon over a state; it ends in order.

    Raises:
        RuntimeError: It does not start, or ends with an error.
    """
    log = state.with_suffix(".log")
    argv = [sys.executable, "-m", "maestro_runtime", "serve", "--state-dir", str(state)]
    with log.open("wb") as errors, subprocess.Popen(argv, stderr=subprocess.PIPE) as daemon:  # noqa: S603 - our own command line
        assert daemon.stderr is not None
        try:
            for line in daemon.stderr:
                errors.write(line)
                if b"ready" in line:
                    yield state / SOCKET_NAME
                    break
        finally:
            daemon.terminate()
            # What it says from now on is read all the same: a full pipe would hold it up.
            _, rest = daemon.communicate(timeout=END_SECONDS_MAX)
            errors.write(rest)
    if daemon.returncode:
        raise RuntimeError(f"the daemon ended with exit code {daemon.returncode}: see {log}")
