"""What does it cost to reserve tokens before a call and to book them after it?

In memory: `Ledger.reserve` and `Ledger.settle` against one budget. LiteLLM's `BudgetManager`: the
check of cost against budget before a call, and `update_cost` with the response after it; its thread
that writes a file after each update is left out, in its favour.

Durable: one actor that keeps as many pairs of `OpenCall` and `CloseCall` open at the accountant,
each step once the one before is durable, with call, budget and hour of usage: two transitions for
each pair. It holds messages, accountant and journal, but no callers with a life of their own: those
are in `bench_attempts`. The limit: a bare loop that writes the same values in the same batches.
"""

import itertools
import os
import time
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import msgspec

from maestro_actors.accounting.accountant_proxy import AccountantProxy
from maestro_actors.accounting.token_accountant import TokenAccountant
from maestro_actors.engine import Usage
from maestro_actors.identity import ACCOUNTANT_ADDRESS, call_id_of
from maestro_actors.kernel import ActorSystem, AsyncLane, SystemClock
from maestro_actors.ledger.amounts import reserved, used
from maestro_actors.ledger.budget import Caller
from maestro_actors.ledger.ledger import Ledger
from maestro_actors.ledger.rows import persona_budget
from maestro_actors.message_actor import MessageActor
from maestro_actors.messages import (
    AttemptClosed,
    CallOpened,
    CloseCall,
    OpenCall,
    PersonaMessage,
)
from maestro_actors.ports import Ports
from maestro_actors.proxy import LocalChannel, encoded
from maestro_runtime.ports.journal import LaneJournal
from maestro_runtime.ports.memory import StoreMemory
from maestro_storage import Store, StorePorts
from maestro_storage.transition import Transition
from measure import Options, compare, interleaved
from recording import Put, Recording, replay
from row import Row, Target

USAGE = Usage(input_tokens=60, output_tokens=40, basis="provider")
LIMIT = 1 << 40
SIZES = ((1, 500), (64, 10_000), (1_000, 10_000))
"""Callers at the same time, and calls of all of them together."""

MODEL = "gpt-4o-mini"


def measure(options: Options) -> list[Row]:
    """Measure pairs of reserve and settle a second."""
    manager = _litellm(options)
    rows = compare(
        options,
        "reserve and settle, in memory",
        "pairs/s",
        {
            "ours": partial(_in_memory, options.count(50_000)),
            "LiteLLM BudgetManager": None
            if manager is None
            else partial(manager.pairs_rate, options.count(2_000)),
        },
        Target("at least", 20),
    )
    sizes = {min(at_once, options.count(calls)): options.count(calls) for at_once, calls in SIZES}
    return [*rows, *(_durable(options, *size) for size in sizes.items())]


def _in_memory(count: int) -> float:
    ledger = Ledger(lambda _key: None)
    caller = Caller("s", "dev", "build", "c1", "python")
    budgets = (persona_budget("dev", LIMIT),)
    need = reserved(100, None)
    taken = used(USAGE, None)
    call_ids = [call_id_of("s", "c1", 1, attempt) for attempt in range(count)]
    before = time.perf_counter()
    for call_id in call_ids:
        ledger.reserve(call_id, caller, budgets, need=need, floor=need, at_ms=1_000_000)
        ledger.settle(call_id, taken)
    return count / (time.perf_counter() - before)


class _LiteLlm:
    """Its budget manager with one user."""

    def __init__(self, module: Any) -> None:
        class Unwritten(module.BudgetManager):  # type: ignore[misc] # imported by name
            def _save_data_thread(self) -> None:
                """Write no file."""

        self._manager = Unwritten(project_name="bench")
        self._manager.create_budget(total_budget=1e9, user="dev")
        self._response = module.ModelResponse(
            model=MODEL,
            usage=module.Usage(prompt_tokens=60, completion_tokens=40, total_tokens=100),
        )

    def pairs_rate(self, count: int) -> float:
        """Check and update; return pairs a second."""
        manager = self._manager
        before = time.perf_counter()
        for _ in range(count):
            if manager.get_current_cost("dev") > manager.get_total_budget("dev"):
                raise RuntimeError("the budget of the benchmark is spent")
            manager.update_cost("dev", self._response)
        return count / (time.perf_counter() - before)


