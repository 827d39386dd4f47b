"""Where actors hand calls to the engines, and the engines' answers become messages."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from maestro_actors.engine import CallOrder, Outcome, ProcessIdentity, Usage
from maestro_actors.kernel import ActorSystem
from maestro_actors.messages import CallRecovered, EngineFinished, EngineStarted
from maestro_actors.proxy import encoded
from maestro_runtime.engines.errors import HostClosed
from maestro_runtime.engines.host import EngineHost
from maestro_runtime.engines.registry import EngineRegistry


class EngineDesk:
    """The `Engines` port over the engine host. Every method returns at once, on any thread."""

    def __init__(self, system: ActorSystem, host: EngineHost, registry: EngineRegistry) -> None:
        self._system = system
        self._host = host
        self._registry = registry
        self._unrecorded: dict[str, tuple[asyncio.AbstractEventLoop, asyncio.Event]] = {}

    def estimate(self, order: CallOrder) -> int:
        """Return the tokens to reserve: the engine's estimate, at least 1."""
        return max(1, self._registry.get(order.persona.engine).estimate(order))

    def start(self, order: CallOrder, reply_to: str) -> None:
        """Run one call; its processes are recorded before their output is read."""
        call_id = bytes.fromhex(order.call_id)

        def finished(outcome: Outcome) -> None:
            self._system.deliver(
                reply_to, encoded(EngineFinished(call_id=call_id, outcome=outcome))
            )

        try:
            self._host.submit(order, finished, self._started(order.call_id, reply_to))
        except HostClosed as error:
            # The runtime stops between the opening of a call and its start: nothing was used.
            finished(Outcome(failure="interrupted", evidence=(str(error),)))

    def _started(self, call_id: str, reply_to: str) -> Callable[[ProcessIdentity], Awaitable[None]]:
        async def started(process: ProcessIdentity) -> None:
            recorded = asyncio.Event()
            self._unrecorded[call_id] = (asyncio.get_running_loop(), recorded)
            message = EngineStarted(call_id=bytes.fromhex(call_id), process=process)
            self._system.deliver(reply_to, encoded(message))
            try:
                await recorded.wait()
            finally:
                del self._unrecorded[call_id]

        return started

    def process_recorded(self, call_id: bytes) -> None:
        """Let the engine that waits for this go on; it may have been cancelled meanwhile."""
        waiting = self._unrecorded.get(call_id.hex())
        if waiting is not None:
            loop, recorded = waiting
            loop.call_soon_threadsafe(recorded.set)

    def recover(self, order: CallOrder, reply_to: str) -> None:
        """Ask the engine what an interrupted call used."""
        call_id = bytes.fromhex(order.call_id)

        def recovered(usage: Usage | None) -> None:
            self._system.deliver(reply_to, encoded(CallRecovered(call_id=call_id, usage=usage)))

        # Without an answer the call stays open, and the next start recovers it.
        with suppress(HostClosed):
            self._host.recover(order, recovered)

    def cancel(self, call_id: bytes) -> None:
        """Kill the call, if it is in flight."""
        self._host.cancel(call_id.hex())
