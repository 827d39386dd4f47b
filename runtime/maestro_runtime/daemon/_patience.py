"""Opening a state that somebody else may own for a moment."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from maestro_runtime.options import RuntimeOptions
from maestro_runtime.runtime import Runtime
from maestro_runtime.wire.errors import DaemonUnreachable
from maestro_runtime.wire.line import SOCKET_NAME, Line
from maestro_storage.errors import StateOwned

PATIENCE_SECONDS: Final = 10.0
"""How long an owner that does not listen may take: a command that looks, or a backup."""

LOOK_SECONDS: Final = 0.1
"""Between two looks; the kernel has no lock with a time limit."""


def opened_patiently(
    state_dir: Path, options: RuntimeOptions, goes_on: Callable[[], bool]
) -> Runtime:
    """Open a runtime, once whoever only looks at its state has gone.

    A service manager that is told of another owner does not try again: a daemon that is restarted
    must not fail because of a command that lists sessions at this moment. Who runs sessions
    listens, or says that it does not, and is not waited for.

    Args:
        state_dir: Of the runtime.
        options: Of the runtime.
        goes_on: Asked before each further look.

    Raises: as `open_runtime`.
    """
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return Runtime(state_dir, options)
        except StateOwned as owned:
            stays = owned.is_silent or _listens(state_dir / SOCKET_NAME)
            if stays or not goes_on() or time.monotonic() > until:
                raise
        time.sleep(LOOK_SECONDS)


def _listens(path: Path) -> bool:
    try:
        Line(path).close()
    except DaemonUnreachable:
        return False
    return True
