"""How long a command waits for a session, and what ends the wait before the session."""

import time
from typing import Final

TICKET_SECONDS: Final = 5.0
"""How long a command waits for the tickets of its session before it leaves them pending."""


class TimedOut(Exception):
    """The session was waited for as long as the caller said."""


class Deadline:
    """When a wait ends."""

    def __init__(self, seconds: float | None) -> None:
        """Begin to wait; None: for ever."""
        self._at = None if seconds is None else time.monotonic() + seconds

    def check(self) -> None:
        """Raise TimedOut if it has passed."""
        if self._at is not None and time.monotonic() >= self._at:
            raise TimedOut
