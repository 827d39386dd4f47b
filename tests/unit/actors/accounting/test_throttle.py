"""Who may begin: never above a limit, never idle while there is room, nobody waits for ever."""

from typing import Any, NamedTuple

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from maestro_actors.accounting.minute import MINUTE_MS
from maestro_actors.accounting.throttle import (
    PRIORITY_POINT_MS,
    ROOM_KEPT_MS,
    Applicant,
    Recent,
    Throttle,
)
from maestro_actors.limits import CallLimits, EngineLimits

ENGINES = ("chat", "agent", "free")
PERSONAS = ("dev", "qa", "ops")

NUMBERS = st.none() | st.integers(1, 4)
TOKENS = st.none() | st.sampled_from([50, 100, 200])
ENGINE_LIMITS = st.builds(
    EngineLimits, concurrency=NUMBERS, requests_per_minute=NUMBERS, tokens_per_minute=TOKENS
)
LIMITS = st.builds(
    CallLimits,
    attempts=NUMBERS,
    engines=st.dictionaries(st.sampled_from(ENGINES[:2]), ENGINE_LIMITS),
    personas=st.dictionaries(st.sampled_from(PERSONAS[:2]), st.integers(1, 3)),
)


class Call(NamedTuple):
    """A call that has begun."""

    applicant: Applicant
    at_ms: int
    tokens: int
    ended: bool = False


