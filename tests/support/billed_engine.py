"""An engine of another package: each of its calls is billed by a process of its own."""

import asyncio
import json
from pathlib import Path
from typing import Any

import msgspec

from maestro_actors.engine import CallOrder, Usage
from maestro_runtime.engines.errors import Permanent, Transient
from maestro_runtime.engines.protocol import Engine, EngineContext, EngineResult

UNREACHED = "the provider was not reached"
"""In the evidence of a call of which the provider knows nothing."""


class BilledEngine(Engine):
    """Asks the billing server once for each call, and again after a crash."""

    name = "billed"

    def estimate(self, order: CallOrder) -> int:
        """See `Engine.estimate`."""
        return 100

    async def run(self, order: CallOrder, context: EngineContext) -> EngineResult:
        """Have the call billed; some attempts of some tasks fail all the same."""
        try:
            usage = await self._billed(order)
        except asyncio.CancelledError:
            # It may have been billed without an answer.
            context.usage = await self.recover(order) or Usage()
            raise
        context.usage = usage or Usage()
        options = order.persona.options
        if order.task_id in options.get("fails", ()):
            raise Permanent("scripted", usage)
        if order.ordinal <= options["fails_first"].get(order.task_id, 0):
            raise Transient("scripted", usage)
        for deliverable in order.contract.deliverables:
            for path in deliverable.artifacts:
                await asyncio.to_thread(Path(order.workspace, path).write_text, order.call_id)
        return EngineResult(usage=usage or Usage())

    async def _billed(self, order: CallOrder) -> Usage | None:
        request = {"ask": "call", "call_id": order.call_id, "task_id": order.task_id}
        try:
            return await _usage(order, {**request, "ordinal": order.ordinal})
        except OSError as error:
            usage = await self.recover(order)
            billed = usage is None or usage.requests > 0
            reason = "no answer" if billed else UNREACHED
            raise Transient(f"{reason}: {error}", usage) from error

    async def recover(self, order: CallOrder) -> Usage | None:
        """Ask what was billed; the server may refuse to tell."""
        return await _usage(order, {"ask": "recover", "of": order.call_id})


async def _usage(order: CallOrder, request: dict[str, Any]) -> Usage | None:
    try:
        reader, writer = await asyncio.open_unix_connection(order.persona.options["socket"])
    except OSError as error:
        raise Transient(f"{UNREACHED}: {error}") from error
    try:
        writer.write(json.dumps(request).encode() + b"\n")
        line = await reader.readline()
        if not line:
            raise ConnectionResetError("broken off")
        figures = json.loads(line)
    finally:
        writer.close()
    return msgspec.convert({**figures, "basis": "provider"}, Usage) if figures else None
