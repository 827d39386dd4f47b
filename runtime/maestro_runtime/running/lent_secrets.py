"""Secrets of sessions, which a redactor knows for as long as somebody may say them."""

import threading
import time
from collections import deque
from collections.abc import Callable, Collection
from typing import Final

from maestro_runtime.redaction import Redactor

LATE_SECONDS: Final = 600.0
"""How long the secrets of a session stay known after its end: what it has said may come late."""

LATE_MAX: Final = 1_000
"""Sessions of which that holds; those that ended longest ago are forgotten earlier."""


class LentSecrets:
    """Lends secrets to a redactor. Any thread; costs nothing for sessions that have none."""

    def __init__(
        self, redactor: Redactor, monotonic_seconds: Callable[[], float] = time.monotonic
    ) -> None:
        self._redactor: Final = redactor
        self._monotonic_seconds: Final = monotonic_seconds
        self._lock = threading.Lock()
        self._late: deque[tuple[float, Collection[str]]] = deque()
        """What is to be forgotten, and when, oldest first."""

    def lend(self, secrets: Collection[str]) -> None:
        """Have secrets known from now on."""
        if secrets:
            self._redactor.learn(secrets)

    def take_back(self, secrets: Collection[str]) -> None:
        """Have secrets that were lent once forgotten in a while, and now those whose time has come.

        Nobody is woken for that: what was taken back last stays known until another one is.
        """
        if not secrets:
            return
        now_seconds = self._monotonic_seconds()
        with self._lock:
            self._late.append((now_seconds + LATE_SECONDS, secrets))
            while self._late and (self._late[0][0] <= now_seconds or len(self._late) > LATE_MAX):
                self._redactor.forget(self._late.popleft()[1])