class ThrottleMachine(RuleBasedStateMachine):
    """Applicants that come, begin, end, leave, die, and limits that change under them."""

    def __init__(self) -> None:
        super().__init__()
        self.now_ms = 10 * MINUTE_MS
        self.dead: set[str] = set()
        self.throttle = Throttle(lambda address: address not in self.dead)
        self.limits = CallLimits()
        self.calls: dict[bytes, Call] = {}
        self.waiting: dict[str, Applicant] = {}
        self.woken: dict[str, tuple[Applicant, int]] = {}
        self.late: dict[str, Applicant] = {}
        self.turns: dict[str, int] = {}
        self.number = 0

    def within(self, engine: str, *, requests: bool) -> int:
        since_ms = self.now_ms - MINUTE_MS
        return sum(
            1 if requests else call.tokens
            for call in self.calls.values()
            if call.applicant.engine == engine and call.at_ms > since_ms
        )

    def room(self, applicant: Applicant, *, kept: bool) -> bool:
        """Whether all limits let a call begin, those who were woken counted or not."""
        others = [one for one, _ in self.woken.values()] if kept else []
        flying = [call.applicant for call in self.calls.values() if not call.ended] + others
        limits = self.limits.engines.get(applicant.engine, EngineLimits())
        of_engine = [one for one in flying if one.engine == applicant.engine]
        kept_here = [one for one in others if one.engine == applicant.engine]
        of_persona = [one for one in flying if one.persona_id == applicant.persona_id]
        return (
            fits(len(flying) + 1, self.limits.attempts)
            and fits(len(of_persona) + 1, self.limits.personas.get(applicant.persona_id))
            and fits(len(of_engine) + 1, limits.concurrency)
            and self.has_minute(applicant, kept_here)
        )

    def has_minute(self, applicant: Applicant, kept: list[Applicant]) -> bool:
        limits = self.limits.engines.get(applicant.engine, EngineLimits())
        requests = self.within(applicant.engine, requests=True) + len(kept) + 1
        most = limits.tokens_per_minute
        if most is not None:
            tokens = sum(min(one.tokens, most) for one in [*kept, applicant])
            if self.within(applicant.engine, requests=False) + tokens > most:
                return False
        return fits(requests, limits.requests_per_minute)

    def wake(self) -> None:
        for address in self.throttle.wake(self.now_ms):
            assert address not in self.dead
            applicant = self.waiting.pop(address)
            assert self.room(applicant, kept=True), f"{applicant} is woken in vain"
            self.woken[address] = (applicant, self.now_ms + ROOM_KEPT_MS)

    def ask(self, applicant: Applicant, priority: int) -> None:
        known = [self.waiting.pop(applicant.address, None), self.late.pop(applicant.address, None)]
        known.append(self.woken.pop(applicant.address, (None, 0))[0])
        if not any(known):
            self.turns[applicant.address] = self.now_ms - priority * PRIORITY_POINT_MS
        blocked = self.throttle.admit(applicant, self.now_ms, priority)
        if blocked is None:
            assert self.room(applicant, kept=False), f"{applicant} begins above a limit"
            call_id = str(len(self.calls)).encode()
            begin(self.throttle, call_id, applicant, self.now_ms)
            self.calls[call_id] = Call(applicant, self.now_ms, applicant.tokens)
        else:
            assert blocked.limit
            assert blocked.until_ms is None or blocked.until_ms > self.now_ms
            self.waiting[applicant.address] = applicant
        self.wake()

    @rule(
        engine=st.sampled_from(ENGINES),
        persona=st.sampled_from(PERSONAS),
        tokens=st.sampled_from([10, 60, 150, 500]),
        priority=st.sampled_from([0, 0, 0, 1, -1, 100]),
    )
    def come(self, engine: str, persona: str, tokens: int, priority: int) -> None:
        self.number += 1
        self.ask(Applicant(f"p{self.number}", engine, persona, tokens), priority)

    @precondition(lambda self: self.woken or self.late)
    @rule(data=st.data())
    def come_again(self, data: st.DataObject) -> None:
        """One that was woken asks, in time or too late."""
        address = data.draw(st.sampled_from([*self.woken, *self.late]))
        self.ask(self.woken[address][0] if address in self.woken else self.late[address], 0)

    @precondition(lambda self: any(not call.ended for call in self.calls.values()))
    @rule(data=st.data(), share=st.sampled_from([0, 1, 3]))
    def end(self, data: st.DataObject, share: int) -> None:
        """A call ends, and has used less or more than was thought."""
        flying = [call_id for call_id, call in self.calls.items() if not call.ended]
        call_id = data.draw(st.sampled_from(flying))
        call = self.calls[call_id]
        tokens = call.tokens * share // 2
        self.calls[call_id] = call._replace(ended=True, tokens=tokens)
        self.throttle.end(call_id, 1, tokens)
        self.wake()

    @precondition(lambda self: self.woken or self.waiting)
    @rule(data=st.data(), dies=st.booleans())
    def go(self, data: st.DataObject, *, dies: bool) -> None:
        """One that waits, or was woken, leaves; or dies without a word."""
        address = data.draw(st.sampled_from([*self.woken, *self.waiting]))
        if dies:
            self.dead.add(address)
            return
        self.throttle.leave(address)
        self.waiting.pop(address, None)
        self.woken.pop(address, None)
        self.wake()

    @rule(limits=LIMITS)
    def govern(self, limits: CallLimits) -> None:
        self.limits = limits
        self.late |= {address: applicant for address, (applicant, _) in self.woken.items()}
        self.woken.clear()
        flying = [recent(call_id, call) for call_id, call in self.calls.items() if not call.ended]
        history = [recent(call_id, call) for call_id, call in self.calls.items()]
        self.throttle.govern(
            limits,
            flying,
            lambda since_ms: [call for call in history if call.opened_ms > since_ms],
            self.now_ms,
        )
        self.wake()

    @rule(step_ms=st.sampled_from([1, 400, ROOM_KEPT_MS, 20_000, MINUTE_MS]))
    def go_on(self, step_ms: int) -> None:
        """Time passes, and the timer rings whenever it was set to."""
        until_ms = self.now_ms + step_ms
        while (due_ms := self.throttle.due_ms(self.now_ms)) is not None and due_ms <= until_ms:
            assert due_ms > self.now_ms or self.woken, "the timer rings for nothing"
            self.now_ms = max(due_ms, self.now_ms)
            self.lapse()
            self.wake()
        self.now_ms = until_ms
        self.lapse()
        self.wake()

    def lapse(self) -> None:
        self.throttle.lapse(self.now_ms)
        for address, (applicant, until_ms) in tuple(self.woken.items()):
            if until_ms <= self.now_ms:
                del self.woken[address]
                self.late[address] = applicant

    @invariant()
    def nobody_waits_while_there_is_room_for_the_first(self) -> None:
        """Of each engine, the first whose persona may begin has to be in the way of a limit."""
        firsts: dict[str, str] = {}
        for address, applicant in sorted(
            self.waiting.items(), key=lambda item: (self.turns[item[0]], int(item[0][1:]))
        ):
            if address in self.dead:
                continue
            flying = [call.applicant for call in self.calls.values() if not call.ended]
            flying += [one for one, _ in self.woken.values()]
            busy = [one for one in flying if one.persona_id == applicant.persona_id]
            if fits(len(busy) + 1, self.limits.personas.get(applicant.persona_id)):
                firsts.setdefault(applicant.engine, address)
        for address in firsts.values():
            assert not self.room(self.waiting[address], kept=True), f"{address} waits in vain"

    @invariant()
    def somebody_looks_again(self) -> None:
        """Whoever waits for nothing but time is woken by the timer."""
        kept_or_flying = self.woken or any(not call.ended for call in self.calls.values())
        if set(self.waiting) - self.dead and not kept_or_flying:
            assert self.throttle.due_ms(self.now_ms) is not None


def begin(throttle: Throttle, call_id: bytes, applicant: Applicant, at_ms: int) -> None:
    throttle.begin(
        call_id, applicant.engine, applicant.persona_id, tokens=applicant.tokens, at_ms=at_ms
    )


