"""Work that ends when a test says so: a callable of the engine `python`, and its gates."""

import asyncio
import threading
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

from maestro_actors.team import Contract, Deliverable, Persona, Phase, RetryPolicy, Team
from maestro_runtime.engines.python import Task

BOUND_SECONDS = 20.0


@dataclass
class Gate:
    """Holds every call of one session until it is opened."""

    deaf: bool = False
    """Whether calls that are to stop do not."""
    calls: list[str] = field(default_factory=list)
    """Contracts in the order their calls began."""
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _held: deque[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = field(default_factory=deque)

    def wait_for_calls(self, count: int) -> None:
        """Wait until `count` calls have begun in all."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.calls) >= count, BOUND_SECONDS)

    def let_one_go(self) -> None:
        """Let the oldest call that is held go on."""
        loop, opened = self._held.popleft()
        loop.call_soon_threadsafe(opened.set)

    async def hold(self, name: str) -> None:
        """Wait until the test lets this call go on."""
        opened = asyncio.Event()
        with self._changed:
            self._held.append((asyncio.get_running_loop(), opened))
            self.calls.append(name)
            self._changed.notify_all()
        while True:
            try:
                await opened.wait()
            except asyncio.CancelledError:
                if not self.deaf:
                    raise
            else:
                return


GATES: dict[str, Gate] = {}
"""By session."""


async def work(task: Task) -> dict[str, int]:
    """Write the deliverable once the gate is open; a session without one has it open."""
    gate = GATES.get(task.session_id)
    if gate is not None:
        await gate.hold(task.contract.id)
    Path(task.workspace, f"{task.contract.id}.md").write_text(f"{task.ordinal}\n")  # noqa: ASYNC240
    return {"input_tokens": 10}


def gated_team(*, workers: int = 1, **persona: object) -> Team:
    """Return a team whose phases `a` and `b` have two contracts each: `a1`, `a2`, `b1`, `b2`."""
    fields: dict[str, object] = {
        "engine": "python",
        "callable": "held_work:work",
        "retry": RetryPolicy(max_attempts=1, max_rounds=1),
        **persona,
    }
    dev = Persona(persona_id="dev", **fields)  # type: ignore[arg-type] # the test names the fields
    return Team(
        name="gated",
        requirement="r",
        personas={"dev": dev},
        phases=(Phase(name="a"), Phase(name="b", after=("a",))),
        contracts=tuple(
            Contract(
                id=name,
                name=name,
                phase=name[0],
                provider_persona_id="dev",
                deliverables=(Deliverable(name=name, artifacts=(f"{name}.md",)),),
            )
            for name in ("a1", "a2", "b1", "b2")
        ),
        max_parallel_workers=workers,
    )
