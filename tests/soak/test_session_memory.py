"""Sessions of all kinds leave nothing behind in the memory of the process that runs them."""

import asyncio
import gc
import statistics
import sys
from array import array
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Final

import pytest

from maestro_actors.answer import Answer
from maestro_actors.engine import CallOrder, Usage
from maestro_actors.identity import coordinator_address
from maestro_actors.kernel import _dead_letters
from maestro_actors.ledger import history, ledger
from maestro_actors.team import Persona
from maestro_runtime import Runtime, SessionOrder, open_runtime
from maestro_runtime.checkpoints import ForkOrder
from maestro_runtime.engines import Capabilities, EngineContext, EngineResult, Health, _call, host
from maestro_runtime.options import RuntimeOptions
from maestro_runtime.running import news, sessions
from maestro_runtime.starting import admission
from maestro_runtime.testing import simple_team
from maestro_storage import _writer
from maestro_storage.records import EventRecord

BOUND_SECONDS: Final = 20.0
STAGE: Final = 6
"""Lives after which nearly all threads and caches are there that there will be."""
LIVES: Final = 5 * STAGE
BLOCKS_MAX: Final = 0.8
"""What a life may leave, in blocks of the allocator: less than one text is."""

TWO_PHASES = simple_team({"one": ("a", "b"), "two": ("c",)}, engine="rehearsal")
STUCK = simple_team(engine="stuck")
FAILS = simple_team(engine="rehearsal", script=("permanent", "ok"), give_up_on_failure=False)


class StuckEngine:
    """Ends when it is stopped; without a timer, which asyncio would keep when it is cancelled."""

    name = "stuck"
    capabilities = Capabilities(offline=True, starts_processes=False, counts_tokens=True)

    def preflight(self, persona: Persona) -> Health:
        return Health(ok=True)

    def endpoint(self, persona: Persona) -> str:
        return ""

    def estimate(self, order: CallOrder) -> int:
        return 1

    async def run(self, order: CallOrder, context: EngineContext) -> EngineResult:
        await asyncio.Event().wait()
        return EngineResult(usage=Usage())

    async def recover(self, order: CallOrder) -> Usage | None:
        return None

    async def close(self) -> None:
        pass


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Runtime]:
    """A runtime that remembers as little as it can, and so is soon where it stays."""
    monkeypatch.chdir(tmp_path)
    for module, name in (
        (_call, "SETTLED_MAX"),
        (_dead_letters, "KEPT_COUNT"),
        (_writer, "SEQUENCES_MAX"),
        (admission, "KEYS_GONE_MAX"),
        (history, "CELLS_MAX"),
        (ledger, "OLDER_COUNTERS_MAX"),
        (news, "ENDS_MAX"),
        (sessions, "ENDED_MAX"),
    ):
        monkeypatch.setattr(module, name, 4)
    monkeypatch.setattr(host, "FILE_THREADS", 1)
    with open_runtime(tmp_path / "state", RuntimeOptions(engines=(StuckEngine(),))) as opened:
        yield opened


def works(runtime: Runtime, number: int) -> None:
    """Run a session by a key, fork it, run the original again from its second phase."""
    name, copy = f"works-{number}", f"copy-{number}"
    runtime.run(SessionOrder(TWO_PHASES, name, idempotency_key=f"key-{number}")).require(
        BOUND_SECONDS
    )
    runtime.fork(ForkOrder(name, "one", copy)).require(BOUND_SECONDS)
    runtime.rerun(name, "two")
    runtime.resume(name).require(BOUND_SECONDS)
    runtime.remove(copy)
    runtime.remove(name)


def rests(runtime: Runtime, number: int) -> None:
    """Pause a session, let it go on, and cancel it, while its events are followed."""
    name = f"rests-{number}"
    events = runtime.run(SessionOrder(STUCK, name)).events()
    _wait_for(events, "attempt_started")
    runtime.pause(name, interrupt=True).result(BOUND_SECONDS)
    runtime.resume(name)
    _wait_for(events, "attempt_started")
    runtime.cancel(name).result(BOUND_SECONDS)
    _wait_for(events, "session_cancelled")
    runtime.remove(name)


def fails(runtime: Runtime, number: int) -> None:
    """Let a task fail for good, and a person skip it."""
    name = f"fails-{number}"
    report = runtime.run(SessionOrder(FAILS, name)).result(BOUND_SECONDS)
    runtime.answer(name, report.tasks[0].task_id, Answer(decision="skip"))
    runtime.resume(name).result(BOUND_SECONDS)
    assert runtime.settle_tickets(name, BOUND_SECONDS)
    runtime.remove(name)


def is_kept(runtime: Runtime, number: int) -> None:
    """Leave a session in the state that has ended."""
    name = f"kept-{number}"
    runtime.run(SessionOrder(TWO_PHASES, name)).require(BOUND_SECONDS)
    # Its end is known a moment before its actors are gone.
    runtime.system.stop(coordinator_address(name)).get(timeout=BOUND_SECONDS)


@pytest.mark.parametrize("live", [works, rests, fails, is_kept])
def test_a_session_leaves_nothing_in_memory(
    runtime: Runtime, live: Callable[[Runtime, int], None]
) -> None:
    # Not a list, whose numbers would be blocks themselves.
    blocks = array("q", [0] * LIVES)
    # What is there by now need not be looked at after each life.
    gc.freeze()
    try:
        for number in range(LIVES):
            live(runtime, number)
            gc.collect()
            blocks[number] = sys.getallocatedblocks()
    finally:
        gc.unfreeze()

    # The least of several: what is remembered of the last few, or is under way, comes and goes.
    least = [min(blocks[begin : begin + STAGE]) for begin in range(STAGE, LIVES, STAGE)]
    # And not the greatest growth: a thread or a cache may come late, once.
    grown = statistics.median(after - before for before, after in pairwise(least)) / STAGE
    assert grown < BLOCKS_MAX, list(blocks)


def _wait_for(events: Iterable[EventRecord], kind: str) -> None:
    assert any(event.kind == kind for event in events)
