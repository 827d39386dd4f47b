"""A process in which sessions of a kind live, one after the other, and what each leaves: `main`.

It remembers as little of sessions that are over as it can, and so is soon where it stays.
"""

import asyncio
import gc
import os
import sys
from array import array
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Final

import msgspec

from maestro_actors.engine import CallOrder, Usage
from maestro_actors.help.answer import Answer
from maestro_actors.identity import coordinator_address
from maestro_actors.kernel import _dead_letters
from maestro_actors.ledger import history, ledger
from maestro_runtime import Runtime, SessionOrder, open_runtime
from maestro_runtime.checkpoints import ForkOrder
from maestro_runtime.engines import Engine, EngineContext, EngineResult, _call, host
from maestro_runtime.options import RuntimeOptions
from maestro_runtime.running import news, sessions
from maestro_runtime.starting import admission
from maestro_runtime.testing import simple_team
from maestro_storage import _writer

BOUND_SECONDS: Final = 20.0
REMEMBERED: Final = (
    (_call, "SETTLED_MAX"),
    (_dead_letters, "KEPT_COUNT"),
    (_writer, "SEQUENCES_MAX"),
    (admission, "KEYS_GONE_MAX"),
    (history, "CELLS_MAX"),
    (ledger, "OLDER_COUNTERS_MAX"),
    (news, "ENDS_MAX"),
    (sessions, "ENDED_MAX"),
)
"""How much is, by module and name."""

TWO_PHASES = simple_team({"one": ("a", "b"), "two": ("c",)}, engine="rehearsal")
STUCK = simple_team(engine="stuck")
FAILS = simple_team(engine="rehearsal", script=("permanent", "ok"), give_up_on_failure=False)


class StuckEngine(Engine):
    """Ends when it is stopped; without a timer, which asyncio would keep when it is cancelled."""

    name = "stuck"

    def estimate(self, order: CallOrder) -> int:
        return 1

    async def run(self, order: CallOrder, context: EngineContext) -> EngineResult:
        await asyncio.Event().wait()
        return EngineResult(usage=Usage())


def works(runtime: Runtime, name: str) -> None:
    """Run a session by a key, fork it, run the original again from its second phase."""
    copy = f"{name}-copy"
    runtime.run(SessionOrder(TWO_PHASES, name, idempotency_key=name)).require(BOUND_SECONDS)
    runtime.fork(ForkOrder(name, "one", copy)).require(BOUND_SECONDS)
    runtime.remove(copy)
    runtime.rerun(name, "two")
    runtime.resume(name).require(BOUND_SECONDS)
    runtime.remove(name)


def rests(runtime: Runtime, name: str) -> None:
    """Pause a session, let it go on, and cancel it, while its events are followed."""
    session = runtime.run(SessionOrder(STUCK, name))
    for attempt in (1, 2):
        begun = (event for event in session.events() if event.kind == "attempt_started")
        assert len(list(islice(begun, attempt))) == attempt
        if attempt == 1:
            runtime.pause(name, interrupt=True).result(BOUND_SECONDS)
            runtime.resume(name)
    runtime.cancel(name).result(BOUND_SECONDS)
    assert [event.kind for event in session.events()][-1] == "session_cancelled"
    runtime.remove(name)


def fails(runtime: Runtime, name: str) -> None:
    """Let a task fail for good, and a person skip it."""
    report = runtime.run(SessionOrder(FAILS, name)).result(BOUND_SECONDS)
    runtime.answer(name, report.tasks[0].task_id, Answer(decision="skip"))
    runtime.resume(name).result(BOUND_SECONDS)
    assert runtime.settle_tickets(name, BOUND_SECONDS)
    runtime.remove(name)


def is_kept(runtime: Runtime, name: str) -> None:
    """Leave a session in the state that has ended."""
    runtime.run(SessionOrder(TWO_PHASES, name)).require(BOUND_SECONDS)


KINDS: Final[dict[str, Callable[[Runtime, str], None]]] = {
    life.__name__: life for life in (works, rests, fails, is_kept)
}


def main(kind: str, directory: str, count: int) -> None:
    """Let so many sessions live; `blocks.json` gets the blocks of the allocator after each."""
    os.chdir(directory)
    for module, name in REMEMBERED:
        vars(module)[name] = 4
    vars(host)["FILE_THREADS"] = 1
    # Not a list, whose numbers would be blocks themselves.
    blocks = array("q", [0] * count)
    with open_runtime("state", RuntimeOptions(engines=(StuckEngine(),))) as runtime:
        # What is there by now need not be looked at after each life.
        gc.freeze()
        for number in range(count):
            name = f"s-{number}"
            KINDS[kind](runtime, name)
            # Its end is known a moment before its actors are gone.
            runtime.system.stop(coordinator_address(name)).get(timeout=BOUND_SECONDS)
            gc.collect()
            blocks[number] = sys.getallocatedblocks()
    Path("blocks.json").write_bytes(msgspec.json.encode(blocks.tolist()))
