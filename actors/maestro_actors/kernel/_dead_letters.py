"""Messages that reached nobody."""

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Final, Literal

import msgspec

_log: Final = logging.getLogger(__name__)

KEPT_COUNT: Final = 100

Reason = Literal["unknown", "stopped", "full", "failed"]
"""No actor at the address; it stopped first; its mailbox was full; its handler raised."""


class DeadLetter(msgspec.Struct, frozen=True):
    """One message that was not handled, or not to its end."""

    address: str
    message: Any
    reason: Reason


class DeadLetters:
    """Counts what was lost, keeps the last 100, and tells one listener. Any thread."""

    def __init__(self) -> None:
        self._listener: Callable[[DeadLetter], None] | None = None
        self._lock = threading.Lock()
        self._count = 0
        self._last: deque[DeadLetter] = deque(maxlen=KEPT_COUNT)

    @property
    def count(self) -> int:
        """Dead letters so far."""
        return self._count

    def last(self) -> list[DeadLetter]:
        """Return the newest dead letters, at most 100, oldest first."""
        with self._lock:
            return list(self._last)

    def listen(self, listener: Callable[[DeadLetter], None]) -> None:
        """Call `listener` with each later dead letter, in the thread that lost it.

        It replaces the listener before it. What it raises is logged, not passed on.
        """
        self._listener = listener

    def add(self, address: str, message: object, reason: Reason) -> None:
        """Record that `message` was lost on its way to `address`."""
        letter = DeadLetter(address, message, reason)
        with self._lock:
            self._count += 1
            self._last.append(letter)
        if self._listener is not None:
            try:
                self._listener(letter)
            except Exception:  # noqa: BLE001 - an observer's
                # The sender did nothing wrong and must not pay for its observer.
                _log.exception("Unhandled exception in the listener for dead letters:")
