"""The breaker's state machine, beside pybreaker as an oracle and under its own rules."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta, tzinfo
from unittest import mock

import msgspec
import pybreaker
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from maestro_actors.breaker import Breaker
from maestro_actors.team import BreakerPolicy

PLAIN = BreakerPolicy(failures_max=5, reset_seconds=30.0, reset_max_seconds=30.0, jitter=0.0)
"""What pybreaker knows: a fixed delay."""


class Clock:
    """A clock for both: what pybreaker takes for `datetime`."""

    def __init__(self) -> None:
        self.now_ms = 0

    def now(self, _zone: tzinfo) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(milliseconds=self.now_ms)


class BesidePybreaker(RuleBasedStateMachine):
    """One call after the other: both let the same calls through and end in the same state."""

    @initialize(failures_max=st.integers(1, 6))
    def start(self, failures_max: int) -> None:
        self.clock = Clock()
        self.patch = mock.patch.object(pybreaker, "datetime", self.clock)
        self.patch.start()
        self.oracle = pybreaker.CircuitBreaker(fail_max=failures_max, reset_timeout=30)
        policy = BreakerPolicy(failures_max, 30.0, 30.0, 0.0)
        self.breaker = Breaker("engine", policy)
        self.calls = self.refused = self.failed = 0

    def teardown(self) -> None:
        if hasattr(self, "patch"):
            self.patch.stop()

    @rule(answers=st.booleans())
    def call(self, answers: bool) -> None:
        made: list[bool] = []

        def engine() -> None:
            made.append(answers)
            if not answers:
                raise ConnectionError

        with suppress(ConnectionError, pybreaker.CircuitBreakerError):
            self.oracle.call(engine)
        self.calls += 1
        call_id = self.calls.to_bytes(2, "big")
        admitted = self.breaker.admits(call_id, self.clock.now_ms)
        if admitted:
            self.breaker.report(call_id, self.clock.now_ms, verdict=answers)
        self.refused += not made
        self.failed += made == [False]

        assert admitted == bool(made)

    @rule(seconds=st.sampled_from([0.001, 1, 15, 29.999, 30, 31]))
    def advance(self, seconds: float) -> None:
        self.clock.now_ms += round(seconds * 1000)

    @rule()
    def trip(self) -> None:
        self.oracle.open()
        self.breaker.trip(self.clock.now_ms)

    @rule()
    def reset(self) -> None:
        self.oracle.close()
        self.breaker.reset()

    @invariant()
    def states_agree(self) -> None:
        if hasattr(self, "breaker"):
            assert self.breaker.state == self.oracle.current_state
            assert (self.breaker.refused_total, self.breaker.failed_total) == (
                self.refused,
                self.failed,
            )


TestBesidePybreaker = BesidePybreaker.TestCase


@given(st.lists(st.sampled_from(["call", "ok", "fault", "unknown", "back", "wait"]), max_size=60))
def test_with_calls_in_parallel_half_open_lets_exactly_one_through(steps: list[str]) -> None:
    breaker, now_ms, serial = Breaker("engine", PLAIN), 0, 0
    in_flight: list[bytes] = []
    for step in steps:
        if step == "call":
            serial += 1
            before, call_id = breaker.state, serial.to_bytes(2, "big")
            due = now_ms >= breaker.retry_at_ms
            admitted = breaker.admits(call_id, now_ms)
            assert admitted == (before == "closed" or (before == "open" and due))
            if admitted:
                in_flight.append(call_id)
                assert before == "closed" or breaker.probe == call_id
        elif step == "wait":
            now_ms += 10_000
        elif in_flight:
            call_id, before = in_flight.pop(0), breaker.state
            was_probe = breaker.probe == call_id
            if step == "back":
                assert breaker.return_probe(call_id) == was_probe
            else:
                verdict = {"ok": True, "fault": False, "unknown": None}[step]
                breaker.report(call_id, now_ms, verdict=verdict)
            # Nobody but the probe ends an outage.
            assert before == "closed" or was_probe or breaker.state == before
        assert (breaker.probe is not None) == (breaker.state == "half_open")
        assert breaker.failures < PLAIN.failures_max or breaker.state != "closed"


@given(st.integers(1, 12), st.integers(0, 2**40), st.sampled_from([1.0, 1.5, 2.0, 10.0]))
def test_the_delay_grows_with_each_failed_probe_up_to_its_bound(
    probes: int, start_ms: int, growth: float
) -> None:
    policy = BreakerPolicy(failures_max=1, growth=growth)
    breaker, now_ms = Breaker("engine", policy), start_ms
    for number in range(probes):
        assert breaker.admits(b"call", now_ms)
        breaker.report(b"call", now_ms, verdict=False)
        plain = min(policy.reset_seconds * growth**number, policy.reset_max_seconds)
        most = min(plain * (1 + policy.jitter), policy.reset_max_seconds)
        assert plain * 1000 <= breaker.retry_at_ms - now_ms <= most * 1000 + 1
        now_ms = breaker.retry_at_ms
    assert breaker.admits(b"call", now_ms)
    breaker.report(b"call", now_ms, verdict=True)

    assert (breaker.state, breaker.failures, breaker.opened_count) == ("closed", 0, 0)
    assert breaker.opened_total == probes


@given(st.lists(st.sampled_from([True, False, None]), max_size=20))
def test_a_recorded_breaker_goes_on_where_it_was_and_its_probe_is_gone(
    verdicts: list[bool | None],
) -> None:
    breaker = Breaker("engine", PLAIN)
    for number, verdict in enumerate(verdicts):
        call_id = number.to_bytes(2, "big")
        if breaker.admits(call_id, number * 20_000):
            breaker.report(call_id, number * 20_000, verdict=verdict)
    breaker.admits(b"last", 10**9)
    again = Breaker("engine", PLAIN)

    again.restore(breaker.record(epoch=1))

    assert again.state == ("closed" if breaker.state == "closed" else "open")
    assert again.admits(b"next", 10**9)
    assert (again.failures, again.opened_total) == (breaker.failures, breaker.opened_total)
    assert again.failed_total == breaker.failed_total
    assert again.refused_total == breaker.refused_total


@pytest.mark.parametrize("verdict", [True, None])
def test_only_failures_in_a_row_open_it(verdict: bool | None) -> None:
    breaker = Breaker("engine", PLAIN)
    for _ in range(4):
        breaker.report(b"call", 0, verdict=False)
    breaker.report(b"call", 0, verdict=verdict)
    breaker.report(b"call", 0, verdict=False)

    # An answer starts the count anew; a call that taught nothing leaves it as it is.
    assert breaker.state == ("closed" if verdict else "open")


def test_a_late_failure_of_an_open_breaker_is_counted_and_changes_nothing_else() -> None:
    breaker = Breaker("engine", BreakerPolicy(failures_max=1))
    breaker.report(b"one", 0, verdict=False)
    before = breaker.record(epoch=1)

    breaker.report(b"two", 5, verdict=False)

    assert breaker.record(epoch=1) == msgspec.structs.replace(before, failed_total=2)


def test_who_changed_it_by_hand_is_known_until_a_call_changes_it() -> None:
    breaker = Breaker("engine", BreakerPolicy(failures_max=1))
    breaker.trip(0, "ann")
    assert breaker.event("s-1", 0).data["by"] == breaker.record(epoch=1).changed_by == "ann"

    assert breaker.admits(b"probe", breaker.retry_at_ms)
    assert not breaker.changed_by
    assert "by" not in breaker.event("s-1", 0).data
    breaker.reset("bob")
    breaker.report(b"call", 10**9, verdict=False)

    assert (breaker.state, breaker.changed_by) == ("open", "")


def test_whoever_changes_it_by_hand_is_named_as_far_as_that_can_be_kept() -> None:
    breaker = Breaker("engine", BreakerPolicy())

    breaker.trip(0, "x" * (1 << 21))
    assert breaker.changed_by == "x" * 200
    breaker.reset("\udcff")
    assert breaker.changed_by == "?"


def test_a_delay_is_never_shorter_than_the_first_one() -> None:
    policy = BreakerPolicy(1, reset_seconds=600.0, reset_max_seconds=300.0, jitter=0.0)
    breaker = Breaker("engine", policy)

    breaker.trip(0)

    assert breaker.retry_at_ms == 600_000
