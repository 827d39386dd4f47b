"""Where actors hand calls to the engines, and the engines' answers become messages."""

import asyncio
import logging
import threading
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final

from maestro_actors.engine import (
    FIGURE_MAX,
    CallOrder,
    Estimate,
    Outcome,
    ProcessIdentity,
    Usage,
)
from maestro_actors.kernel import ActorSystem
from maestro_actors.messages import (
    MESSAGE_BYTES_MAX,
    CallRecovered,
    EngineFinished,
    EngineStarted,
    encode,
)
from maestro_runtime.checks import Checks
from maestro_runtime.engines._outcomes import cleaned
from maestro_runtime.engines.driver import Driver
from maestro_runtime.engines.errors import HostClosed
from maestro_runtime.engines.host import EngineHost
from maestro_runtime.engines.registry import EngineRegistry, builtin_engines
from maestro_runtime.healing import BUILT_IN, FileMender
from maestro_runtime.options import RuntimeOptions
from maestro_runtime.redaction import Redactor

if TYPE_CHECKING:
    from collections.abc import Callable

FINISHED_BYTES_MAX: Final = MESSAGE_BYTES_MAX // 2
"""Largest outcome that is passed on, as a message (2 MiB): it has to be kept until it is judged."""

_log: Final = logging.getLogger(__name__)


class EngineDesk:
    """The `Engines` port over the engine host. Every method returns at once, on any thread."""

    def __init__(
        self, system: ActorSystem, host: EngineHost, registry: EngineRegistry, redactor: Redactor
    ) -> None:
        self._system = system
        self.host = host
        self.registry = registry
        self._redactor = redactor
        self._lock = threading.Lock()
        self._in_flight: dict[str, Callable[[Usage], None] | None] = {}
        """Calls that run, and who asks, since a failure of its persona, what one has used."""
        self._unrecorded: dict[str, tuple[asyncio.AbstractEventLoop, asyncio.Event]] = {}

    def estimate(self, order: CallOrder) -> Estimate:
        """Return the tokens to reserve: the engine's estimate, at least 1."""
        try:
            found = self.registry.get(order.persona.engine).estimate(order)
            need, floor = found if isinstance(found, Estimate) else (found, 0)
            need_tokens = min(max(1, int(need)), FIGURE_MAX)
            return Estimate(need_tokens, min(max(0, int(floor)), need_tokens) if floor else 0)
        except Exception:  # noqa: BLE001 - foreign code; the call will show what is wrong with it
            _log.exception("engine %r cannot estimate a call", order.persona.engine)
            return Estimate(1)

    def start(self, order: CallOrder, reply_to: str) -> None:
        """Run one call; its processes are recorded before their output is read."""
        call = _Call(self, order.call_id, reply_to)
        self._in_flight[order.call_id] = None
        try:
            self.host.submit(order, call.finished, call.started)
        except HostClosed as error:
            # The runtime stops between the opening of a call and its start: nothing was used.
            call.finished(Outcome(failure="interrupted", evidence=(str(error),)))
        except (OSError, RuntimeError) as error:
            # There is no room for the thread of the engines: an attempt that failed, no bug.
            evidence = (f"engine not started: {error}",)
            call.finished(Outcome(failure="transient", evidence=evidence))

    def finished(self, call_id: str, reply_to: str, outcome: Outcome) -> None:
        """Pass on what a call came to, without secrets."""
        with self._lock:
            tell = self._in_flight.pop(call_id)
        sound = _bounded(cleaned(outcome, self._redactor))
        message = EngineFinished(call_id=bytes.fromhex(call_id), outcome=sound)
        self._system.deliver(reply_to, message)
        if tell is not None:
            tell(sound.usage)

    async def started(self, call_id: str, reply_to: str, process: ProcessIdentity) -> None:
        """Return once the process of a call is on record."""
        recorded = asyncio.Event()
        self._unrecorded[call_id] = (asyncio.get_running_loop(), recorded)
        message = EngineStarted(call_id=bytes.fromhex(call_id), process=process)
        self._system.deliver(reply_to, message)
        try:
            await recorded.wait()
        finally:
            del self._unrecorded[call_id]

    def process_recorded(self, call_id: bytes) -> None:
        """Let the engine that waits for this go on; it may have been cancelled meanwhile."""
        waiting = self._unrecorded.get(call_id.hex())
        if waiting is not None:
            loop, recorded = waiting
            loop.call_soon_threadsafe(recorded.set)

    def recover(self, order: CallOrder, reply_to: str, deadline_ms: int | None = None) -> None:
        """Find out what an interrupted call used.

        One of an earlier start is asked of the engine. One that still runs, because only its
        persona or coordinator has failed, is stopped first, so that no two attempts work side by
        side; its programs have until the deadline.
        """
        call_id = bytes.fromhex(order.call_id)

        def recovered(usage: Usage | None) -> None:
            known = usage if usage is not None and not usage.fault else None
            self._system.deliver(reply_to, CallRecovered(call_id=call_id, usage=known))

        with self._lock:
            running = order.call_id in self._in_flight
            if running:
                self._in_flight[order.call_id] = recovered
        if running:
            self.cancel(call_id, deadline_ms)
            return
        # Without an answer the call stays open, and the next start recovers it.
        with suppress(HostClosed):
            try:
                self.host.recover(order, recovered)
            except (OSError, RuntimeError) as error:
                # No room for the thread of the engines: nobody is there to tell.
                _log.warning("engine %r was not asked: %s", order.persona.engine, error)
                recovered(None)

    def cancel(self, call_id: bytes, deadline_ms: int | None = None) -> None:
        """Stop the call, if it is in flight; its programs have until the deadline."""
        grace_seconds = None
        if deadline_ms is not None:
            grace_seconds = max(0, deadline_ms - self._system.clock.now_ms()) / 1000
        self.host.cancel(call_id.hex(), grace_seconds)

    def kill(self, call_id: bytes) -> None:
        """Wait for the call no longer, if it is in flight."""
        self.host.kill(call_id.hex())


class _Call:
    """What an engine's host tells of one call; takes a third of the room of two closures."""

    __slots__ = ("_call_id", "_desk", "_reply_to")

    def __init__(self, desk: EngineDesk, call_id: str, reply_to: str) -> None:
        self._desk = desk
        self._call_id = call_id
        self._reply_to = reply_to

    def finished(self, outcome: Outcome) -> None:
        self._desk.finished(self._call_id, self._reply_to, outcome)

    async def started(self, process: ProcessIdentity) -> None:
        await self._desk.started(self._call_id, self._reply_to, process)


def _bounded(outcome: Outcome) -> Outcome:
    """Return what an engine came to, or the failure that it is if it is too much to be kept."""
    size = len(encode(outcome))
    if size <= FINISHED_BYTES_MAX:
        return outcome
    return Outcome(
        usage=outcome.usage,
        failure="limit",
        evidence=(f"outcome must have at most {FINISHED_BYTES_MAX} bytes, got {size}",),
        duration_seconds=outcome.duration_seconds,
    )


def engine_desk(
    system: ActorSystem, state_id: str, redactor: Redactor, options: RuntimeOptions
) -> EngineDesk:
    """Return the desk of a runtime's engines, with what checks and mends their work."""
    builtin = builtin_engines(state_id, redactor)
    registry = EngineRegistry((*builtin, *options.engines))
    driver = partial(Driver, state_id, redactor=redactor)
    mender = FileMender(driver(), (*BUILT_IN, *options.fixes))
    host = EngineHost(registry, Checks(driver()), mender, system.lane)
    return EngineDesk(system, host, registry, redactor)
