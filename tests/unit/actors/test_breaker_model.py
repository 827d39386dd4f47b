"""The breaker against a model that remembers every end of a call, with crashes in between."""

from dataclasses import dataclass
from typing import Any

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from maestro_actors.breaker import Breaker
from maestro_actors.team import BreakerPolicy
from maestro_storage.records import BreakerRecord

RESET_MS = 30_000


@dataclass
class Model:
    """Spec of the breaker: what happened, durable or not, in order."""

    failures_max: int
    happened: tuple[str, ...] = ()
    """Of what moved it: "ok", "fault", "trip" and "reset"."""
    probe: int | None = None
    opened_ms: int = 0

    @property
    def failures(self) -> int:
        """Return how many faults there are at the end; what a hand does is none."""
        count = 0
        for what in self.happened:
            count = {"ok": 0, "reset": 0, "fault": count + 1, "trip": count}[what]
        return count

    @property
    def openings(self) -> int:
        """Return how often it has opened since it was last closed."""
        failures = openings = 0
        for what in self.happened:
            if what in ("ok", "reset"):
                failures = openings = 0
            elif what == "trip":
                openings += 1
            else:
                failures += 1
                # The first opening takes so many faults, each further one a failed probe.
                openings += failures >= self.failures_max or openings > 0
        return openings

    @property
    def retry_at_ms(self) -> int:
        return self.opened_ms + min(RESET_MS << (self.openings - 1), 10 * RESET_MS)

    @property
    def state(self) -> str:
        if self.probe is not None:
            return "half_open"
        return "open" if self.openings else "closed"

    def asked(self, call: int, now_ms: int) -> bool:
        """Return whether a call may leave."""
        if self.state == "open" and now_ms >= self.retry_at_ms:
            self.probe = call
        return self.state == "closed" or self.probe == call

    def ended(self, call: int, verdict: str, now_ms: int) -> None:
        """Note the end of a call; unless the breaker is closed only that of the probe counts."""
        if self.state == "closed" or self.probe == call:
            self.probe = None
            if verdict != "unknown":
                openings = self.openings
                self.happened += (verdict,)
                self.opened_ms = now_ms if self.openings > openings else self.opened_ms


class BreakerMachine(RuleBasedStateMachine):
    """Calls in parallel, the hand of an operator, time, and crashes, in any order.

    As in the runtime, a change is durable with the transition it belongs to. A crash loses the
    last one, with the end of the call or the order by hand in it; calls that were out come to
    their end in the next life, which learns nothing from them.
    """

    @initialize(failures_max=st.integers(1, 5))
    def begin(self, failures_max: int) -> None:
        self.policy = BreakerPolicy(failures_max, RESET_MS / 1000, 10 * RESET_MS / 1000, 0.0)
        self.breaker = Breaker("engine", self.policy)
        self.model = Model(failures_max)
        self.row: bytes | None = None
        self.saved: tuple[Model, bytes | None] = (self.model, self.row)
        self.out: list[int] = []
        self.calls = 0
        self.now_ms = 1_000_000

    def save(self) -> None:
        """Make what has changed durable, as the transition of the change does."""
        self.row = msgspec.msgpack.encode(self.breaker.record(epoch=1))

    def remember(self) -> None:
        """Note what is durable before a change."""
        model = Model(self.model.failures_max, self.model.happened, None, self.model.opened_ms)
        self.saved = (model, self.row)

    @rule(count=st.integers(1, 3))
    def ask_for(self, count: int) -> None:
        for _ in range(count):
            self.ask()

    def ask(self) -> None:
        self.remember()
        self.calls += 1
        admitted = self.breaker.admits(self.calls.to_bytes(8, "big"), self.now_ms)
        assert admitted == self.model.asked(self.calls, self.now_ms)
        if admitted:
            self.out.append(self.calls)
            self.save()

    @precondition(lambda self: self.out)
    @rule(data=st.data(), verdict=st.sampled_from(["ok", "fault", "fault", "unknown"]))
    def end(self, data: Any, verdict: str) -> None:
        self.remember()
        call = data.draw(st.sampled_from(self.out))
        self.out.remove(call)
        known = {"ok": True, "fault": False}.get(verdict)
        self.breaker.report(call.to_bytes(8, "big"), self.now_ms, verdict=known)
        self.model.ended(call, verdict, self.now_ms)
        self.save()

    @rule(seconds=st.sampled_from([0.001, 29.999, 30.0, 30.0, 61.0, 300.0]))
    def wait(self, seconds: float) -> None:
        self.now_ms += round(seconds * 1000)

    @rule(what=st.sampled_from(["trip", "reset"]))
    def by_hand(self, what: str) -> None:
        self.remember()
        if what == "trip":
            self.breaker.trip(self.now_ms)
            self.model.opened_ms = self.now_ms
        else:
            self.breaker.reset()
        self.model.probe = None
        self.model.happened += (what,)
        self.save()

    @rule(lost=st.booleans())
    def crash(self, lost: bool) -> None:
        """Die, before or after the last change is durable, and begin again from the row."""
        if lost:
            self.model, self.row = self.saved
        self.model.probe = None
        self.breaker = Breaker("engine", self.policy)
        if self.row is not None:
            self.breaker.restore(msgspec.msgpack.decode(self.row, type=BreakerRecord))
        for call in self.out:
            self.breaker.report(call.to_bytes(8, "big"), self.now_ms, verdict=None)
        self.out = []
        self.remember()

    @invariant()
    def they_agree(self) -> None:
        breaker, model = self.breaker, self.model
        assert (breaker.state, breaker.failures) == (model.state, model.failures)
        assert breaker.opened_count == model.openings
        if breaker.state == "open":
            assert breaker.retry_at_ms == model.retry_at_ms

    @invariant()
    def at_most_one_probe_is_out(self) -> None:
        assert (self.breaker.probe is not None) == (self.breaker.state == "half_open")


TestBreakerModel = BreakerMachine.TestCase
TestBreakerModel.settings = settings(max_examples=250, stateful_step_count=40)
