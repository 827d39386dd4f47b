"""The `rehearsal` engine: works offline, writes what the contract asks for, fails on command."""

import asyncio
import random
from hashlib import sha256
from typing import Final

import msgspec

from maestro_actors.engine import CallOrder, Usage
from maestro_actors.team import Persona
from maestro_runtime._version import __version__
from maestro_runtime.engines._content import brief_of, content_for
from maestro_runtime.engines._names import name_for, slug_of
from maestro_runtime.engines.errors import (
    EngineCrashed,
    EngineError,
    MalformedOutput,
    Permanent,
    RateLimited,
    Refused,
    Transient,
)
from maestro_runtime.engines.protocol import (
    Engine,
    EngineContext,
    EngineResult,
    Health,
    tokens_in,
)
from maestro_runtime.engines.script import SCRIPT_STEPS
from maestro_runtime.workspace import Workspace

LATENCY_SPREAD: Final = 0.2
"""The simulated latency lies within this share of the persona's `latency_seconds`."""

RATE_LIMIT_SECONDS: Final = 1.0
"""The pause that the scripted step "rate_limited" asks for."""

FAILURES: Final[dict[str, type[EngineError]]] = {
    "crash": EngineCrashed,
    "malformed": MalformedOutput,
    "permanent": Permanent,
    "rate_limited": RateLimited,
    "refused": Refused,
    "transient": Transient,
}


class RehearsalEngine(Engine):
    """Writes valid files for every deliverable, the same bytes for the same seed and contract.

    The bytes depend on the order's seed, task, persona, contract and requirement, not on session
    or attempt: a session that was interrupted ends with the same files as one that was not.
    A persona's `script` gives the outcome of each attempt in turn, counted over all rounds.
    """

    name = "rehearsal"

    def preflight(self, persona: Persona) -> Health:
        """Check the script's steps."""
        unknown = [step for step in persona.script if step not in SCRIPT_STEPS]
        if not unknown:
            return Health(ok=True)
        allowed = ", ".join(SCRIPT_STEPS)
        return Health(ok=False, detail=f"script step must be one of {allowed}, got {unknown[0]!r}")

    def version(self, persona: Persona) -> str:  # noqa: ARG002 - protocol
        """Return the version of the runtime: it is a part of it."""
        return __version__

    def estimate(self, order: CallOrder) -> int:
        """Return exactly what an attempt that goes well will use."""
        return _input_tokens(order) + _output_tokens(_files(order))

    async def run(self, order: CallOrder, context: EngineContext) -> EngineResult:
        """Wait for the simulated latency, then do what the script says for this attempt.

        Raises:
            EngineError: The script says so.
        """
        context.usage = Usage(input_tokens=_input_tokens(order))
        step = _step(order)
        await asyncio.sleep(_latency_seconds(order))
        if step == "hang":
            await asyncio.Event().wait()
        if failure := FAILURES.get(step):
            pause_seconds = RATE_LIMIT_SECONDS if failure is RateLimited else None
            raise failure(f"rehearsed in attempt {order.ordinal}", context.usage, pause_seconds)
        files = _spoilt(_files(order, left_out=1 if step == "missing" else 0), step)
        if files:
            writing = asyncio.create_task(asyncio.to_thread(_write, order.workspace, files))
            try:
                await asyncio.shield(writing)
            except asyncio.CancelledError:
                # A thread cannot be stopped; the next attempt must not meet its writes.
                await asyncio.wait({writing})
                raise
        usage = Usage(input_tokens=_input_tokens(order), output_tokens=_output_tokens(files))
        return EngineResult(usage=usage, message=f"rehearsed {len(files)} files")


def _step(order: CallOrder) -> str:
    """Return what the script says for this attempt; "ok" when it is used up."""
    script = order.persona.script
    return script[order.ordinal - 1] if order.ordinal <= len(script) else "ok"


def _latency_seconds(order: CallOrder) -> float:
    """Return the simulated duration, spread by seed, task and attempt."""
    dice = random.Random(f"{order.seed}/{order.task_id}/{order.ordinal}")  # noqa: S311 - no secret
    return order.persona.latency_seconds * dice.uniform(1 - LATENCY_SPREAD, 1 + LATENCY_SPREAD)


def _files(order: CallOrder, left_out: int = 0) -> dict[str, str]:
    """Return the content of every file in the scope of the order.

    The last `left_out` deliverables of the contract are left out. A file that two globs lead to is
    written once, for the first of them.
    """
    reference = sha256(f"{order.seed}/{order.task_id}".encode()).hexdigest()[:12]
    deliverables = order.contract.deliverables
    files: dict[str, str] = {}
    for deliverable in deliverables[: len(deliverables) - left_out]:
        brief = brief_of(
            deliverable.name,
            order.contract.name,
            order.persona.persona_id,
            order.requirement,
            reference,
        )
        for glob in deliverable.artifacts:
            path = name_for(glob, slug_of(deliverable.name))
            if path not in files and (not order.scope or glob in order.scope):
                files[path] = content_for(path, brief)
    return files


def _spoilt(files: dict[str, str], step: str) -> dict[str, str]:
    """Return the files as the script wants them: as an engine has got them wrong."""
    match step:
        case "unchanged":
            return {}
        case "fenced":
            return {path: f"```\n{content}```\n" for path, content in files.items()}
        case "broken":
            return {path: f"<<<{{\n{content}" for path, content in files.items()}
        case "trailing_comma":
            return {
                path: content.removesuffix("\n}\n") + ",\n}\n"
                if path.endswith(".json")
                else content
                for path, content in files.items()
            }
        case _:
            return files


def _write(root: str, files: dict[str, str]) -> None:
    """Write the files; called in a thread, because the disk may take its time."""
    workspace = Workspace(root)
    for path, content in files.items():
        workspace.write_text(path, content)


def _input_tokens(order: CallOrder) -> int:
    """Estimate what a model would be given to read."""
    prompt = msgspec.json.encode((order.requirement, order.contract, order.feedback))
    return tokens_in(len(prompt))


def _output_tokens(files: dict[str, str]) -> int:
    """Estimate what a model would have written."""
    return tokens_in(sum(len(content.encode()) for content in files.values()))
