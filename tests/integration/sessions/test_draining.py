"""A runtime that comes to its end takes no more, and lets what is in flight end."""

import threading
from pathlib import Path

import msgspec
import pytest

from daemon_team import TEAM
from maestro_actors.team import Team
from maestro_runtime import RuntimeOptions, SessionOrder, open_runtime
from maestro_runtime.checkpoints import ForkOrder
from maestro_runtime.errors import RuntimeDraining
from maestro_runtime.runtime import Runtime
from maestro_runtime.testing import ScriptedEngine, simple_team
from maestro_storage.errors import StoreFailed
from maestro_storage.records import EventRecord

BOUND_SECONDS = 20.0


def slow(seconds: float) -> Team:
    persona = msgspec.structs.replace(TEAM.personas["dev"], latency_seconds=seconds)
    return msgspec.structs.replace(TEAM, personas={"dev": persona})


def start(runtime: Runtime, tmp_path: Path, name: str, seconds: float) -> None:
    runtime.run(SessionOrder(slow(seconds), name, tmp_path / name))


def test_nothing_new_is_taken_and_nothing_is_durable_of_what_was_refused(tmp_path: Path) -> None:
    with open_runtime(tmp_path / "state") as runtime:
        start(runtime, tmp_path, "known", 0)
        assert runtime.hosting.drain().get(timeout=BOUND_SECONDS) is None

        for order in (
            lambda: start(runtime, tmp_path, "new", 0),
            lambda: runtime.create(SessionOrder(TEAM, "new", tmp_path / "new")),
            lambda: runtime.resume("known"),
            lambda: runtime.take_up("known"),
            lambda: runtime.fork(ForkOrder(session_id="known", new_id="new")),
        ):
            with pytest.raises(RuntimeDraining):
                order()
        known = [record.session_id for record in runtime.store.sessions.scan()]

    assert known == ["known"]


def test_what_is_in_flight_ends_and_its_result_is_durable(
    runtime: Runtime, gate: ScriptedEngine, tmp_path: Path
) -> None:
    for name in ("s1", "s2"):
        runtime.run(SessionOrder(simple_team({"a": ("a1",)}), name, tmp_path / name))
    gate.wait_for_calls(2)
    drained = runtime.hosting.drain()
    gate.release()
    at_once = drained.is_done
    gate.release()
    drained.get(timeout=BOUND_SECONDS)

    states = [task.state for name in ("s1", "s2") for task in runtime.store.tasks.scan(name)]
    assert not at_once
    assert states == ["done", "done"]


def test_a_drain_that_is_not_waited_for_is_cut_short_by_the_end(tmp_path: Path) -> None:
    with open_runtime(tmp_path / "state") as runtime:
        start(runtime, tmp_path, "s1", 600)
        drained = runtime.hosting.drain()

        assert not drained.is_done
    with open_runtime(tmp_path / "state") as again:
        assert next(row.state for row in again.store.attempts.scan("s1")) == "interrupted"


def test_a_loss_is_told_with_what_went_wrong(tmp_path: Path) -> None:
    class Failing:
        broken = False

        def before_commit(self, _number: int) -> None:
            if self.broken:
                raise OSError(5, "input/output error")

        def after_commit(self, _number: int) -> None:
            pass

    failing = Failing()
    with open_runtime(tmp_path / "state", RuntimeOptions(observer=failing)) as runtime:
        assert not runtime.lost.is_done
        failing.broken = True
        with pytest.raises(StoreFailed):
            start(runtime, tmp_path, "s1", 0)

        with pytest.raises(StoreFailed):
            runtime.lost.get(timeout=BOUND_SECONDS)


def test_an_order_about_a_session_that_the_drain_has_halted_does_not_wait(tmp_path: Path) -> None:
    """Nobody would take it before the next start."""
    again = msgspec.structs.replace(TEAM.personas["dev"], script=("transient", "ok"))
    team = msgspec.structs.replace(TEAM, personas={"dev": again})
    with open_runtime(tmp_path / "state") as runtime:
        waiting = threading.Event()

        def note(event: EventRecord) -> None:
            if event.kind == "attempt_failed":
                waiting.set()

        runtime.subscribe(note)
        runtime.run(SessionOrder(team, "s1", tmp_path / "s1"))
        assert waiting.wait(BOUND_SECONDS)
        runtime.hosting.drain().get(timeout=BOUND_SECONDS)

        with pytest.raises(RuntimeDraining):
            runtime.pause("s1")
