"""The journal: one writes at a time. Group commit, then the output gate.

The writer thread takes whatever is queued, writes it in one LMDB transaction, and only after the
commit has returned lets out what depends on it. There is no timer: under load, batches grow while
a commit is under way.

Handing a transition to another thread and waiting for it costs as much as a commit, and two threads
that both have work only take the interpreter from each other. So whoever has handed transitions in
and would rest now may write them itself, in place of the thread (`write_here`).
"""

import threading
import time
from collections import deque
from concurrent.futures import Future
from functools import partial
from typing import Final

import lmdb

from maestro_storage._ballast import Ballast
from maestro_storage._environment import Environment, storage_error
from maestro_storage._figures import JournalFigures
from maestro_storage._limits import checked_bytes
from maestro_storage._ports import StorePorts
from maestro_storage._tidying import Tidying
from maestro_storage._watch import Watch
from maestro_storage._writer import Removal, Work, Writer
from maestro_storage.errors import StorageError, StoreClosed, StoreFailed
from maestro_storage.records import EventRecord
from maestro_storage.transition import Transition

BATCH_TRANSITIONS_MAX: Final = 1024
BATCH_BYTES_MAX: Final = 4 << 20
QUEUE_TRANSITIONS_MAX: Final = 100_000
QUEUE_BYTES_MAX: Final = 256 << 20

QUICK_SECONDS: Final = 0.002
"""Where the disk took longer, the writer thread makes the next commit: who writes in its place is
deaf meanwhile."""

_Entry = tuple[Work, Future[None] | None, int]
"""Work, who waits for it, and its size in bytes."""


