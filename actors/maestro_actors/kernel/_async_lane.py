"""A lane that is an asyncio event loop, for handlers that never block."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

from maestro_actors.kernel._lane import CLOSE_SECONDS, SLICE_SECONDS, Lane, here
from maestro_actors.kernel._loop_thread import start_loop
from maestro_actors.kernel.errors import BlockingOnLoop, LaneClosed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from maestro_actors.kernel._bell import Bell
    from maestro_actors.kernel._keeper import Awaited, Turn
    from maestro_actors.kernel._mailbox import Mailbox

_log: Final = logging.getLogger(__name__)


class AsyncLane(Lane):
    """Runs its actors on an asyncio loop in a thread of its own.

    A plain handler runs straight from the queue; an `async def` handler runs as a task, and its
    actor takes no other message until it is done. However many messages arrive from elsewhere,
    the loop is woken once for all of them.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._lock = threading.Lock()
        self._ready: deque[Mailbox] = deque()
        self._resting = True
        """No pump runs or is going to, or the lane is closed: who submits has to call `_wake`."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._bell: Bell | None = None
        """Wakes the loop for `_pump`; there is one as soon as there is a loop."""
        self._acts: dict[Callable[[], None], bool] = {}
        """What is to be done before the lane rests, and whether it is slow; only touched on the
        loop."""
        self._closed = False
        self._tasks: dict[asyncio.Task[Any], Mailbox] = {}
        """Only touched on the loop."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The lane's event loop, started at the first use. Never run or stop it yourself.

        Raises:
            LaneClosed: The lane runs nothing any more.
            OSError, RuntimeError: As `Lane.submit`.
        """
        with self._lock:
            return self._running_loop()

    def call_soon(self, callback: Callable[..., object], *args: object) -> None:
        """Call `callback` on the loop. Any thread.

        Raises:
            LaneClosed: The lane runs nothing any more.
        """
        # Under the lock, so that the loop cannot be closed in between.
        with self._lock:
            loop = self._running_loop()
            if here.lane is self:
                # The loop is awake: a timer that a turn sets needs no system calls.
                loop.call_soon(callback, *args)
            else:
                loop.call_soon_threadsafe(callback, *args)

    def before_rest(self, act: Callable[[], None], *, slow: bool = False) -> bool:
        """See `Lane.before_rest`."""
        if here.lane is not self:
            return False
        self._acts[act] = slow
        if self._resting:
            try:
                self._wake()
            except LaneClosed:
                return False
        return True

    def submit(self, mailbox: Mailbox) -> None:
        """See `Lane.submit`."""
        # As with a mailbox: queue first, look second; the pump does it the other way round.
        self._ready.append(mailbox)
        if self._resting:
            self._wake()

    @contextmanager
    def gathering(self) -> Iterator[None]:
        """See `Lane.gathering`: who says that the pump is going to run has to ring for it."""
        with self._lock:
            bell = self._bell if self._resting and not self._closed else None
            if bell is not None:
                self._resting = False
        try:
            yield
        finally:
            if bell is not None:
                bell.ring()

    def _wake(self) -> None:
        """Have the pump called, unless somebody else did."""
        with self._lock:
            loop = self._running_loop()
            if not self._resting:
                return
            self._resting = False
            if here.lane is self:
                loop.call_soon(self._pump)
            elif self._bell is not None:
                self._bell.ring()

    @property
    def queue_length(self) -> int:
        """See `Lane.queue_length`."""
        return len(self._ready)

    def cancel(self, mailbox: Mailbox) -> None:
        """See `Lane.cancel`."""
        # A lane that is closed has cancelled everything, or is about to.
        with suppress(LaneClosed):
            self.call_soon(self._cancel, mailbox)

    def blocking(self) -> AbstractContextManager[None]:
        """See `Lane.blocking`: a loop must not block."""
        raise BlockingOnLoop(self.name)

    def awaiting(self) -> Mailbox | None:
        """See `Lane.awaiting`."""
        task = asyncio.current_task()
        return None if task is None else self._tasks.get(task)

    def close(self, timeout_seconds: float = CLOSE_SECONDS) -> None:
        """See `Lane.close`; handlers that await are cancelled."""
        with self._lock:
            first = not self._closed
            self._closed = self._resting = True
            loop, thread = self._loop, self._thread
            if loop is None or thread is None:
                return
            if first:
                loop.call_soon_threadsafe(loop.stop)
        if thread is threading.current_thread():
            return
        thread.join(timeout_seconds)
        if thread.is_alive():
            _log.warning("thread %s is still busy and is left behind", thread.name)

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        """Return the loop, under the lock; start it if it is the first time."""
        if self._closed:
            raise LaneClosed(self.name)
        if self._loop is None:
            # In one step: a loop without a thread would be waited for in vain, for ever.
            self._loop, self._bell, self._thread = start_loop(self.name, self._pump, self._serve)
        return self._loop

    def _serve(self, loop: asyncio.AbstractEventLoop, bell: Bell) -> None:
        here.lane = self
        try:
            loop.run_forever()
            loop.run_until_complete(self._wind_up())
        finally:
            loop.close()
            bell.close()

    async def _wind_up(self) -> None:
        """Cancel what still runs, and close the mailboxes that wait for a turn."""
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(outcome, Exception):
                _log.error("A task failed while its lane was closed:", exc_info=outcome)
        while self._ready:
            self._ready.popleft().close()
        loop = asyncio.get_running_loop()
        await loop.shutdown_asyncgens()
        await loop.shutdown_default_executor()

    def _pump(self) -> None:
        """Give turns until nobody waits for one, but let the loop breathe in between."""
        now = time.monotonic()
        until = now + SLICE_SECONDS
        while now <= until:
            while not self._ready and self._acts:
                self._act()
            if not self._ready:
                # From here on, whoever submits wakes the loop.
                self._resting = True
                if not self._ready or not self._rouse():
                    return
            self._give_turn(self._ready.popleft(), now)
            now = time.monotonic()
        if self._acts:
            self._act()
        asyncio.get_running_loop().call_soon(self._pump)

    def _act(self) -> None:
        """Do what was to be done before the lane rests."""
        acts, self._acts = self._acts, {}
        for act in sorted(acts, key=acts.__getitem__):
            try:
                act()
            except Exception:  # noqa: BLE001 - logged; the loop has others to serve
                _log.exception("What lane %s was to do before it rests failed:", self.name)

    def _rouse(self) -> bool:
        """Take up the pumping again; False if somebody else has asked for it, or the lane ends."""
        with self._lock:
            roused = self._resting and not self._closed
            if roused:
                self._resting = False
            return roused

    def _give_turn(self, mailbox: Mailbox, now: float) -> None:
        if self._closed:
            mailbox.close()
            return
        try:
            actor = mailbox.begin(now)
            turn = mailbox.context.run(actor._turn)  # noqa: SLF001 - the lanes' side of the actor
            coroutine = None if turn is None else mailbox.context.run(next, turn, None)
        except BaseException:  # noqa: BLE001 - logged; the loop has others to serve
            mailbox.abandon()
            return
        if turn is None or coroutine is None:
            mailbox.finish()
            return
        task = asyncio.get_running_loop().create_task(
            self._continue(mailbox, turn, coroutine), context=mailbox.context
        )
        self._tasks[task] = mailbox
        task.add_done_callback(self._tasks.pop)
        mailbox.task = task

    async def _continue(self, mailbox: Mailbox, turn: Turn, coroutine: Awaited) -> None:
        """Go on with a turn whose handler awaits; later handlers of the turn may do so, too."""
        try:
            while True:
                try:
                    result = await coroutine
                except BaseException as error:
                    if self._closed:
                        raise
                    coroutine = turn.throw(error)
                else:
                    coroutine = turn.send(result)
        except StopIteration:
            mailbox.finish()
        except asyncio.CancelledError:
            # Only a closing lane cancels a turn itself; the asker in flight still gets an answer.
            turn.close()
            mailbox.close()
        except BaseException:  # noqa: BLE001 - logged; the loop has others to serve
            mailbox.abandon()

    def _cancel(self, mailbox: Mailbox) -> None:
        """Cancel a handler in favour of the kill that waits; not the `on_stop` of that kill."""
        if mailbox.task is not None and mailbox.is_killed:
            mailbox.task.cancel()
