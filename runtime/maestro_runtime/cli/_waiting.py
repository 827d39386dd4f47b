"""How long a command waits for a session, and what ends the wait before the session."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

TICKET_SECONDS: Final = 5.0
"""How long a command waits for the tickets of its session before it leaves them pending."""


class TimedOut(Exception):
    """The session was waited for as long as the caller said."""


class Terminated(BaseException):
    """SIGTERM arrived; a BaseException so that nothing on the way takes it for an error."""


class Deadline:
    """When a wait ends."""

    def __init__(self, seconds: float | None) -> None:
        """Begin to wait; None: for ever."""
        self._at = None if seconds is None else time.monotonic() + seconds

    def check(self) -> None:
        """Raise TimedOut if it has passed."""
        if self._at is not None and time.monotonic() >= self._at:
            raise TimedOut


@contextmanager
def terminable() -> Iterator[None]:
    """Turn SIGTERM into an exception of the main thread, so that all is closed in order."""

    def terminate(_signal: int, _frame: FrameType | None) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
