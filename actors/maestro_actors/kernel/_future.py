"""A future that costs no lock, can be awaited, and knows whom it waits for."""

from __future__ import annotations

import asyncio
import logging
import queue
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, TypeVar

import pykka

from maestro_actors.kernel._lane import here
from maestro_actors.kernel._wait_graph import waiting

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable
    from types import TracebackType

    from pykka._future import GetHookFunc

    from maestro_actors.kernel._mailbox import Mailbox

_log: Final = logging.getLogger(__name__)

T = TypeVar("T")
J = TypeVar("J")
M = TypeVar("M")
R = TypeVar("R")

ExcInfo = tuple[type[BaseException] | None, BaseException | None, "TracebackType | None"]


class LaneFuture(pykka.Future[T]):
    """A value that is available now or later; a `pykka.Future` in all respects.

    Beyond Pykka's: `add_done_callback`, an `await` that does not block the loop it runs on, and a
    blocking `get()` that is safe on a lane. There, `get()` of an unfinished future

    - lends the lane a spare thread as long as it blocks, on a thread lane,
    - raises `BlockingOnLoop` on an asyncio lane,
    - raises `DeadlockError` if the answer depends on the actor that asks.

    Unlike Pykka's, two threads that get a mapped future for the first time at the same moment may
    both run its function: a lock around it could not be held without blocking a lane.
    """

    # Class attributes hold the defaults, so that a future is an empty object. There is no lock, as
    # making and taking one costs more than all the rest: under the GIL `setdefault` and `pop` are
    # atomic, so the value is set once and each callback called once. Who sets the value looks for
    # callbacks after it, and who adds a callback looks for a value after it.
    _get_hook: GetHookFunc[T] | None = None
    _result: tuple[Any, ExcInfo | None] | None = None
    _callbacks: list[Callable[[LaneFuture[Any]], None]] | None = None
    _sources: tuple[LaneFuture[Any], ...] | None = None
    """The futures a get hook takes its value from, where they are known."""
    target: Mailbox | None = None
    """Who owes the value, as long as there is none."""

    def __init__(self) -> None:
        # Pykka's would set what the class attributes say.
        pass

    def __repr__(self) -> str:
        return f"<LaneFuture {'done' if self._result is not None else 'pending'}>"

    @property
    def is_done(self) -> bool:
        """`get()` need not wait. Always False before it for a get hook of unknown origin."""
        if self._result is not None:
            return True
        return self._sources is not None and all(source.is_done for source in self._sources)

    def get(self, *, timeout: float | None = None) -> Any:
        """Return the value, or raise the exception, waiting for it if need be.

        Args:
            timeout: Seconds to wait at most; None waits for ever.

        Raises:
            pykka.Timeout: There is no value after `timeout` seconds.
            BlockingOnLoop: The caller runs on an asyncio lane and would have to wait.
            DeadlockError: The caller is an actor whom the value depends on.
            LaneSaturated: 256 handlers of the caller's lane are blocked already.
        """
        if self._result is None:
            if self._get_hook is not None:
                value = self._get_hook(timeout)
                self._result = (value, None)
                return value
            self._wait(timeout)
        value, exc_info = self._result  # type: ignore[misc] # _wait returns once it is set
        if exc_info is None:
            return value
        kind, error, traceback = exc_info
        if error is None:
            # Pykka allows a bare class, as `raise` does.
            error = kind()  # type: ignore[misc] # set_exception wants a class or an exception
        raise error.with_traceback(traceback)

    def set(self, value: T | None = None) -> None:
        """Set the value, once.

        Raises:
            queue.Full: The future has a value, an exception or a get hook.
        """
        self._settle((value, None))

    def set_exception(self, exc_info: ExcInfo | None = None) -> None:
        """Set an exception, by default the one being handled.

        Raises:
            queue.Full: The future has a value, an exception or a get hook.
        """
        self._settle((None, sys.exc_info() if exc_info is None else exc_info))

    def set_get_hook(self, func: GetHookFunc[T]) -> None:
        """Let `func(timeout)` produce the value at the first `get()`.

        Raises:
            queue.Full: The future has a value or an exception.
        """
        if self._result is not None:
            raise queue.Full
        self._get_hook = func

    def add_done_callback(self, callback: Callable[[LaneFuture[Any]], None]) -> None:
        """Call `callback` with this future once its `get()` need not wait; at once if so already.

        The callback runs in the thread that sets the value and must not block. What it raises is
        logged, not passed on.
        """
        if self._get_hook is not None and self._result is None:
            self._after_hook(callback)
            return
        callbacks = self.__dict__.setdefault("_callbacks", [])
        callbacks.append(callback)
        if self._result is not None:
            self._call_back(callbacks)

    def map(self, func: Callable[[T], M]) -> pykka.Future[M]:
        """As `pykka.Future.map`; the result can be awaited as well."""
        return self._derived(super().map(func))

    def filter(
        self: LaneFuture[Iterable[J]], func: Callable[[J], bool]
    ) -> pykka.Future[Iterable[J]]:
        """As `pykka.Future.filter`; the result can be awaited as well."""
        return self._derived(super().filter(func))

    def reduce(
        self: LaneFuture[Iterable[J]], func: Callable[[R, J], R], *args: R
    ) -> pykka.Future[R]:
        """As `pykka.Future.reduce`; the result can be awaited as well."""
        return self._derived(super().reduce(func, *args))

    def join(self, *futures: pykka.Future[Any]) -> pykka.Future[Iterable[Any]]:
        """As `pykka.Future.join`; the result can be awaited as well."""
        return self._derived(super().join(*futures), *futures)

    def __await__(self) -> Generator[Any, None, T]:
        if self._result is None:
            lane = here.lane
            with waiting(None if lane is None else lane.awaiting(), self._debtor()):
                yield from self._wake_up().__await__()
        return self.get(timeout=0)  # type: ignore[no-any-return] # Any as in Pykka's get

    __iter__ = __await__

    def _derived(self, future: pykka.Future[M], *others: pykka.Future[Any]) -> pykka.Future[M]:
        """Tell `future`, made by Pykka with a get hook, which futures its hook gets."""
        sources = (self, *others)
        if all(isinstance(source, LaneFuture) for source in sources):
            future._sources = sources  # type: ignore[attr-defined] # noqa: SLF001 - our class
        return future

    def _debtor(self) -> Mailbox | None:
        """Return the one mailbox that owes the value, if there is exactly one."""
        if self._sources is not None and len(self._sources) == 1:
            return self._sources[0]._debtor()  # noqa: SLF001 - our class
        return self.target

    def _settle(self, result: tuple[Any, ExcInfo | None]) -> None:
        """Set the result and call back."""
        if self._get_hook is not None or self.__dict__.setdefault("_result", result) is not result:
            raise queue.Full
        self.target = None
        if self._callbacks is not None:
            self._call_back(self._callbacks)

    def _call_back(self, callbacks: list[Callable[[LaneFuture[Any]], None]]) -> None:
        """Call each callback that nobody else has taken."""
        while True:
            try:
                callback = callbacks.pop(0)
            except IndexError:
                return
            self._call(callback)

    def _call(self, callback: Callable[[LaneFuture[Any]], None]) -> None:
        try:
            callback(self)
        except Exception:  # noqa: BLE001 - an observer's
            # Whoever set the value did its part and must not pay for an observer.
            _log.exception("Unhandled exception in a callback of %r:", self)

    def _forget(self, callback: Callable[[LaneFuture[Any]], None]) -> None:
        """Take back a callback that nobody waits for any more."""
        if self._callbacks is not None:
            with suppress(ValueError):
                self._callbacks.remove(callback)

    def _wait(self, timeout: float | None) -> None:
        """Block until there is a result."""
        if timeout is not None and timeout <= 0:
            raise pykka.Timeout(f"{timeout} seconds")
        lane = here.lane
        if lane is None:
            self._block(timeout)
        else:
            with waiting(here.mailbox, self.target), lane.blocking():
                self._block(timeout)

    def _block(self, timeout: float | None) -> None:
        # A lock is the lightest thing one thread can wait for, and only waiting makes one.
        gate = threading.Lock()
        gate.acquire()

        def open_gate(_: LaneFuture[Any]) -> None:
            gate.release()

        self.add_done_callback(open_gate)
        seconds = -1.0 if timeout is None else min(timeout, threading.TIMEOUT_MAX)
        if not gate.acquire(timeout=seconds):
            self._forget(open_gate)
            raise pykka.Timeout(f"{timeout} seconds")

    async def _wake_up(self) -> None:
        """Suspend the running task until `get()` need not wait."""
        loop = asyncio.get_running_loop()
        # Waking a loop from elsewhere costs a system call; most answers come from its own actors.
        thread = threading.get_ident()
        waiter = loop.create_future()

        def finish() -> None:
            if not waiter.done():
                waiter.set_result(None)

        def wake(_: LaneFuture[Any]) -> None:
            if threading.get_ident() == thread:
                finish()
                return
            # A loop that has been closed meanwhile has no task left to wake.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(finish)

        self.add_done_callback(wake)
        try:
            await waiter
        finally:
            self._forget(wake)

    def _after_hook(self, callback: Callable[[LaneFuture[Any]], None]) -> None:
        """Call back once the get hook need not wait."""
        if self._sources is None:
            # Nothing tells when a hook that we do not know is ready: a thread has to try.
            threading.Thread(target=self._try_hook, args=(callback,), daemon=True).start()
            return
        for source in self._sources:
            if not source.is_done:
                source.add_done_callback(lambda _: self._after_hook(callback))
                return
        self._call(callback)

    def _try_hook(self, callback: Callable[[LaneFuture[Any]], None]) -> None:
        """Run an unknown hook in a thread of its own and keep what it returns or raises."""
        try:
            result: tuple[Any, ExcInfo | None] = (self.get(), None)
        except Exception:  # noqa: BLE001 - kept for the one who gets
            result = (None, sys.exc_info())
        self._result = result
        self._call(callback)
