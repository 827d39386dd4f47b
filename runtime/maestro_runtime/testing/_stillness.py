"""When nothing moves any more in a runtime, but for what a test holds or time would bring."""

import threading
import time
from concurrent.futures import Future
from typing import Final

from maestro_runtime.runtime import Runtime
from maestro_runtime.testing.deaths import Death
from maestro_runtime.testing.errors import NeverStill, RuntimeDied
from maestro_runtime.testing.scripted import BOUND_SECONDS, ScriptedEngine


class Moves:
    """Counts what has moved, for whoever waits for the next move."""

    def __init__(self) -> None:
        self.count = 0
        self._changed = threading.Condition()

    def note(self) -> None:
        """Something has moved."""
        with self._changed:
            self.count += 1
            self._changed.notify_all()

    def wait_beyond(self, count: int, timeout_seconds: float) -> None:
        """Wait until there are more than `count`."""
        with self._changed:
            self._changed.wait_for(lambda: self.count > count, timeout_seconds)


class Stillness:
    """Waits until one runtime has come to rest."""

    def __init__(
        self, runtime: Runtime, engine: ScriptedEngine, death: Death, moves: Moves
    ) -> None:
        self._runtime: Final = runtime
        self._engine: Final = engine
        self._death: Final = death
        self._moves: Final = moves

    def wait(self) -> None:
        """Return when nothing moves.

        Raises:
            RuntimeDied: It has died on the way.
            NeverStill: Something still moves after 20 seconds.
        """
        deadline = time.monotonic() + BOUND_SECONDS
        while (left_seconds := deadline - time.monotonic()) > 0:
            # First this, so that no move is missed between the look and the wait.
            seen = self._moves.count
            if self._death.has_come:
                raise RuntimeDied(self._death.commits)
            if self._others_work():
                self._moves.wait_beyond(seen, left_seconds)
            elif self._is_idle() and not self._others_work() and not self._death.has_come:
                return
        raise NeverStill(BOUND_SECONDS)

    def _others_work(self) -> bool:
        """Whether a call or a posting is under way: what comes of it is a commit."""
        held = {order.call_id for order in self._engine.held}
        host = self._runtime._host  # noqa: SLF001 - the kit sees what is inside
        return bool(host.unanswered() - held) or any(
            row.state == "sending" for row in self._runtime.store.outbox.scan()
        )

    def _is_idle(self) -> bool:
        """Look at the journal and all actors at once: on the actors' lane, between two turns.

        Whoever is idle moves only when something is delivered, which a commit comes before.
        """
        seen: Future[bool] = Future()
        system, journal = self._runtime.system, self._runtime.store.journal

        def look() -> None:
            # The journal first: when it is idle, all that it had to deliver is in the mailboxes.
            idle = journal.is_idle
            seen.set_result(idle and all(actor.state == "idle" for actor in system.dump_actors()))

        lane = self._runtime._lane  # noqa: SLF001 - the kit sees what is inside
        lane.call_soon(look)
        return seen.result(BOUND_SECONDS)
