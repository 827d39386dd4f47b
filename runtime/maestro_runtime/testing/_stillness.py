"""When nothing moves any more in a runtime, but for what a test holds or time would bring."""

import threading
import time
from concurrent.futures import Future
from contextlib import suppress
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
            self._let_answers_return()
            if self._is_still() and not self._death.has_come:
                return
            if self._others_work():
                self._moves.wait_beyond(seen, left_seconds)
        raise NeverStill(BOUND_SECONDS)

    def _let_answers_return(self) -> None:
        """Wait until the thread of the engines has done what it was at.

        A call is unanswered until its answer has returned there, and what the answer brings may
        have moved by then: no other move would end a wait for that call.
        """
        loop = self._runtime._engines.host._loop  # noqa: SLF001 - the kit sees what is inside
        if loop is None:
            return
        done = threading.Event()
        # It is closed with its runtime.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(done.set)
            done.wait(BOUND_SECONDS)

    def _others_work(self) -> bool:
        """Whether a call or a posting is under way: what comes of it is a commit."""
        host = self._runtime._engines.host  # noqa: SLF001 - the kit sees what is inside
        held = self._engine.stands_still(host.told())
        return bool(host.unanswered() - held) or any(
            row.state == "sending" for row in self._runtime.store.outbox.scan()
        )

    def _is_still(self) -> bool:
        """Look at everything at once: on the actors' lane, between two turns.

        While the lane is here, nobody is given a call, a posting or a transition. So who has none
        brings nothing more, and whoever is idle then moves only when a test moves it.
        """
        seen: Future[bool] = Future()
        system, journal = self._runtime.system, self._runtime.store.journal

        def look() -> None:
            try:
                # The actors last: what the others had to deliver is in the mailboxes by then.
                others_rest = not self._others_work() and journal.is_idle
                idle = others_rest and all(actor.state == "idle" for actor in system.dump_actors())
            except Exception as error:  # noqa: BLE001 - for the thread that waits
                seen.set_exception(error)
            else:
                seen.set_result(idle)

        lane = self._runtime._lane  # noqa: SLF001 - the kit sees what is inside
        lane.call_soon(look)
        return seen.result(BOUND_SECONDS)
