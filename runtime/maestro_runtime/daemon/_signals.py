"""Signals of the process, one after the other: none is lost, none is late."""

import select
import signal
import socket
from contextlib import suppress
from types import FrameType
from typing import Final, Self

HEARD: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)

SIGNALS_MAX: Final = 64
"""Read at once; the others are there for the next look."""


class Signals:
    """Hears the signals of a daemon while it is entered. Main thread, but for `wake`.

    Python runs handlers in the main thread only, when that gets round to it; the number of a signal
    is in the pipe at once, whichever thread the kernel has chosen.
    """

    def __init__(self) -> None:
        self._ears, self._mouth = socket.socketpair()
        self._ears.settimeout(0)
        self._mouth.settimeout(0)

    def __enter__(self) -> Self:
        # First: what is noticed without it is lost.
        signal.set_wakeup_fd(self._mouth.fileno(), warn_on_full_buffer=False)
        # Not blocked by a mask, which engines would inherit; a handler is gone after an exec.
        self._before = {number: signal.signal(number, _noticed) for number in HEARD}
        return self

    def __exit__(self, *_: object) -> None:
        signal.set_wakeup_fd(-1)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._ears.close()
        self._mouth.close()

    def wait(self, timeout_seconds: float) -> list[int]:
        """Return the signals that have come, oldest first; waits for one, or for `wake`."""
        if not select.select([self._ears], [], [], max(0.0, timeout_seconds))[0]:
            return []
        return [number for number in self._ears.recv(SIGNALS_MAX) if number]

    def wake(self) -> None:
        """End a wait. Any thread; after the end it does nothing."""
        with suppress(OSError):
            self._mouth.send(b"\0")


def _noticed(_number: int, _frame: FrameType | None) -> None:
    """Do nothing: without a handler the signal would end the process."""
