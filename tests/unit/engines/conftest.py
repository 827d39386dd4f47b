"""Orders for engines, and a host that is closed after the test."""

import asyncio
import queue
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from maestro_actors.engine import CallOrder, Outcome, ProcessIdentity
from maestro_actors.team import Contract, Deliverable, Persona
from maestro_runtime.engines import Engine, EngineContext, EngineHost, EngineRegistry

MakeOrder = Callable[..., CallOrder]
Serve = Callable[[Engine, CallOrder], Outcome]


async def _recorded(process: ProcessIdentity) -> None:
    """Accept any process at once."""


@pytest.fixture
def context() -> EngineContext:
    return EngineContext(_recorded)


@pytest.fixture
def make_order(tmp_path: Path) -> MakeOrder:
    def make(*globs: str, persona: dict[str, Any] | None = None, **fields: Any) -> CallOrder:
        deliverables = tuple(Deliverable(name=f"part {glob}", artifacts=(glob,)) for glob in globs)
        contract = Contract(
            id="c-1",
            name="Backend",
            phase="build",
            provider_persona_id="dev",
            deliverables=deliverables,
        )
        defaults: dict[str, Any] = {
            "session_id": "s-1",
            "task_id": "c-1",
            "call_id": "0" * 32,
            "round": 1,
            "attempt": 1,
            "ordinal": 1,
            "persona": Persona(persona_id="dev", **(persona or {})),
            "contract": contract,
            "requirement": "Build a todo API",
            "workspace": str(tmp_path / "workspace"),
        }
        return CallOrder(**{**defaults, **fields})

    return make


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Serve one order by one engine on a host of its own."""
    hosts = []

    def run(engine: Engine, order: CallOrder) -> Outcome:
        host = EngineHost(EngineRegistry([engine]))
        hosts.append(host)
        outcomes: queue.Queue[Outcome] = queue.Queue()
        host.submit(order, outcomes.put, _recorded)
        return outcomes.get(timeout=30)

    yield run
    for host in hosts:
        host.close(grace_seconds=1)


@pytest.fixture
def run_engine(context: EngineContext) -> Callable[[Engine, CallOrder], Any]:
    """Run an engine alone, without a host."""

    def run(engine: Engine, order: CallOrder) -> Any:
        async def main() -> Any:
            try:
                return await engine.run(order, context)
            finally:
                await engine.close()

        return asyncio.run(main())

    return run
