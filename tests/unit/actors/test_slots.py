"""A slot goes to the next task as soon as what became of the last one is handed in."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from held_commits import HeldCommits
from maestro_actors.identity import coordinator_address
from maestro_actors.kernel import VirtualClock
from maestro_actors.messages import SlotFreed
from maestro_actors.proxy import encoded
from maestro_actors.team import Team
from staging import BOUND_SECONDS, SESSION, Stage, contract, open_stage, team


@pytest.fixture
def commits() -> HeldCommits:
    return HeldCommits()


@pytest.fixture
def stage(tmp_path: Path, commits: HeldCommits) -> Iterator[Stage]:
    opened = open_stage(tmp_path / "state", VirtualClock(1_000_000), observer=commits)
    yield opened
    commits.let_go()
    opened.close()


def one_at_a_time(*names: str) -> Team:
    return msgspec.structs.replace(team(*map(contract, names)), max_parallel_workers=1)


def end_the_first_attempt(stage: Stage, commits: HeldCommits, wanted: Team) -> None:
    """Run a session until the end of its first attempt is handed in, and not durable."""
    stage.engines.held = True
    stage.create(wanted)
    stage.run(wanted)
    (order,) = stage.engines.wait_for_calls(1)
    commits.hold()
    stage.engines.finish(order.call_id)
    commits.wait_for_one()
    # By then the turn that handed it in is over.
    stage.accountant.usage(SESSION).get(timeout=BOUND_SECONDS)


def test_a_slot_is_given_on_before_the_end_of_its_attempt_is_durable(
    stage: Stage, commits: HeldCommits
) -> None:
    end_the_first_attempt(stage, commits, one_at_a_time("c1", "c2", "c3"))

    status = stage.coordinator.status().get(timeout=BOUND_SECONDS)

    assert [(task.task_id, task.waits_for) for task in status.tasks] == [
        ("c1", "call"),
        ("c2", "call"),
        ("c3", "slot"),
    ]
    assert status.in_flight == 1


def test_an_engine_in_a_slot_that_was_given_on_starts_when_its_opening_is_durable(
    stage: Stage, commits: HeldCommits
) -> None:
    end_the_first_attempt(stage, commits, one_at_a_time("c1", "c2"))
    stage.coordinator.status().get(timeout=BOUND_SECONDS)
    begun_early = len(stage.engines.started)

    commits.let_go()

    assert begun_early == 1
    assert [order.task_id for order in stage.engines.wait_for_calls(2)] == ["c1", "c2"]


def test_the_beginning_of_an_attempt_stands_behind_the_end_of_the_one_before_in_its_slot(
    stage: Stage,
) -> None:
    names = [f"c{number}" for number in range(20)]
    wanted = one_at_a_time(*names)
    stage.create(wanted)
    stage.run(wanted)

    stage.wait_for("session_done")

    kinds = [event.kind for event in stage.events if event.kind.startswith("attempt_")]
    assert kinds == ["attempt_started", "attempt_succeeded"] * len(names)


def test_a_session_is_not_left_while_the_end_of_an_attempt_is_not_durable(
    stage: Stage, commits: HeldCommits
) -> None:
    end_the_first_attempt(stage, commits, one_at_a_time("c1"))

    stage.coordinator.halt().get(timeout=BOUND_SECONDS)

    assert stage.system.ref(coordinator_address(SESSION)) is not None


def test_word_of_a_slot_that_its_task_has_given_back_frees_no_other(stage: Stage) -> None:
    wanted = one_at_a_time("c1", "c2", "c3")
    stage.engines.held = True
    stage.create(wanted)
    stage.run(wanted)
    stage.engines.finish(stage.engines.wait_for_calls(1)[0].call_id)
    stage.engines.wait_for_calls(2)

    stage.system.deliver(stage.coordinator.address, encoded(SlotFreed(task_id="c1")))

    status = stage.coordinator.status().get(timeout=BOUND_SECONDS)
    assert [task.waits_for for task in status.tasks] == ["nothing", "call", "slot"]
