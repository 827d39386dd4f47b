"""A bell: wakes an event loop from other threads."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable


class Bell:
    """Has one function called on a loop, with half of the system calls of `call_soon_threadsafe`.

    However often it is rung, the function is called once for all that has gathered.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, answer: Callable[[], None]) -> None:
        """Hang a bell for a loop that does not run yet, or on its thread."""
        self._answer = answer
        self._lock = threading.Lock()
        self._descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._closed = False
        try:
            loop.add_reader(self._descriptor, self._rung)
        except BaseException:
            os.close(self._descriptor)
            raise

    def ring(self) -> None:
        """Have the function called soon. Any thread; nothing happens once the bell is closed."""
        # Under the lock, as it must not ring the descriptor of somebody else.
        with self._lock:
            if not self._closed:
                os.eventfd_write(self._descriptor, 1)

    def close(self) -> None:
        """Take the bell down, once the loop is closed."""
        with self._lock:
            self._closed = True
            os.close(self._descriptor)

    def _rung(self) -> None:
        os.eventfd_read(self._descriptor)
        self._answer()
