"""Circuit breakers of a program that embeds the runtime: listeners, policies, changes by hand."""

import threading
from pathlib import Path

import msgspec
import pytest

from daemon_team import TEAM
from maestro_actors.messages import BreakerChanged
from maestro_actors.team import (
    BreakerPolicy,
    Persona,
    RetryPolicy,
    Team,
)
from maestro_runtime import Runtime, RuntimeOptions, SessionOrder, open_runtime
from maestro_runtime.reports.breakers import breaker_report
from maestro_storage.records import EventRecord

BOUND_SECONDS = 20.0
BRITTLE = BreakerPolicy(failures_max=1, reset_seconds=0.02, jitter=0.0)
QUICK = RetryPolicy(backoff_seconds=0.01, backoff_max_seconds=0.01, round_backoff_seconds=(0.01,))


def order(
    tmp_path: Path,
    session_id: str = "s-1",
    *,
    policy: BreakerPolicy | None = None,
    **persona: object,
) -> SessionOrder:
    """Return a session of one contract, whose persona rehearses."""
    dev = Persona(persona_id="dev", retry=QUICK, **persona)  # type: ignore[arg-type] # named below
    breakers = {} if policy is None else {"rehearsal": policy}
    team = msgspec.structs.replace(TEAM, personas={"dev": dev}, breakers=breakers)
    return SessionOrder(team, session_id, tmp_path / session_id)


