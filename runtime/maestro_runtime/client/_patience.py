"""How long a client waits for its daemon to come, or to come back, and how it goes about it."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Patience:
    """When a broken connection is tried again, and until when."""

    seconds: float = 60.0
    """Since the connection broke. After them all that waits fails with `DaemonUnreachable`; the
    next request begins anew."""
    coming_seconds: float = 10.0
    """How long a first connection waits for a daemon that seems to be on its way: there is a socket
    that refuses, or somebody owns the state and does not listen yet. 0: not at all."""
    first_seconds: float = 0.05
    """Pause before the second try; each further one is twice as long."""
    most_seconds: float = 2.0
    """Longest pause."""
    silence_seconds: float = 15.0
    """How long a daemon of which something is asked may say nothing before it is asked for a sign
    of life, and then how long that may take until the connection counts as broken. `math.inf`: for
    ever, as for one in a debugger."""
    now: Callable[[], float] = time.monotonic
    fraction: Callable[[], float] = random.random
    """A number in [0, 1) that takes up to half from each pause: clients that lost the same daemon
    must not come back all at once."""
    wait: Callable[[threading.Event, float], bool] = threading.Event.wait
    """Waits so many seconds, or until the event; returns whether it is set."""

    def pauses(self, seconds: float | None = None) -> Iterator[float]:
        """Yield the pause before each further try, until patience, or so long a time, is over.

        The time begins with the call.
        """
        return self._pauses(self.now() + (self.seconds if seconds is None else seconds))

    def _pauses(self, until: float) -> Iterator[float]:
        pause_seconds = self.first_seconds
        while (left_seconds := until - self.now()) > 0:
            yield min(pause_seconds * (1 - self.fraction() / 2), left_seconds)
            pause_seconds = min(pause_seconds * 2, self.most_seconds)
