"""A lane: the threads, or the event loop, that a group of actors runs on."""

from __future__ import annotations

import abc
import threading
from contextlib import nullcontext
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from maestro_actors.kernel._mailbox import Mailbox

THROUGHPUT_MESSAGES: Final = 64
"""An actor with a longer queue goes to the end of its lane after this many messages."""

SLICE_SECONDS: Final = 0.005
"""... or after this time, whichever comes first."""

CLOSE_SECONDS: Final = 5.0


class Lane(abc.ABC):
    """Gives turns to mailboxes that have work. Starts its threads at the first one."""

    def __init__(self, name: str) -> None:
        self.name = name

    @abc.abstractmethod
    def submit(self, mailbox: Mailbox) -> None:
        """Give `mailbox` one turn, after those submitted before. Any thread.

        Raises:
            LaneClosed: The lane runs nothing any more.
            OSError, RuntimeError: The machine has no descriptors, or no thread, for the lane to
                begin with. The mailbox gets its turn when another one is submitted after that.
        """

    def gathering(self) -> AbstractContextManager[None]:
        """Enclose sending several messages: the lane is woken once for all of them, at the end.

        Do not wait inside for anything that the lane does. Any thread.
        """
        return nullcontext()

    def before_rest(self, act: Callable[[], None], *, slow: bool = False) -> bool:  # noqa: ARG002 - of those that can
        """Call `act` once, when no actor waits for a turn any more, or after a slice.

        For what is better done once for all turns before it, such as waking another thread, which
        would only wait for the interpreter meanwhile. An act that waits already is not called
        twice; one that is `slow` is called after all others. False, and nothing is called, on any
        other thread than that of a lane with one loop, and if the lane is closed.
        """
        return False

    @property
    @abc.abstractmethod
    def queue_length(self) -> int:
        """Actors that wait for a turn."""

    @abc.abstractmethod
    def cancel(self, mailbox: Mailbox) -> None:
        """Cancel what a handler of `mailbox` awaits, if it does. Any thread; does not wait."""

    @abc.abstractmethod
    def blocking(self) -> AbstractContextManager[None]:
        """Enclose a wait that blocks the calling thread, which belongs to this lane.

        Raises:
            BlockingOnLoop: The thread runs an event loop.
            LaneSaturated: Too many threads of the lane are blocked already.
        """

    @abc.abstractmethod
    def awaiting(self) -> Mailbox | None:
        """Return the mailbox whose handler is the asyncio task that is running now, if any."""

    @abc.abstractmethod
    def close(self, timeout_seconds: float = CLOSE_SECONDS) -> None:
        """End the lane's threads; safe to repeat.

        Turns in flight may end first. A thread that is still busy after `timeout_seconds` is left
        behind with a warning: it is a daemon and does not keep the process alive. An actor that
        is sent a message afterwards finds its lane gone and is closed: asks are answered with
        `pykka.ActorDeadError`, tells become dead letters. Stop the actors first.
        """


class _Here(threading.local):
    """What the current thread does for the lanes."""

    lane: Lane | None = None
    """The lane the thread belongs to."""
    mailbox: Mailbox | None = None
    """Whose turn it runs; only thread lanes tell, since only their handlers may block."""


here: Final = _Here()