class Ear:
    """Hears of changes, with the record that was durable at that moment."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._arrived = threading.Condition()
        self.heard: list[BreakerChanged] = []
        self.opened_totals: list[int] = []

    def __call__(self, change: BreakerChanged) -> None:
        record = self._runtime.store.breakers.get(change.name)
        with self._arrived:
            self.heard.append(change)
            self.opened_totals.append(0 if record is None else record.opened_total)
            self._arrived.notify_all()

    def wait_for(self, count: int) -> list[BreakerChanged]:
        """Wait until so many changes were heard of."""
        with self._arrived:
            assert self._arrived.wait_for(lambda: len(self.heard) >= count, BOUND_SECONDS)
            return list(self.heard)


def test_a_listener_hears_of_each_change_once_it_is_durable(tmp_path: Path) -> None:
    with open_runtime(tmp_path / "state") as runtime:
        ear = Ear(runtime)
        runtime.subscribe_breakers(ear)
        report = runtime.run(order(tmp_path, policy=BRITTLE, script=("transient", "ok"))).result(
            BOUND_SECONDS
        )
        opened, probed, closed = ear.wait_for(3)

    assert report.state == "done"
    assert (opened.name, opened.state, opened.failures) == ("rehearsal", "open", 1)
    assert opened.retry_at_ms == opened.at_ms + 20
    assert (probed.state, closed.state) == ("half_open", "closed")
    assert (closed.failures, closed.retry_at_ms, closed.by) == (0, None, "")
    assert ear.opened_totals == [1, 1, 1]


def test_a_listener_that_raises_hurts_neither_the_session_nor_the_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[str] = []

    def broken(change: BreakerChanged) -> None:
        calls.append(change.state)
        raise BrokenPipeError

    with open_runtime(tmp_path / "state") as runtime:
        ear = Ear(runtime)
        runtime.subscribe_breakers(broken)
        runtime.subscribe_breakers(ear)
        ordered = order(tmp_path, policy=BRITTLE, script=("transient", "ok"))
        assert runtime.run(ordered).result(BOUND_SECONDS).state == "done"
        ear.wait_for(3)

    assert calls == ["open"]
    assert "a listener failed" in caplog.text


def test_a_change_by_hand_is_durable_and_told_with_who_made_it(tmp_path: Path) -> None:
    with open_runtime(tmp_path / "state") as runtime:
        ear = Ear(runtime)
        runtime.subscribe_breakers(ear)
        runtime.run(order(tmp_path)).result(BOUND_SECONDS)
        runtime.breaker("rehearsal").trip(by="ann")
        runtime.breaker("rehearsal").reset(by="bob")
        changes = ear.wait_for(2)
        record = runtime.store.breakers.get("rehearsal")

    assert [(change.state, change.by) for change in changes] == [("open", "ann"), ("closed", "bob")]
    assert record is not None
    assert (record.state, record.changed_by, record.opened_total) == ("closed", "bob", 1)


def test_a_call_beyond_the_limit_of_its_breaker_counts_as_a_failure_of_the_engine(
    tmp_path: Path,
) -> None:
    policy = BreakerPolicy(failures_max=1, reset_seconds=3600.0, call_timeout_seconds=0.05)
    waiting = threading.Event()
    with open_runtime(tmp_path / "state", RuntimeOptions(stop_grace_seconds=2.0)) as runtime:

        def hear(event: EventRecord) -> None:
            if event.kind == "task_waiting":
                waiting.set()

        runtime.subscribe(hear)
        session = runtime.run(order(tmp_path, policy=policy, latency_seconds=600.0))
        assert waiting.wait(BOUND_SECONDS)
        (task,) = session.report().tasks
        report = breaker_report(runtime.store, "rehearsal")

    assert (task.waits_for, task.failure) == ("breaker", "transient")
    assert (report.state, report.failed_total) == ("open", 1)
    assert report.policy["call_timeout_seconds"] == 0.05


def test_the_limit_of_the_persona_holds_if_it_is_shorter(tmp_path: Path) -> None:
    policy = BreakerPolicy(call_timeout_seconds=50.0)
    with open_runtime(tmp_path / "state") as runtime:
        short = order(tmp_path, policy=policy, timeout_seconds=5.0, latency_seconds=0.0)
        runtime.run(short).result(BOUND_SECONDS)
        # The very same order: had its limit been changed, this would be another team.
        assert runtime.run(short).result(BOUND_SECONDS).state == "done"


@pytest.mark.parametrize("shared", [True, False])
def test_a_breaker_follows_the_policy_of_the_session_started_last(
    tmp_path: Path, *, shared: bool
) -> None:
    """Five failures in a row are the built-in limit; the second team opens it at the second."""
    with open_runtime(tmp_path / "state") as runtime:
        ear = Ear(runtime)
        runtime.subscribe_breakers(ear)
        if shared:
            runtime.run(order(tmp_path, "s-0")).result(BOUND_SECONDS)
        policy = BreakerPolicy(failures_max=2, reset_seconds=0.02, jitter=0.0)
        script = ("transient", "transient", "ok")
        ordered = order(tmp_path, policy=policy, script=script)
        assert runtime.run(ordered).result(BOUND_SECONDS).state == "done"
        changes = ear.wait_for(3)

    assert [change.failures for change in changes] == [2, 2, 0]


def test_a_policy_of_the_breaker_itself_goes_before_that_of_its_engine() -> None:
    own, engines, other = (BreakerPolicy(failures_max=count) for count in (1, 2, 3))
    team = Team(
        name="t",
        requirement="r",
        personas={},
        phases=(),
        contracts=(),
        breakers={"command:a.py": own, "command": engines},
    )

    assert team.breaker_policy("command:a.py", other) == own
    assert team.breaker_policy("command:b.py", other) == engines
    assert team.breaker_policy("python:m:f", other) == other


def test_counters_survive_a_restart(tmp_path: Path) -> None:
    ordered = order(tmp_path, policy=BRITTLE, script=("transient", "transient", "ok"))
    with open_runtime(tmp_path / "state") as runtime:
        assert runtime.run(ordered).result(BOUND_SECONDS).state == "done"
        before = breaker_report(runtime.store, "rehearsal")
    with open_runtime(tmp_path / "state") as runtime:
        after = breaker_report(runtime.store, "rehearsal")
        status = runtime.run(order(tmp_path, "s-2")).result(BOUND_SECONDS)
        live = runtime.breaker("rehearsal").status().get(timeout=BOUND_SECONDS)

    assert status.state == "done"
    assert after == before
    assert (live.opened_total, live.failed_total) == (2, 2)
