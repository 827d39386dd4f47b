"""An engine whose calls end as a test says, and when it says so."""

import asyncio
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from maestro_actors.engine import CallOrder, Estimate, Usage
from maestro_runtime.engines import (
    Engine,
    EngineContext,
    EngineError,
    EngineResult,
    Transient,
)
from maestro_runtime.engines._names import name_for, slug_of
from maestro_runtime.testing.errors import NothingHeld, TooFewCalls
from maestro_runtime.workspace import Workspace

BOUND_SECONDS: Final = 20.0
"""Longest real wait for what has to happen by itself."""


_RESULT: Final = EngineResult(usage=Usage(input_tokens=60, output_tokens=40))


@dataclass(frozen=True)
class Work:
    """A call that ends well."""

    files: Mapping[str, str] | None = None
    """Content by path in the workspace; None: each file that the contract owes and that is in the
    scope of the order, with the task's id as content, so that a file has one version."""
    result: EngineResult = _RESULT


@dataclass(frozen=True)
class Hold:
    """A call that stays in flight until it is released, or stopped."""

    deaf: bool = False
    """Whether it goes on when it is to stop, until it is released or killed."""


Step = Work | Hold | EngineError
"""What a call does: an error is raised, anew each time."""


@dataclass(eq=False)
class _Held:
    order: CallOrder
    deaf: bool
    loop: asyncio.AbstractEventLoop
    released: asyncio.Event = field(default_factory=asyncio.Event)
    step: Step = Work()


class ScriptedEngine(Engine):
    """The engine `scripted`: what each call does is said before it, or while it is held.

    Calls that nothing was said about do what `otherwise` says. All methods may be called from any
    thread; the same engine may serve one runtime after the other.
    """

    name = "scripted"

    def __init__(self, otherwise: Step | None = None) -> None:
        self.otherwise: Step = otherwise or Work()
        self.estimate_tokens = 100
        """What is reserved for a call."""
        self.floor_tokens = 0
        """With how many tokens a call can do; 0: it needs all of the estimate."""
        self.recovered_usage: Usage | None = None
        """What a call that a crash has cut off used; None: the engine cannot tell."""
        self.on_move: Callable[[], None] = _nothing
        """Called when a call begins to be held, on the thread of the engines."""
        self._changed = threading.Condition()
        self._steps: defaultdict[str, deque[Step]] = defaultdict(deque)
        self._orders: list[CallOrder] = []
        self._held: list[_Held] = []

    def script(self, name: str, *steps: Step) -> None:
        """Say what the next calls of a task do, or of a persona for tasks without a script.

        Steps are added to those that are left, and used up in the order in which calls begin.
        """
        with self._changed:
            self._steps[name].extend(steps)

    @property
    def orders(self) -> list[CallOrder]:
        """What was asked, in the order in which the calls began."""
        with self._changed:
            return list(self._orders)

    @property
    def held(self) -> list[CallOrder]:
        """Calls that are held, in the order in which they began."""
        with self._changed:
            return [held.order for held in self._held]

    def stands_still(self, told: Mapping[str, bool]) -> set[str]:
        """Return the ids of the calls that are held and stay so until they are released.

        Args:
            told: Calls that were told to stop, and whether they were killed: these end, but for
                deaf ones that were not killed.
        """
        with self._changed:
            return {
                held.order.call_id
                for held in self._held
                if held.order.call_id not in told or (held.deaf and not told[held.order.call_id])
            }

    def wait_for_calls(self, count: int) -> list[CallOrder]:
        """Wait until `count` calls have begun in all, and return the orders of all that have.

        Raises:
            TooFewCalls: They have not within 20 seconds.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._orders) >= count, BOUND_SECONDS):
                raise TooFewCalls(count, len(self._orders))
            return list(self._orders)

    def release(self, name: str | None = None, step: Step | None = None) -> CallOrder:
        """Let a held call go on, and return its order.

        Args:
            name: Its call id, or its task, of which it is the oldest call; None: the oldest of all.
            step: What it does now; None: it ends well.

        Raises:
            NothingHeld: No such call is held.
        """
        with self._changed:
            for held in self._held:
                if name in {None, held.order.task_id, held.order.call_id}:
                    self._held.remove(held)
                    held.step = step or Work()
                    break
            else:
                raise NothingHeld(name)
        held.loop.call_soon_threadsafe(held.released.set)
        return held.order

    def stop(self) -> None:
        """Have deaf calls end: whoever is to stop the others can do so."""
        for order in [held.order for held in self._held if held.deaf]:
            with suppress(NothingHeld):
                self.release(order.call_id, Transient("the trial is over"))

    def estimate(self, order: CallOrder) -> Estimate:  # noqa: ARG002 - protocol
        """Return what the test says."""
        return Estimate(self.estimate_tokens, self.floor_tokens)

    async def run(self, order: CallOrder, context: EngineContext) -> EngineResult:  # noqa: ARG002
        """Do the next step of the script.

        Raises:
            EngineError: The script says so.
        """
        step = self._begin(order)
        while isinstance(step, _Held):
            step = self._taken(order, await self._until_released(step))
        if isinstance(step, EngineError):
            raise type(step)(*step.args)
        workspace = Workspace(order.workspace)
        for path, content in _files(order, step).items():
            workspace.write_text(path, content)
        return step.result

    async def recover(self, order: CallOrder) -> Usage | None:  # noqa: ARG002 - protocol
        """Return what the test says."""
        return self.recovered_usage

    def _begin(self, order: CallOrder) -> Work | EngineError | _Held:
        """Note a call; who sees that it has begun can release it, if it is to be held."""
        with self._changed:
            self._orders.append(order)
            self._changed.notify_all()
            return self._taken(order, self._next(order))

    def _next(self, order: CallOrder) -> Step:
        """Use up the next step of the script, under the lock."""
        for name in (order.task_id, order.persona.persona_id):
            if self._steps[name]:
                return self._steps[name].popleft()
        return self.otherwise

    def _taken(self, order: CallOrder, step: Step) -> Work | EngineError | _Held:
        """Return the step, or if that is to hold the call, what holds it from now on."""
        if not isinstance(step, Hold):
            return step
        held = _Held(order, step.deaf, asyncio.get_running_loop())
        with self._changed:
            self._held.append(held)
        return held

    async def _until_released(self, held: _Held) -> Step:
        self.on_move()
        try:
            while not held.released.is_set():
                try:
                    await held.released.wait()
                except asyncio.CancelledError:
                    if not held.deaf:
                        raise
        finally:
            with self._changed:
                if held in self._held:
                    self._held.remove(held)
        return held.step


def _files(order: CallOrder, work: Work) -> Mapping[str, str]:
    """Return the content of each file that a call writes."""
    if work.files is not None:
        return work.files
    return {
        name_for(glob, slug_of(item.name)): order.task_id
        for item in order.contract.deliverables
        for glob in item.artifacts
        if not order.scope or glob in order.scope
    }


def _nothing() -> None:
    """Do nothing."""
