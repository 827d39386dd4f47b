"""Threads for foreign functions that may never return."""

import asyncio
import queue
import threading
from collections.abc import Callable
from contextvars import copy_context
from typing import Any, Final

STOP: Final = None


class ThreadPool:
    """A bounded number of threads that do not keep the process alive.

    The standard executor joins its threads when the interpreter exits, so one function that never
    returns would keep the runtime from stopping. Threads start when they are needed and stay.
    All methods belong to one event loop.
    """

    def __init__(self, name: str, threads_max: int) -> None:
        self._name = name
        self._threads_max = threads_max
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._thread_count = 0

    async def run(self, function: Callable[[], Any]) -> Any:
        """Return what `function` returns, or raise what it raises.

        Being cancelled, the wait ends at once; a function that has begun runs on in its thread.

        Raises:
            RuntimeError: There is no memory for a thread; the function is not run.
        """
        job = _Job(function, asyncio.get_running_loop())
        if not self._idle.acquire(blocking=False) and self._thread_count < self._threads_max:
            name = f"{self._name}-{self._thread_count + 1}"
            threading.Thread(target=self._work, name=name, daemon=True).start()
            self._thread_count += 1
        # Only now: a function whose caller has been told that it cannot run must not run.
        self._jobs.put(job)
        return await job.future

    def close(self) -> None:
        """Let idle threads end now, busy ones when their function returns."""
        for _ in range(self._thread_count):
            self._jobs.put(STOP)
        self._thread_count = 0

    def _work(self) -> None:
        """Run jobs one after the other."""
        while (job := self._jobs.get()) is not STOP:
            job.run()
            self._idle.release()


class _Job:
    """One function and the future that waits for it."""

    def __init__(self, function: Callable[[], Any], loop: asyncio.AbstractEventLoop) -> None:
        self._function = function
        self._context = copy_context()
        self._loop = loop
        self.future: asyncio.Future[Any] = loop.create_future()

    def run(self) -> None:
        """Run the function in this thread, unless nobody waits any more."""
        if self.future.cancelled():
            return
        value: Any = None
        failure: BaseException | None = None
        try:
            value = self._context.run(self._function)
        except StopIteration as error:
            # A future refuses this one, because it would end the generator that awaits it.
            failure = RuntimeError(f"function raised StopIteration({error})")
        except BaseException as error:  # noqa: BLE001 - it is raised where the result is awaited
            failure = error
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._settle, value, failure)

    def _settle(self, value: Any, failure: BaseException | None) -> None:
        """Hand over the result on the loop's thread."""
        if self.future.done():
            return
        if failure is None:
            self.future.set_result(value)
        else:
            self.future.set_exception(failure)