def fits(count: int, limit: int | None) -> bool:
    return limit is None or count <= limit


def recent(call_id: bytes, call: Call) -> Recent:
    return Recent(
        call_id, call.applicant.engine, call.applicant.persona_id, call.at_ms, 1, call.tokens
    )


TestThrottle: Any = ThrottleMachine.TestCase
TestThrottle.settings = settings(max_examples=150, stateful_step_count=50)


def governed(limits: CallLimits) -> Throttle:
    throttle = Throttle(lambda _address: True)
    throttle.govern(limits, [], lambda _since_ms: [], 0)
    return throttle


def applicant(name: str, tokens: int = 10, engine: str = "chat", persona: str = "dev") -> Applicant:
    return Applicant(name, engine, persona, tokens)


def test_a_higher_priority_goes_first_but_not_before_what_has_waited_for_long() -> None:
    throttle = governed(CallLimits(attempts=1))
    assert throttle.admit(applicant("first"), 0, 0) is None
    begin(throttle, b"1", applicant("first"), 0)
    assert throttle.admit(applicant("old"), 0, 0) is not None
    assert throttle.admit(applicant("urgent"), 1_000, 1) is not None
    assert throttle.admit(applicant("late"), PRIORITY_POINT_MS + 1, 1) is not None

    order = []
    for _ in range(3):
        throttle.end(b"1", 1, 10)
        (address,) = throttle.wake(PRIORITY_POINT_MS + 2)
        order.append(address)
        assert throttle.admit(applicant(address), PRIORITY_POINT_MS + 2, 0) is None
        begin(throttle, b"1", applicant(address), PRIORITY_POINT_MS + 2)

    assert order == ["urgent", "old", "late"]


def test_a_call_that_needs_many_tokens_is_not_passed_by_smaller_ones() -> None:
    throttle = governed(CallLimits(engines={"chat": EngineLimits(tokens_per_minute=100)}))
    assert throttle.admit(applicant("a", 60), 0, 0) is None
    begin(throttle, b"a", applicant("a", 60), 0)

    big = throttle.admit(applicant("big", 80), 1, 0)
    small = throttle.admit(applicant("small", 10), 2, 0)

    assert big == ("engine chat: 100 tokens per minute", MINUTE_MS)
    assert small is not None
    assert throttle.admit(applicant("elsewhere", 10, engine="agent"), 2, 0) is None
    assert throttle.wake(MINUTE_MS - 1) == []
    assert throttle.wake(MINUTE_MS) == ["big", "small"]


def test_a_call_that_needs_more_than_a_minute_has_waits_for_an_empty_one() -> None:
    throttle = governed(CallLimits(engines={"chat": EngineLimits(tokens_per_minute=100)}))
    throttle.admit(applicant("a", 1), 0, 0)
    begin(throttle, b"a", applicant("a", 1), 0)

    assert throttle.admit(applicant("huge", 5_000), 1, 0) is not None

    assert throttle.due_ms(1) == MINUTE_MS
    assert throttle.wake(MINUTE_MS) == ["huge"]


def test_what_a_call_has_used_counts_in_the_minute_it_began_in() -> None:
    limits = EngineLimits(tokens_per_minute=100, requests_per_minute=10)
    throttle = governed(CallLimits(engines={"chat": limits}))
    throttle.admit(applicant("a", 90), 0, 0)
    begin(throttle, b"a", applicant("a", 90), 0)
    assert throttle.admit(applicant("b", 90), 1, 0) is not None

    throttle.end(b"a", requests=9, tokens=10)

    assert throttle.wake(2) == ["b"]
    assert throttle.admit(applicant("b", 90), 2, 0) is None
    begin(throttle, b"b", applicant("b", 90), 2)
    third = throttle.admit(applicant("c", 0), 3, 0)
    assert third == ("engine chat: 10 requests per minute", MINUTE_MS)


@pytest.mark.parametrize("count", [3_000])
def test_a_queue_of_thousands_is_woken_one_by_one(count: int) -> None:
    throttle = governed(CallLimits(engines={"chat": EngineLimits(concurrency=1)}))
    throttle.admit(applicant("p0"), 0, 0)
    begin(throttle, b"0", applicant("p0"), 0)
    for number in range(1, count):
        assert throttle.admit(applicant(f"p{number}"), number, 0) is not None
        assert throttle.wake(number) == []

    for number in range(1, count):
        throttle.end(str(number - 1).encode(), 1, 10)
        assert throttle.wake(count) == [f"p{number}"]
        assert throttle.admit(applicant(f"p{number}"), count, 0) is None
        begin(throttle, str(number).encode(), applicant(f"p{number}"), count)
