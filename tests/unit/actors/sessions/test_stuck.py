"""A coordinator that has lost track of a task says so, once and durably, and loses nothing."""

from dataclasses import replace

import pytest

from maestro_actors.sessions.coordinator import Coordinator
from maestro_actors.sessions.course import Course
from maestro_actors.verbs.wish import Asked, wished
from maestro_runtime.ports.memory import StoreMemory
from maestro_storage.records import CheckpointRecord
from staging import BOUND_SECONDS, SESSION, Stage, contract, team

WANTED = team(contract("c1"), contract("c2"))
REASON = "stuck: nobody knows what these tasks wait for"


class Lying(StoreMemory):
    """Says that a phase is over which is not."""

    def checkpoints(self, session_id: str) -> list[CheckpointRecord]:
        phase = CheckpointRecord(session_id=session_id, number=2, phase="build", at_ms=1)
        return [*super().checkpoints(session_id), phase]


class Leaky(Course):
    """Loses a task on its way into the queue."""

    def queue(self, task_id: str) -> None:
        if task_id != "c2":
            super().queue(task_id)


class Forgetful(Coordinator):
    """Works on a course that leaks."""

    def _take_up(self) -> None:
        super()._take_up()
        self._course = Leaky(self._ports, self._session_id, self._team)


def resume(stage: Stage) -> None:
    asked = Asked(wish="run")
    session = stage.store.require_session(SESSION)
    _, draft = wished(session, asked, stage.clock.now_ms(), stage.store.epoch)
    stage.store.journal.commit(draft).result(BOUND_SECONDS)
    stage.coordinate(WANTED)


def test_a_session_in_which_nobody_knows_what_to_do_pauses_with_an_alarm(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    honest = stage.ports
    stage.ports = replace(honest, memory=Lying(stage.store))
    stage.create(WANTED)

    stage.run(WANTED)
    stage.wait_for("session_paused")

    (alarm,) = stage.wait_for("session_stuck")
    assert alarm.data == {"tasks": "c1, c2", "reason": f"{REASON}: c1, c2"}
    session = stage.store.require_session(SESSION)
    assert (session.state, session.pause_reason) == ("paused", f"{REASON}: c1, c2")
    assert "session s-1 is stuck: c1, c2 wait for nothing" in caplog.text
    assert [stage.task(name).state for name in ("c1", "c2")] == ["queued", "queued"]
    # Nothing is lost: the next coordinator finds its way by the records.
    stage.ports = honest
    resume(stage)
    stage.wait_for("session_done")


def test_a_lost_task_is_told_once_while_others_go_on_and_again_when_they_have_ended(
    stage: Stage,
) -> None:
    stage.engines.held = True
    stage.create(WANTED)
    stage.run(WANTED, kind=Forgetful)
    (order,) = stage.engines.wait_for_calls(1)

    for _ in range(2):
        stage.coordinator.status().get(timeout=BOUND_SECONDS)
    stage.wait_for("session_stuck")
    stage.engines.finish(order.call_id)
    stage.wait_for("session_paused")

    (alarm,) = stage.wait_for("session_stuck")
    assert alarm.data["tasks"] == "c2"
    assert stage.task("c1").state == "done"
    stage.engines.held = False
    resume(stage)
    stage.wait_for("session_done")


def test_a_task_that_waits_for_something_is_no_alarm(stage: Stage) -> None:
    wanted = team(contract("c1"), contract("c2", after=("c1",)), contract("c3"), contract("c4"))
    stage.engines.held = True
    stage.create(wanted)
    stage.run(wanted)
    stage.engines.wait_for_calls(2)

    status = stage.coordinator.status().get(timeout=BOUND_SECONDS)

    waits = {task.task_id: (task.waits_for, task.detail) for task in status.tasks}
    assert waits == {
        "c1": ("call", ""),
        "c2": ("contract", "contract c1"),
        "c3": ("call", ""),
        "c4": ("slot", "place 1"),
    }
    assert "session_stuck" not in {event.kind for event in stage.events}
