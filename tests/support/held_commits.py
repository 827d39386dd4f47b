"""A journal whose commits a test holds and lets go."""

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from maestro_runtime import Runtime

BOUND_SECONDS = 20.0


class HeldCommits:
    """Lets commits through until it is told to hold them; counts the sessions after each."""

    def __init__(self) -> None:
        self.runtime: Runtime | None = None
        self.sessions: list[int] = []
        """On record after each commit since the first was held."""
        self._open = threading.Event()
        self._open.set()
        self._entered = threading.Event()
        self._failure: BaseException | None = None

    def hold(self) -> None:
        """Hold the next commit, and those behind it."""
        self._open.clear()

    def wait_for_one(self) -> None:
        """Wait until a commit is held."""
        assert self._entered.wait(BOUND_SECONDS)

    def let_go(self, failure: BaseException | None = None) -> None:
        """Let commits through from now on, or have the one that is held fail."""
        self._failure = failure
        self._open.set()

    def before_commit(self, _number: int) -> None:
        if not self._open.is_set():
            self._entered.set()
            assert self._open.wait(BOUND_SECONDS)
        if self._failure is not None:
            raise self._failure

    def after_commit(self, _number: int) -> None:
        if self.runtime is not None and self._entered.is_set():
            self.sessions.append(sum(1 for _ in self.runtime.store.sessions.scan()))
