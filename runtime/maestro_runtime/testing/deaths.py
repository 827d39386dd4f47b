"""Deaths at a commit: of a process by SIGKILL, and of a runtime within its process."""

import os
import signal
from collections.abc import Callable
from typing import Final, Literal

When = Literal["before", "after", "never"]
"""before: all of the commit is written, nothing durable. after: durable, and nobody is told.
never: it lives."""


class KillAtCommit:
    """Sends SIGKILL to its own process at one commit: a `RuntimeOptions.observer`."""

    def __init__(self, number: int, when: When = "before") -> None:
        """Choose the commit; the first one of the process is 1."""
        self._due: Final = (when, number)

    def before_commit(self, number: int) -> None:
        """See `CommitObserver.before_commit`."""
        self._strike("before", number)

    def after_commit(self, number: int) -> None:
        """See `CommitObserver.after_commit`."""
        self._strike("after", number)

    def _strike(self, when: When, number: int) -> None:
        if (when, number) == self._due:
            os.kill(os.getpid(), signal.SIGKILL)


class Killed(Exception):
    """Ends the journal, and with it all that a runtime could still do."""


class Death:
    """Ends a runtime at a commit and leaves its process alive; until then it counts commits.

    What was not durable by then is lost, and nobody hears of anything any more: for whoever opens
    the state next, that is a killed process.
    """

    def __init__(self, on_move: Callable[[], None]) -> None:
        """`on_move` is called after each commit, and at the end, on the thread that commits."""
        self.commits = 0
        """Durable ones since the start."""
        self.has_come = False
        self._due: tuple[When, int] | None = None
        self._on_move = on_move

    def arm(self, commits: int, when: When = "before") -> None:
        """Come so many commits from now, 1 being the next one."""
        self._due = (when, self.commits + commits)

    def disarm(self) -> None:
        """Do not come."""
        self._due = None

    def before_commit(self, number: int) -> None:
        """See `CommitObserver.before_commit`."""
        self._strike("before", number)

    def after_commit(self, number: int) -> None:
        """See `CommitObserver.after_commit`."""
        self.commits = number
        self._strike("after", number)
        self._on_move()

    def _strike(self, when: When, number: int) -> None:
        if self._due == (when, number):
            self.has_come = True
            self._on_move()
            raise Killed
