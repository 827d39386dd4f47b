"""A stop flag that costs nothing until somebody waits for it."""

from __future__ import annotations

import threading
from typing import Final

import msgspec

# Only for the first wait on a flag; an actor that nobody waits for never takes it.
_lock: Final = threading.Lock()


class StopFlag(msgspec.Struct, gc=False):
    """Stands in for the `threading.Event` of an actor, which would take 1.2 KB for each."""

    stopped: bool = False
    """Read where a call of `is_set` for each message would be felt; only `set` writes it."""
    _event: threading.Event | None = None

    def is_set(self) -> bool:
        """Tell whether the actor has been stopped."""
        return self.stopped

    def set(self) -> None:
        """Stop; whoever waits goes on."""
        # No lock, as with a mailbox: say it first and look second; `wait` does it the other way
        # round, so at least one of the two sees the other.
        self.stopped = True
        if self._event is not None:
            self._event.set()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the flag is set, at most `timeout` seconds; tell whether it is set."""
        with _lock:
            if self._event is None:
                self._event = threading.Event()
        return self.stopped or self._event.wait(timeout)