def _litellm(options: Options) -> _LiteLlm | None:
    # Otherwise its import asks the network for prices.
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    module = options.peer("litellm")
    return None if module is None else _LiteLlm(module)


# Made once, as a persona does.
_ATTEMPT_CLOSED = encoded(AttemptClosed())


class _Callers(MessageActor):
    """Opens and closes calls, many at a time, each step when the one before is durable.

    One actor for all of them: what the turns of a thousand would cost is no part of the question.
    """

    INBOX: ClassVar = msgspec.msgpack.Decoder(PersonaMessage)

    def __init__(
        self, accountant: AccountantProxy, at_once: int, count: int, seconds: Future[float]
    ) -> None:
        super().__init__()
        self._accountant = accountant
        self._seconds = seconds
        self._at_once = at_once
        tasks = itertools.cycle([f"c{place:05d}" for place in range(at_once)])
        self._waiting = [
            (task_id, call_id_of("s", task_id, 1, number))
            for number, task_id in zip(range(count), tasks, strict=False)
        ]
        """Calls that are not open yet, last one first."""
        self._left = len(self._waiting)
        self._begun_seconds = 0.0

    def on_start(self) -> None:
        """Open the first calls."""
        self._begun_seconds = time.perf_counter()
        for _ in range(self._at_once):
            self._open()

    def handle(self, message: PersonaMessage) -> None:
        """Go on with the next step of a pair."""
        match message:
            case CallOpened():
                self._close(message.call_id)
            case AttemptClosed():
                self._left -= 1
                if self._waiting:
                    self._open()
                elif not self._left:
                    self._seconds.set_result(time.perf_counter() - self._begun_seconds)

    def _open(self) -> None:
        task_id, call_id = self._waiting.pop()
        self._accountant.open_call(
            OpenCall(
                call_id=call_id,
                caller=Caller("s", "dev", contract_id=task_id, engine="python"),
                round=1,
                attempt=1,
                need_tokens=100,
                limit_tokens=LIMIT,
                at_ms=1_000_000,
                reply_to=self.actor_urn,
                draft=Transition(),
            )
        )

    def _close(self, call_id: bytes) -> None:
        draft = Transition()
        draft.then(self.actor_urn, _ATTEMPT_CLOSED)
        self._accountant.close_call(
            CloseCall(
                session_id="s",
                persona_id="dev",
                answered=True,
                call_id=call_id,
                state="settled",
                usage=USAGE,
                at_ms=1_000_000,
                draft=draft,
                outcome="ok",
            )
        )


def _durable(options: Options, at_once: int, count: int) -> Row:
    recording = Recording()
    batches: list[list[Put]] = []

    def ours() -> float:
        with options.scratch() as directory, recording.listening():
            seconds = _drive(directory, at_once, count)
        batches[:] = recording.batches()
        return count / seconds

    def bare() -> float:
        with options.scratch() as fresh:
            return count / sum(replay(fresh, batches))

    samples = interleaved(options.rounds, {"ours": ours, "bare": bare})
    return Row(
        question=f"reserve and settle, durable, {at_once:,} at once",
        unit="pairs/s",
        ours=samples["ours"],
        beside="bare LMDB loop",
        theirs=samples["bare"],
        target=Target("at least", 1 / 3),
    )


def _drive(directory: Path, at_once: int, count: int) -> float:
    """Have `count` calls opened and closed, `at_once` of them at a time; return the seconds."""
    lane = AsyncLane("bench")
    system = ActorSystem(lane, SystemClock(lane))
    with Store.open(directory / "state", ports=StorePorts(deliver=system.deliver)) as store:
        # An accountant starts no engine, so there are none.
        journal = LaneJournal(store.journal, lane)
        ports = Ports(system, journal, StoreMemory(store), None, store.epoch)  # type: ignore[arg-type]
        system.spawn(TokenAccountant, ports, address=ACCOUNTANT_ADDRESS)
        proxy = AccountantProxy(LocalChannel(system))
        seconds: Future[float] = Future()
        system.spawn(_Callers, proxy, at_once, count, seconds, address="urn:bench:callers")
        seconds.result()
        system.stop_all()
    lane.close()
    return seconds.result()
