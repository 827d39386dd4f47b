"""A host with the command engine, and a pipe that shows when the last process of a tree is gone."""

import os
import queue
import select
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from maestro_actors.engine import CallOrder, Outcome, ProcessIdentity
from maestro_actors.team import CommandSpec, Contract, Deliverable, Persona
from maestro_runtime.engines import EngineHost, EngineRegistry
from maestro_runtime.engines.command import CommandEngine
from maestro_runtime.engines.driver import Driver

WAIT_SECONDS = 30


class Lifeline:
    """The reading end of a named pipe that processes hold open for as long as they live."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.path = path
        self._fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)

    def read(self) -> bytes:
        """Wait for what a process writes; nothing once the last of them is dead."""
        ready, _, _ = select.select([self._fd], [], [], WAIT_SECONDS)
        assert ready, "no process wrote or ended in time"
        return os.read(self._fd, 1000)

    def close(self) -> None:
        os.close(self._fd)


class CommandBench:
    """Serves commands of a state directory of its own."""

    def __init__(self, workspace: Path, state_id: str, grace_seconds: float) -> None:
        self.state_id = state_id
        self.driver = Driver(state_id, grace_seconds)
        self.engine = CommandEngine(self.driver)
        self.host = EngineHost(EngineRegistry([self.engine]))
        self.workspace = workspace
        self.outcomes: queue.Queue[Outcome] = queue.Queue()
        self.processes: queue.Queue[ProcessIdentity] = queue.Queue()
        self._count = 0

    def order(self, *argv: str, globs: tuple[str, ...] = (), **command: Any) -> CallOrder:
        self._count += 1
        spec = CommandSpec(argv=argv, **command)
        persona = Persona(persona_id="dev", engine="command", command=spec, options={"level": 3})
        deliverables = (Deliverable(name="d", artifacts=globs),) if globs else ()
        return CallOrder(
            session_id="s-1",
            task_id="c-1",
            call_id=f"{os.getpid():016x}{self._count:016x}",
            round=1,
            attempt=2,
            ordinal=5,
            persona=persona,
            contract=Contract(
                id="c-1",
                name="Backend",
                phase="build",
                provider_persona_id="dev",
                deliverables=deliverables,
            ),
            requirement="Build it",
            workspace=str(self.workspace),
            feedback=("too short",),
            scope=("*.md",),
        )

    async def _started(self, process: ProcessIdentity) -> None:
        self.processes.put(process)

    def submit(self, order: CallOrder) -> None:
        self.host.submit(order, self.outcomes.put, self._started)

    def answer(self) -> Outcome:
        return self.outcomes.get(timeout=WAIT_SECONDS)

    def serve(self, order: CallOrder) -> Outcome:
        self.submit(order)
        return self.answer()

    def shell(self, script: str, **fields: Any) -> Outcome:
        return self.serve(self.order("sh", "-c", script, **fields))


@pytest.fixture
def lifeline(tmp_path: Path) -> Iterator[Lifeline]:
    made = Lifeline(tmp_path / "lifeline")
    yield made
    made.close()


@pytest.fixture
def make_bench(tmp_path: Path) -> Iterator[Callable[..., CommandBench]]:
    benches = []

    def make(grace_seconds: float = 5.0, state: str = "state") -> CommandBench:
        state_id = f"{tmp_path.name}-{os.getpid()}-{state}"
        benches.append(CommandBench(tmp_path / "workspace", state_id, grace_seconds))
        return benches[-1]

    yield make
    for made in benches:
        made.host.close(grace_seconds=1)


@pytest.fixture
def commands(make_bench: Callable[..., CommandBench]) -> CommandBench:
    return make_bench()
