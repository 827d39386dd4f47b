"""A lane of threads, for handlers that may block."""

from __future__ import annotations

import functools
import logging
import threading
import time
from contextlib import contextmanager
from queue import SimpleQueue
from typing import TYPE_CHECKING, Final

from maestro_actors.kernel._lane import CLOSE_SECONDS, Lane, here
from maestro_actors.kernel.errors import LaneClosed, LaneSaturated, NeedsAsyncLane

if TYPE_CHECKING:
    from collections.abc import Iterator

    from maestro_actors.kernel._keeper import Turn
    from maestro_actors.kernel._mailbox import Mailbox

_log: Final = logging.getLogger(__name__)

BLOCKED_MAX: Final = 256
"""Most handlers of one lane that may block for a future at the same time."""


class ThreadLane(Lane):
    """Runs its actors on `threads` threads.

    While a handler blocks in `LaneFuture.get()` the lane works on with a spare thread, so blocking
    asks between the actors of one lane come to their end. The spare one leaves after the turn it
    is in when the other is back: only for that long run more than `threads` handlers. At most 256
    may block at the same time; the next one gets `LaneSaturated`.
    """

    def __init__(self, name: str, threads: int = 1) -> None:
        if threads < 1:
            raise ValueError(f"a lane needs at least 1 thread, got {threads}")
        super().__init__(name)
        self._threads = threads
        self._ready: SimpleQueue[Mailbox | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._workers: set[threading.Thread] = set()
        self._blocked = 0
        self._number = 0
        self._short = True
        """Fewer threads are at work than should be, or the lane is closed: who submits has to
        call `_attend`. Written under the lock."""
        self._closed = False

    def submit(self, mailbox: Mailbox) -> None:
        """See `Lane.submit`."""
        # As with a mailbox: queue first, look second; `blocking` does it the other way round.
        self._ready.put(mailbox)
        if self._short:
            self._attend()

    def _attend(self) -> None:
        """Start the thread that is missing.

        Raises:
            LaneClosed: There will be none any more.
        """
        with self._lock:
            if self._closed:
                raise LaneClosed(self.name)
            self._grow()

    @property
    def queue_length(self) -> int:
        """See `Lane.queue_length`."""
        return self._ready.qsize()

    def cancel(self, mailbox: Mailbox) -> None:
        """Nothing to cancel: no handler of this lane awaits."""

    @contextmanager
    def blocking(self) -> Iterator[None]:
        """See `Lane.blocking`."""
        with self._lock:
            if self._blocked >= BLOCKED_MAX:
                raise LaneSaturated(self.name, BLOCKED_MAX)
            self._blocked += 1
            self._short = True
        try:
            # Otherwise whoever submits next finds that a thread is missing.
            if not self._ready.empty():
                with self._lock:
                    self._grow()
            yield
        finally:
            with self._lock:
                self._blocked -= 1
                self._short = self._closed or self._is_short()

    def awaiting(self) -> Mailbox | None:
        """See `Lane.awaiting`; here there are no tasks."""
        return None

    def close(self, timeout_seconds: float = CLOSE_SECONDS) -> None:
        """See `Lane.close`."""
        with self._lock:
            self._closed = self._short = True
            workers = list(self._workers)
            for _ in workers:
                self._ready.put(None)
        deadline = time.monotonic() + timeout_seconds
        for worker in workers:
            if worker is threading.current_thread():
                continue
            worker.join(max(0.0, deadline - time.monotonic()))
            if worker.is_alive():
                _log.warning("thread %s is still busy and is left behind", worker.name)

    def _grow(self) -> None:
        """Start a thread, under the lock, if fewer are at work than should be.

        Raises:
            RuntimeError: There is no memory for it, and nobody else is at work.
        """
        if self._closed or not self._is_short():
            return
        worker = threading.Thread(
            target=self._work, name=f"{self.name}-{self._number + 1}", daemon=True
        )
        try:
            worker.start()
        except RuntimeError:
            if len(self._workers) > self._blocked:
                # Those at work come to it, too; whoever submits next tries again.
                return
            raise
        # Only now: a thread that has not started must not count, nor be waited for at the end.
        self._number += 1
        self._workers.add(worker)
        self._short = self._is_short()

    def _is_short(self) -> bool:
        return len(self._workers) - self._blocked < self._threads

    def _work(self) -> None:
        here.lane = self
        while (mailbox := self._ready.get()) is not None:
            self._give_turn(mailbox)
            if self._is_surplus():
                return
        with self._lock:
            self._workers.discard(threading.current_thread())

    def _is_surplus(self) -> bool:
        """Tell whether this thread has to go because one that was blocked is back."""
        # Without the lock first, as it is asked after every turn. Whoever comes back from a wait
        # sees at least its own return.
        if len(self._workers) - self._blocked <= self._threads:
            return False
        with self._lock:
            if len(self._workers) - self._blocked <= self._threads:
                return False
            self._workers.discard(threading.current_thread())
            return True

    def _give_turn(self, mailbox: Mailbox) -> None:
        here.mailbox = mailbox
        try:
            actor = mailbox.begin(time.monotonic())
            rest = mailbox.context.run(actor._turn)  # noqa: SLF001 - the lanes' side of the actor
            if rest is not None:
                mailbox.context.run(self._drive, mailbox, rest)
        except BaseException:  # noqa: BLE001 - logged; the thread has others to serve
            mailbox.abandon()
        else:
            mailbox.finish()
        finally:
            here.mailbox = None

    def _drive(self, mailbox: Mailbox, rest: Turn) -> None:
        """Run the rest of a turn; a coroutine cannot be awaited here and becomes an error."""
        coroutine = next(rest, None)
        while coroutine is not None:
            coroutine.close()
            try:
                coroutine = rest.throw(NeedsAsyncLane(mailbox.address, self.name))
            except StopIteration:
                return


@functools.cache
def default_lane() -> ThreadLane:
    """Return the lane of actors that name none; its thread starts with the first of them."""
    return ThreadLane("actors")
