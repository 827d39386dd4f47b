"""What long-lived parts keep of sessions and clients that come and go."""

import asyncio
import contextlib
from pathlib import Path

import pytest

from maestro_actors.circuit_breaker import WAITERS_MIN, CircuitBreaker
from maestro_actors.identity import breaker_address
from maestro_actors.kernel import VirtualClock
from maestro_actors.ledger.budget import Caller
from maestro_actors.messages import OpenCall
from maestro_actors.sessions.queue import turn_of
from maestro_actors.team import BreakerPolicy
from maestro_runtime import Runtime, RuntimeOptions, SessionOrder, open_runtime
from maestro_runtime.errors import RuntimeDraining
from maestro_runtime.redaction import Redactor
from maestro_runtime.running import lent_secrets
from maestro_runtime.running.session_queue import SessionQueue
from maestro_runtime.running.sessions import RunningSessions
from maestro_runtime.testing import Hold, ScriptedEngine, simple_team
from maestro_storage.transition import Transition
from running import BOUND_SECONDS
from staging import TRANSIENT, Stage, open_stage
from staging import team as staged_team


def test_sessions_that_come_and_go_behind_one_that_waits_leave_no_place_in_the_queue() -> None:
    queue = SessionQueue(lambda: None)
    queue.govern(1, 1000)
    assert queue.takes(turn_of("runs", 0, 0))
    assert not queue.takes(turn_of("waits", 0, 1))
    assert not queue.takes(turn_of("waits too", 0, 5000))

    for number in range(1000):
        assert not queue.takes(turn_of(f"s-{number}", 0, number + 2))
        queue.end(f"s-{number}")

    assert len(queue._order) < 100
    order = []
    for ended in ("runs", "waits"):
        queue.end(ended)
        order.append(queue.next())
    assert order == ["waits", "waits too"]


def test_secrets_of_teams_are_forgotten_a_while_after_the_sessions_that_had_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lent_secrets, "LATE_MAX", 3)
    redactor = Redactor(["secret-of-the-machine"])
    options = RuntimeOptions(engines=(ScriptedEngine(),), redactor=redactor)
    secrets = [f"secret-of-{number:02}" for number in range(20)]

    with open_runtime(tmp_path / "state", options) as runtime:
        for secret in secrets:
            team = simple_team({"a": ("a1",)}, options={"api_key": secret})
            session = runtime.run(SessionOrder(team, secret, tmp_path / secret))
            assert redactor.clean(secret) == "***"
            session.result(BOUND_SECONDS)
            # What it has said may still be on its way.
            assert redactor.clean(secret) == "***"
        assert [redactor.clean(secret) for secret in secrets] == [*secrets[:17], *["***"] * 3]
        assert redactor.clean("secret-of-the-machine") == "***"


def test_the_secrets_of_a_session_that_cannot_be_started_are_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lent_secrets, "LATE_MAX", 0)
    redactor = Redactor()
    options = RuntimeOptions(engines=(ScriptedEngine(),), redactor=redactor)
    team = simple_team({"a": ("a1",)}, options={"api_key": "a-secret-of-a-team"})

    def start(*_: object) -> None:
        raise RuntimeDraining("s-1")

    with open_runtime(tmp_path / "state", options) as runtime:
        monkeypatch.setattr(RunningSessions, "start", start)
        with pytest.raises(RuntimeDraining):
            runtime.run(SessionOrder(team, "s-1", tmp_path / "out"))

    assert redactor.clean("a-secret-of-a-team") == "a-secret-of-a-team"


def test_why_a_session_was_left_is_not_kept_beyond_its_end(tmp_path: Path) -> None:
    engine = ScriptedEngine(otherwise=Hold())
    with open_runtime(tmp_path / "state", RuntimeOptions(engines=(engine,))) as runtime:
        order = SessionOrder(simple_team({"a": ("a1",)}), "s-1", tmp_path / "out")
        session = runtime.run(order)
        engine.wait_for_calls(1)
        # As when a client has it go on while the daemon is about to give it up.
        runtime.hosting.leave_alone("s-1", "its engine is gone")
        assert runtime.hosting.why_left("s-1") == "its engine is gone"

        engine.release("a1")
        session.result(BOUND_SECONDS)
        assert runtime.hosting.why_left("s-1") is None
        runtime.hosting.leave_alone("s-1", "too late")
        assert runtime.hosting.why_left("s-1") is None
        runtime.remove("s-1")
        runtime.hosting.leave_alone("s-1", "far too late")
        assert runtime.hosting.why_left("s-1") is None


async def waits_and_goes(runtime: Runtime, *phases: str) -> None:
    waiting = asyncio.ensure_future(runtime.phases_over("s-1", phases))
    # Until it waits for what only others can bring.
    for _ in range(3):
        await asyncio.sleep(0)
    assert not waiting.done()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)


@pytest.mark.parametrize("ends_by", ["the phase", "the session"])
def test_who_waits_for_phases_and_goes_again_leaves_no_more_than_the_first(
    tmp_path: Path, ends_by: str
) -> None:
    engine = ScriptedEngine(otherwise=Hold())
    team = simple_team({"a": ("a1",), "b": ("b1",)}, workers=1)
    with open_runtime(tmp_path / "state", RuntimeOptions(engines=(engine,))) as runtime:
        runtime.run(SessionOrder(team, "s-1", tmp_path / "out"))
        engine.wait_for_calls(1)
        asyncio.run(waits_and_goes(runtime, "a"))
        watch = runtime._planner.watch
        ((ended, waits),) = watch._waiting["s-1"].items()
        callbacks = len(ended._callbacks or ())
        for _ in range(50):
            asyncio.run(waits_and_goes(runtime, "a"))
        (settled,) = waits.values()
        assert len(ended._callbacks or ()) == callbacks

        if ends_by == "the phase":
            engine.release("a1")
            settled.get(timeout=BOUND_SECONDS)
            assert not ended.is_done
            assert not waits
        runtime.cancel("s-1", deadline_seconds=0).result(BOUND_SECONDS)

        settled.get(timeout=BOUND_SECONDS)
        assert not watch._waiting


def test_refused_calls_of_those_that_are_gone_are_not_kept_until_the_breaker_closes(
    tmp_path: Path,
) -> None:
    with contextlib.closing(open_stage(tmp_path / "state", VirtualClock(1_000_000))) as stage:
        stage.engines.outcomes.append(TRANSIENT)
        stage.create(staged_team())
        stage.run(staged_team(), BreakerPolicy(failures_max=1))
        stage.wait_for("breaker_opened")
        stage.clock.advance(2.0)
        stage.wait_for("task_waiting")
        mailbox = stage.system._directory.get(breaker_address("scripted"))
        assert mailbox is not None
        breaker = mailbox.actor
        assert isinstance(breaker, CircuitBreaker)
        (there,) = breaker._waiters

        for number in range(1000):
            stage.breaker.acquire(refused(stage, f"urn:gone:{number}"))
        stage.breaker.status().get(timeout=BOUND_SECONDS)

        assert there in breaker._waiters
        assert len(breaker._waiters) <= 2 * WAITERS_MIN


def refused(stage: Stage, reply_to: str) -> OpenCall:
    return OpenCall(
        call_id=reply_to.encode(),
        caller=Caller("s-2", "dev", contract_id="c1", engine="scripted"),
        at_ms=stage.clock.now_ms(),
        reply_to=reply_to,
        round=1,
        attempt=1,
        need_tokens=1,
        limit_tokens=1,
        draft=Transition(),
    )
