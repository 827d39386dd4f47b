"""The books on a real accountant and a real store against a model that adds up all calls anew.

Calls are opened, closed, lost, corrected, and time passes until hours are added up by the day; in
between the process dies and another one takes over.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from maestro_actors.accounting.token_accountant import TokenAccountant
from maestro_actors.engine import Usage
from maestro_actors.identity import ACCOUNTANT_ADDRESS
from maestro_actors.kernel import VirtualClock
from maestro_actors.ledger.amounts import LOST_POLICIES, LostPolicy
from maestro_actors.ledger.budget import DAY_MS, Budget, Caller
from maestro_actors.messages import CloseCall, CorrectCall, OpenCall
from maestro_storage.transition import Transition
from staging import BOUND_SECONDS, SESSION, open_stage, team

START_MS = 20_000 * DAY_MS
BUDGETS = (
    Budget(id="hourly", window="hour", limit=10**9),
    Budget(id="output", window="forever", metric="output", limit=10**9),
    Budget(id="money", window="day", metric="money", limit=10**9),
)
USAGES = st.builds(
    Usage,
    input_tokens=st.integers(20, 90),
    output_tokens=st.integers(5, 60),
    cache_read_tokens=st.integers(0, 20),
    reasoning_tokens=st.integers(0, 5),
    requests=st.integers(1, 3),
)


@dataclass
class Booked:
    """What a call counts for, in the words of the budgets."""

    need: int
    floor: int
    state: str = "open"
    total: int = 0
    output: int = 0
    money: int = 0
    input: int = 0
    corrections: int = 0


class BooksMachine(RuleBasedStateMachine):
    """One session; every operation is durable before the next one, unless the process dies."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.clock = VirtualClock(START_MS)
        self.calls: dict[bytes, Booked] = {}
        self.stage = open_stage(Path(self.directory.name), self.clock)
        self.stage.create(team())
        self.begin()

    def begin(self) -> None:
        self.stage.system.spawn(TokenAccountant, self.stage.ports, address=ACCOUNTANT_ADDRESS)

    def teardown(self) -> None:
        self.stage.close()
        self.directory.cleanup()

    def settle_down(self) -> None:
        """Wait until all that was sent is durable."""
        self.stage.accountant.usage(SESSION).get(timeout=BOUND_SECONDS)
        self.stage.store.journal.settle(BOUND_SECONDS)

    @rule(need=st.integers(50, 200), share=st.integers(0, 4))
    def open(self, need: int, share: int) -> None:
        call_id = len(self.calls).to_bytes(16, "big")
        self.calls[call_id] = Booked(need, need * share // 4 or need)
        self.stage.accountant.open_call(
            OpenCall(
                call_id=call_id,
                caller=Caller(SESSION, "dev", "", "c1", "scripted", "m-1"),
                round=1,
                attempt=1,
                need_tokens=need,
                floor_tokens=need * share // 4,
                limit_tokens=10**9,
                at_ms=self.clock.now_ms(),
                reply_to="urn:nobody",
                draft=Transition(),
                budgets=BUDGETS,
            )
        )
        self.settle_down()

    def some(self, data: Any, *states: str) -> bytes:
        found = [name for name, call in self.calls.items() if call.state in states]
        call_id: bytes = data.draw(st.sampled_from(found))
        return call_id

    def has(self, *states: str) -> bool:
        return any(call.state in states for call in self.calls.values())

    @precondition(lambda self: self.has("open"))
    @rule(data=st.data(), usage=USAGES, state=st.sampled_from(["settled", "lost", "released"]))
    def close(self, data: Any, usage: Usage, state: Any) -> None:
        call_id = self.some(data, "open")
        policy: LostPolicy = data.draw(st.sampled_from(LOST_POLICIES))
        self.stage.accountant.close_call(
            CloseCall(
                session_id=SESSION,
                persona_id="dev",
                answered=True,
                call_id=call_id,
                state=state,
                usage=usage,
                at_ms=self.clock.now_ms(),
                draft=Transition(),
                lost_policy=policy,
            )
        )
        self.settle_down()
        call = self.calls[call_id]
        call.state = state
        if state == "settled":
            self.book(call, usage)
        elif state == "lost":
            tokens = {"reservation": call.need, "floor": call.floor, "zero": 0}[policy]
            # Whatever was used may have been output, the dearest there is.
            call.total = call.output = call.input = tokens
            call.money = 4 * tokens

    @precondition(lambda self: self.has("settled", "lost"))
    @rule(data=st.data(), usage=USAGES, again=st.booleans())
    def correct(self, data: Any, usage: Usage, *, again: bool) -> None:
        call_id = self.some(data, "settled", "lost")
        call = self.calls[call_id]
        order = CorrectCall(
            session_id=SESSION,
            call_id=call_id,
            correction_id=f"n{call.corrections}",
            usage=usage,
            reason="",
            at_ms=self.clock.now_ms(),
        )
        for _ in range(1 + again):
            answer = self.stage.accountant.correct(order).get(timeout=BOUND_SECONDS)
            assert answer.tokens == usage.total
        self.settle_down()
        call.corrections += 1
        call.state = "settled"
        self.book(call, usage)

    def book(self, call: Booked, usage: Usage) -> None:
        call.total, call.output, call.input = usage.total, usage.output_tokens, usage.input_tokens
        # Input at 2 nano-USD, output at 4; what came from the cache and what was thought is free.
        fresh = usage.input_tokens - usage.cache_read_tokens
        call.money = 2 * fresh + 4 * (usage.output_tokens - usage.reasoning_tokens)

    # Longer, and the counters of the first windows would go.
    @precondition(lambda self: self.clock.now_ms() < START_MS + 50 * DAY_MS)
    @rule(hours=st.sampled_from([1, 5, 24, 24 * 9]))
    def pass_time(self, hours: int) -> None:
        self.clock.advance(hours * 3600.0)
        self.stage.store.tidy_all(self.clock.now_ms())

    @rule()
    def crash(self) -> None:
        self.stage.close()
        self.stage = open_stage(Path(self.directory.name), self.clock)
        self.begin()

    @invariant()
    def the_history_is_the_sum_of_the_calls(self) -> None:
        cells = list(self.stage.store.usage.scan(""))
        closed = [call for call in self.calls.values() if call.state != "open"]
        for field, name in (
            ("input_tokens", "input"),
            ("cost_nano_usd", "money"),
        ):
            assert sum(getattr(cell, field) for cell in cells) == sum(
                getattr(call, name) for call in closed
            )
        assert sum(cell.calls for cell in cells) == len(closed)
        assert sum(cell.lost_calls for cell in cells) == sum(
            call.state == "lost" for call in closed
        )

    @invariant()
    def the_counters_are_the_sum_of_the_calls(self) -> None:
        spent = dict.fromkeys(("hourly", "output", "money"), 0)
        held = dict.fromkeys(spent, 0)
        for row in self.stage.store.counters.scan():
            spent[row.counter.budget_id] += row.spent
            held[row.counter.budget_id] += row.held
        closed = [call for call in self.calls.values() if call.state != "open"]
        needs = sum(call.need for call in self.calls.values() if call.state == "open")
        assert spent == {
            "hourly": sum(call.total for call in closed),
            "output": sum(call.output for call in closed),
            "money": sum(call.money for call in closed),
        }
        assert held == {"hourly": needs, "output": needs, "money": 4 * needs}
        persona = self.stage.store.budgets.get(SESSION, "dev")
        if persona is not None:
            assert (persona.spent_tokens, persona.held_tokens) == (spent["hourly"], needs)


TestBooks = BooksMachine.TestCase
TestBooks.settings = settings(max_examples=15, stateful_step_count=25)
