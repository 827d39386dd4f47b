"""The engine host: one event loop in one long-lived thread, where all engines run.

Processes are started from this thread only, so none of them depends on a thread that may end.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final

from maestro_actors.engine import CallOrder, Outcome, ProcessIdentity, Usage
from maestro_actors.kernel import Bell, Lane, ThreadLane, start_loop
from maestro_actors.whereabouts import stand
from maestro_runtime.edits import roll_forward
from maestro_runtime.engines._call import Call, Workshop
from maestro_runtime.engines.errors import CallInFlight, HostClosed
from maestro_runtime.engines.protocol import Checker, EngineContext, Mender
from maestro_runtime.engines.registry import EngineRegistry
from maestro_runtime.workspace import Workspace

FILE_THREADS: Final = 4
"""Threads for manifests, artifact writes and process sweeps, over all calls."""

CLOSE_SECONDS: Final = 10.0
"""How long engines may take to end once the grace is over; then they are left behind."""

Reply = Callable[[Outcome], None]
Started = Callable[[ProcessIdentity], Awaitable[None]]


class EngineHost:
    """Serves calls. Its methods may be called from any thread and do not block, but for `close`.

    The host neither retries nor limits how many calls run: both are decided before. A call is to
    be submitted only when the transition that opens it is durable. The thread starts with the
    first call.

    Args:
        registry: Where the engines are found.
        checker: Evaluates the checks of contracts; without one they are never fulfilled.
        mender: Repairs files before they are judged for good; without one nobody does.
        lane: Of the actors that submit and are answered: they are woken once for all answers that
            come together, and the host once for all they submit in turn.
    """

    def __init__(
        self,
        registry: EngineRegistry,
        checker: Checker | None = None,
        mender: Mender | None = None,
        lane: Lane | None = None,
    ) -> None:
        self._workshop = Workshop(registry, checker, mender, self._leave_behind)
        self._lock = threading.Lock()
        self._calls: dict[str, tuple[Call, Reply]] = {}
        self._unanswered: set[str] = set()
        self._told: dict[str, bool] = {}
        """Unanswered calls that were told to end, and whether they are waited for no longer."""
        self._inbox: list[Callable[[], None]] = []
        self._ended: list[tuple[str, Outcome]] = []
        """Calls that have ended since the loop was last asked to answer them."""
        self._lane = lane or ThreadLane("nobody")
        self._loop: asyncio.AbstractEventLoop | None = None
        self._bell: Bell | None = None
        """Wakes the loop for what was posted; there is one as soon as there is a loop."""
        self._thread: threading.Thread | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = asyncio.Event()
        self._closed = False
        self._grace_seconds = 0.0

    def submit(self, order: CallOrder, reply: Reply, started: Started) -> None:
        """Run one call.

        Args:
            order: What is to be done.
            reply: Gets the outcome, exactly once, on the host's thread. By then every process of
                the call is dead, unless the evidence says otherwise.
            started: Awaited on the host's loop for a process that an engine started; the process
                gets its input when it returns.

        Raises:
            HostClosed: The host is closed.
            OSError, RuntimeError: The machine has no descriptors, or no memory, for its thread;
                the next call tries again.
            CallInFlight: A call with this id has been submitted and is not answered yet.
        """
        call_id = order.call_id
        call = Call(order, EngineContext(started), self._workshop)
        with self._lock:
            if call_id in self._calls:
                raise CallInFlight(call_id)
            self._post(partial(self._begin, call))
            self._calls[call_id] = (call, reply)
            self._unanswered.add(call_id)

    def unanswered(self) -> frozenset[str]:
        """Return the ids of calls, and of those to be recovered, whose replies are still to come.

        A call is among them until its reply has returned.
        """
        with self._lock:
            return frozenset(self._unanswered)

    def told(self) -> Mapping[str, bool]:
        """Return the unanswered calls that were told to stop; True for those that were killed."""
        with self._lock:
            return dict(self._told)

    def cancel(self, call_id: str, grace_seconds: float | None = None) -> None:
        """Stop a call; its reply follows, "interrupted" unless it was done already.

        Nothing happens if there is no such call: it may have been answered a moment ago.

        Args:
            call_id: The call.
            grace_seconds: How long its programs may take to end, from 0, before they are killed;
                None: as long as the persona's command says, or 5 s. It is that of the first order
                to stop; `kill` cuts it short.
        """
        self._tell(call_id, lambda call: call.stop("cancelled", grace_seconds), kills=False)

    def kill(self, call_id: str) -> None:
        """Have a call end now: its processes are killed without grace, and nobody waits for it.

        Nothing happens if there is no such call.
        """
        self._tell(call_id, Call.kill, kills=True)

    def _tell(self, call_id: str, order: Callable[[Call], None], *, kills: bool) -> None:
        with self._lock:
            entry = self._calls.get(call_id)
            if entry is not None and not self._closed:
                call = entry[0]
                self._told[call_id] = kills or self._told.get(call_id, False)
                self._post(lambda: order(call))

    def recover(self, order: CallOrder, reply: Callable[[Usage | None], None]) -> None:
        """Ask the engine what an interrupted call used; `reply` gets None if it cannot tell.

        Before that, an edit plan the call may have been applying is finished.

        Raises:
            HostClosed: The host is closed.
            OSError, RuntimeError: As `submit`.
        """
        with self._lock:
            self._post(lambda: self._keep(self._recover(order, reply)))
            self._unanswered.add(order.call_id)

    def close(self, grace_seconds: float) -> None:
        """Stop all calls, answer them, and end the thread. May be called again.

        Args:
            grace_seconds: How long calls may take to stop; then their processes are killed.
        """
        with self._lock:
            if not self._closed and self._loop is not None:
                self._grace_seconds = grace_seconds
                # First what was posted, for which nobody may have rung yet.
                self._ring()
                self._loop.call_soon_threadsafe(self._closing.set)
            self._closed = True
        if self._thread is not None:
            # Bounded, because foreign code on the loop may refuse to end; the thread is a daemon.
            self._thread.join(grace_seconds + 2 * CLOSE_SECONDS)

    def _post(self, action: Callable[[], None]) -> None:
        """Have the loop run `action`; one wake-up serves all that has gathered. Under the lock.

        Raises:
            HostClosed: The host is closed.
            OSError, RuntimeError: As `start_loop`; nothing was posted.
        """
        if self._closed:
            raise HostClosed
        if self._loop is None:
            self._loop, self._bell, self._thread = start_loop("engines", self._drain, self._run)
        if not self._inbox:
            ring = self._ring
            if not self._lane.before_rest(ring):
                ring()
        self._inbox.append(action)

    def _ring(self) -> None:
        """Have the loop look for what was posted."""
        if self._bell is not None:
            # If the loop has ended meanwhile, all calls have been answered.
            self._bell.ring()

    def _drain(self) -> None:
        """Run what was posted, in order."""
        with self._lock:
            actions, self._inbox = self._inbox, []
        for action in actions:
            action()

    def _run(self, loop: asyncio.AbstractEventLoop, bell: Bell) -> None:
        """Serve until closed: the body of the thread."""
        loop.set_default_executor(ThreadPoolExecutor(FILE_THREADS, "engines-files"))
        try:
            with asyncio.Runner(loop_factory=lambda: loop) as runner:
                runner.run(self._until_closed())
        finally:
            bell.close()

    async def _until_closed(self) -> None:
        """Wait for `close`, then bring every call to its end."""
        await self._closing.wait()
        for call, _ in list(self._calls.values()):
            call.stop("closed")
        await self._settle(self._grace_seconds)
        for engine in self._workshop.registry.loaded():
            self._keep(engine.close())
        for helper in (self._workshop.checker, self._workshop.mender):
            if helper is not None:
                self._keep(helper.close())
        await self._settle(CLOSE_SECONDS)
        self._answer_ended()
        for call_id in list(self._calls):
            evidence = ("engine host was closed", "engine did not stop")
            self._answer(call_id, Outcome(failure="interrupted", evidence=evidence))

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        """Start a task and hold on to it; the loop itself does not."""
        self._tasks.add(asyncio.get_running_loop().create_task(self._watched(work)))

    async def _watched(self, work: Coroutine[Any, Any, None]) -> None:
        """Do the work of a task; nobody else would see it fail.

        Not a callback of the task, for which the loop would be asked once more.
        """
        try:
            await work
        except Exception as error:  # noqa: BLE001 - reported
            _report("task of the engine host failed", error)
        finally:
            self._tasks.discard(asyncio.current_task())

    async def _settle(self, timeout_seconds: float) -> None:
        """Wait until all tasks are done, but not for ever."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout_seconds)

    def _begin(self, call: Call) -> None:
        """Serve one call. No task fails in it that somebody would have to watch."""
        call.task = asyncio.get_running_loop().create_task(self._serve(call))
        self._tasks.add(call.task)

    async def _serve(self, call: Call) -> None:
        """Run one call to its end, and have it answered with the others of this pass, if any."""
        stand(call.whereabouts)
        try:
            outcome = await call.outcome()
            self._ended.append((call.call_id, outcome))
            if len(self._calls) == 1:
                # No other answer can come with it: another pass of the loop would be for nothing.
                self._answer_ended()
            elif len(self._ended) == 1:
                asyncio.get_running_loop().call_soon(self._answer_ended)
        finally:
            self._tasks.discard(call.task)

    def _answer_ended(self) -> None:
        """Answer the calls that have ended in one pass of the loop."""
        ended, self._ended = self._ended, []
        with self._lane.gathering():
            for call_id, outcome in ended:
                try:
                    self._answer(call_id, outcome)
                except Exception as error:  # noqa: BLE001 - reported; the others have to be answered
                    _report(f"call {call_id} cannot be answered", error)

    def _answer(self, call_id: str, outcome: Outcome) -> None:
        """Reply to a call, unless that has been done."""
        with self._lock:
            entry = self._calls.pop(call_id, None)
        if entry is not None:
            entry[1](outcome)
            self._unanswered.discard(call_id)
            self._told.pop(call_id, None)

    def _leave_behind(self, call: Call, task: asyncio.Task[Any], outcome: Outcome) -> None:
        """Answer a call whose engine does not stop, and wait for it no longer."""
        self._tasks.discard(task)
        self._answer(call.call_id, outcome)

    async def _recover(self, order: CallOrder, reply: Callable[[Usage | None], None]) -> None:
        """Ask one engine; an engine that fails cannot tell."""
        usage: Usage | None = None
        try:
            await asyncio.to_thread(roll_forward, Workspace(order.workspace))
        except Exception as error:  # noqa: BLE001 - the next call tries again, and shows it
            _report("edit plan of an interrupted call cannot be finished", error)
        try:
            usage = await self._workshop.registry.get(order.persona.engine).recover(order)
        except Exception as error:  # noqa: BLE001 - foreign code; the reply must follow
            _report(f"engine {order.persona.engine!r} failed to recover a call", error)
        reply(usage)
        self._unanswered.discard(order.call_id)


def _report(message: str, error: BaseException) -> None:
    """Hand an error nobody waits for to the loop's handler, which logs it."""
    asyncio.get_running_loop().call_exception_handler({"message": message, "exception": error})