class Journal:
    """Makes transitions durable, in the order they were handed in. Any thread.

    A failed commit stops the journal for good: nothing of the batch is acknowledged or delivered,
    and every later call raises the failure.
    """

    def __init__(
        self, environment: Environment, ballast: Ballast, epoch: int, ports: StorePorts
    ) -> None:
        """Start the writer thread; `epoch` must be what `begin_epoch` returned."""
        self.figures: Final = JournalFigures()
        self._environment = environment
        self.ballast: Final = ballast
        self._ports = ports
        self._writer = Writer(environment, epoch, ports.observer)
        self._queue: deque[_Entry] = deque()
        self._queue_bytes = 0
        self._idle = False
        """Nobody writes, and the thread waits to be woken."""
        self._stand_in: int | None = None
        """The thread that writes in place of the writer thread."""
        self._quick = False
        """The disk was, at the last commit."""
        self._closing = False
        self._failure: StorageError | None = None
        self._lock = threading.Lock()
        """Of both conditions: taken as it is, it costs half of what they take for it."""
        self._arrived = threading.Condition(self._lock)
        self._drained = threading.Condition(self._lock)
        self._thread = threading.Thread(target=self._run, name="maestro-journal", daemon=True)
        self._thread.start()

    def append(self, transition: Transition, *, wake: bool = True) -> None:
        """Hand in a transition and do not wait; its deliveries are the acknowledgement.

        The transition must not be changed afterwards. Blocks while the queue is full, except for
        who writes itself, which would wait for ever. Returning says nothing of durability.

        Args:
            transition: What is to become durable.
            wake: Whether a writer thread that waits is woken for it. If not, it may lie there until
                the caller calls `write_here` or `wake`.

        Raises:
            KeyTooLong, RecordTooLarge: It can never be stored; nothing was queued.
            NotFound: It names a database that does not exist; nothing was queued.
            StoreClosed: The store is closed, or this process is a fork of its owner.
            StorageError: The journal has failed before.
        """
        self._submit(transition, None, checked_bytes(transition), wake=wake)

    @property
    def is_quick(self) -> bool:
        """Whether the last commit took the disk so little time that another one may be waited for.

        False before the first one.
        """
        return self._quick

    def wake(self) -> None:
        """Have the writer thread write what it was not woken for. Any thread; does not wait."""
        with self._lock:
            if self._queue:
                self._wake_thread()

    def write_here(self) -> None:
        """Write what is queued, one batch, on the calling thread; or wake the writer thread.

        It is woken if the disk was not quick, and for what is left then. On return the batch is
        durable, delivered and told, unless the journal has failed; nothing is done while the writer
        thread is at work, which goes on with all that is queued. Never raises what the writer
        thread would not.
        """
        with self._lock:
            if not self._idle or not self._queue:
                return
            if not self._quick:
                self._wake_thread()
                return
            self._idle = False
            self._stand_in = threading.get_ident()
            batch = self._next_batch()
        try:
            self._write(batch)
        finally:
            with self._lock:
                self._stand_in = None
                if self._queue or self._closing or self._failure is not None:
                    self._arrived.notify()
                else:
                    self._idle = True

    def commit(self, transition: Transition) -> Future[None]:
        """Hand in a transition; the future is resolved once it is durable. Else as `append`.

        The future cannot be cancelled: what is handed in will be written.
        """
        return self._submit_awaited(transition, checked_bytes(transition))

    def settle(self, timeout_seconds: float) -> None:
        """Wait until all that was handed in before is durable.

        Raises:
            TimeoutError: It was not within `timeout_seconds`; it still may become so.
            StorageError: As `append`.
        """
        self.commit(Transition()).result(timeout_seconds)

    @property
    def is_idle(self) -> bool:
        """Whether all that was handed in is durable, delivered, acknowledged and told."""
        with self._lock:
            return self._idle and not self._queue

    def remove(self, session_id: str, along: Transition | None = None) -> Future[None]:
        """Delete a session and the payloads only it refers to, if it is final by then.

        The future is resolved once that is durable. Raises as `append`.

        Args:
            session_id: The session.
            along: Records that become durable with it, and only with it.
        """
        return self._submit_awaited(Removal(session_id, along or Transition()), 0)

    def tidy(self, work: Tidying) -> Future[None]:
        """Take one step of tidying. The future is resolved once it is durable. Raises as `append`.

        Does not wait, not even on the writer thread.
        """
        return self._submit_awaited(work, 0)

    def add_watch(self, watch: Watch) -> None:
        """Tell a watch of every batch from the next one on, until the end."""
        self._writer.add_watch(watch)

    @property
    def queue_length(self) -> int:
        """Transitions that were handed in and are not in a batch yet."""
        return len(self._queue)

    def close(self) -> None:
        """Refuse new work, write what is queued, end the writer thread. Not from a port."""
        with self._lock:
            self._closing = True
            self._arrived.notify()
            self._drained.notify_all()
        self._thread.join()

    def _submit_awaited(self, work: Work, size: int) -> Future[None]:
        future: Future[None] = Future()
        # From here on `cancel` fails: nobody may withdraw what the writer is about to write.
        future.set_running_or_notify_cancel()
        self._submit(work, future, size, wake=True)
        return future

    def _submit(self, work: Work, future: Future[None] | None, size: int, *, wake: bool) -> None:
        self._environment.check_usable()
        with self._lock:
            while self._is_crowded(size):
                # Perhaps nobody was woken for what is queued.
                self._wake_thread()
                self._drained.wait()
            if self._failure is not None:
                # Without its traceback, which would grow with every caller that is told.
                raise self._failure.with_traceback(None)
            if self._closing:
                raise StoreClosed(str(self._environment.path), "it is being closed")
            self._queue.append((work, future, size))
            self._queue_bytes += size
            if wake:
                self._wake_thread()

    def _wake_thread(self) -> None:
        """Have the thread go to work, if it waits and nobody writes. Under the lock."""
        if self._idle:
            self._idle = False
            self._arrived.notify()

    def _is_crowded(self, size: int) -> bool:
        """Whether the caller must wait for room in the queue."""
        return (
            (
                len(self._queue) >= QUEUE_TRANSITIONS_MAX
                or self._queue_bytes + size > QUEUE_BYTES_MAX
            )
            and bool(self._queue)
            and not self._closing
            and self._failure is None
            and threading.get_ident() not in (self._thread.ident, self._stand_in)
        )

    def _run(self) -> None:
        """Write batches until the end. Runs on the writer thread."""
        while batch := self._take():
            self._write(batch)
        if self._failure is None and not self.ballast.missing_because:
            self._write_last()

    def _write_last(self) -> None:
        """Leave the state twice; with the last room this is not worth it."""
        try:
            self.ballast.spend_if_full(self._environment.commit_again)
        except Exception as error:  # noqa: BLE001 - as for a batch
            self._fail(error, [])

    def _write(self, batch: list[_Entry]) -> None:
        """Make a batch durable and let it out, or fail. On the writer thread or a stand-in."""
        try:
            works = [entry[0] for entry in batch]
            begun_seconds = time.monotonic()
            events = self.ballast.spend_if_full(partial(self._writer.write, works))
            self.figures.note(len(works), time.monotonic() - begun_seconds)
            self._quick = self._writer.sync_seconds <= QUICK_SECONDS
            self._let_out(batch, events)
        except Exception as error:  # noqa: BLE001 - a writer that dies unseen strands everybody
            self._fail(error, batch)

    def _take(self) -> list[_Entry]:
        """Wait for work and return a batch of it; nothing once the journal is closed or failed."""
        with self._lock:
            while self._stand_in is not None or not self._queue:
                if self._stand_in is None:
                    if self._closing or self._failure is not None:
                        return []
                    self._idle = True
                self._arrived.wait()
            # Woken by the close, it may find what nobody was woken for.
            self._idle = False
            return self._next_batch()

    def _next_batch(self) -> list[_Entry]:
        """Take what is queued, as far as it goes into one batch. Under the lock."""
        queue = self._queue
        batch: list[_Entry] = []
        batch_bytes = 0
        while queue and len(batch) < BATCH_TRANSITIONS_MAX and batch_bytes < BATCH_BYTES_MAX:
            entry = queue.popleft()
            batch.append(entry)
            batch_bytes += entry[2]
        self._queue_bytes -= batch_bytes
        self._drained.notify_all()
        return batch

    def _let_out(self, batch: list[_Entry], events: list[EventRecord]) -> None:
        """Deliver, acknowledge and tell what has become durable."""
        deliver = self._ports.deliver
        with self._ports.gathering():
            for work, _, _ in batch:
                if isinstance(work, Transition):
                    for delivery in work.deliveries:
                        deliver(delivery.address, delivery.message)
        for _, future, _ in batch:
            if future is not None:
                future.set_result(None)
        if events and self._ports.on_events is not None:
            self._ports.on_events(events)

    def _fail(self, error: Exception, batch: list[_Entry]) -> None:
        """Stop for good and tell everybody who waits."""
        failure = self._failure_from(error)
        with self._lock:
            self._failure = failure
            abandoned = [*batch, *self._queue]
            self._queue.clear()
            self._queue_bytes = 0
            self._drained.notify_all()
        for _, future, _ in abandoned:
            # Futures of a durable batch are done when only a port raised after it.
            if future is not None and not future.done():
                future.set_exception(failure)
        if self._ports.on_failure is not None:
            self._ports.on_failure(failure)

    def _failure_from(self, error: Exception) -> StorageError:
        """Return the error that callers get for what went wrong on the writer thread."""
        path = self._environment.path
        if isinstance(error, StorageError):
            return error
        if isinstance(error, lmdb.Error | OSError):
            failure = storage_error(path, error)
        else:
            failure = StoreFailed(str(path), f"{type(error).__name__}: {error}")
        failure.__cause__ = error
        return failure
