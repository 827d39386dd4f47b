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
from maestro_actors.sessions.personas import EARLY_SLOTS_MAX
from maestro_actors.team import Team
from maestro_actors.verbs.wish import Asked
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


def begin(stage: Stage, wanted: Team) -> None:
    """Run a session until its slots are taken."""
    stage.engines.held = True
    stage.create(wanted)
    stage.run(wanted)
    stage.engines.wait_for_calls(wanted.max_parallel_workers)


def end_one(stage: Stage, commits: HeldCommits) -> None:
    """Have the end of the first attempt handed in, and not durable."""
    commits.hold()
    stage.engines.finish(stage.engines.started[0].call_id)
    commits.wait_for_one()
    # By then the turn that handed it in is over.
    stage.accountant.usage(SESSION).get(timeout=BOUND_SECONDS)


def test_a_slot_is_given_on_before_the_end_of_its_attempt_is_durable(
    stage: Stage, commits: HeldCommits
) -> None:
    begin(stage, one_at_a_time("c1", "c2", "c3"))
    end_one(stage, commits)

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
    begin(stage, one_at_a_time("c1", "c2"))
    end_one(stage, commits)
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
    begin(stage, one_at_a_time("c1"))
    end_one(stage, commits)

    stage.coordinator.halt().get(timeout=BOUND_SECONDS)

    assert stage.system.ref(coordinator_address(SESSION)) is not None


def test_of_many_slots_none_is_given_on_before_the_end_of_its_attempt_is_durable(
    stage: Stage, commits: HeldCommits
) -> None:
    names = [f"c{number:02d}" for number in range(EARLY_SLOTS_MAX + 2)]
    wanted = team(*map(contract, names))
    wanted = msgspec.structs.replace(wanted, max_parallel_workers=EARLY_SLOTS_MAX + 1)
    begin(stage, wanted)
    end_one(stage, commits)

    status = stage.coordinator.status().get(timeout=BOUND_SECONDS)

    assert status.in_flight == EARLY_SLOTS_MAX + 1
    assert status.tasks[-1].waits_for == "slot"


def test_a_slot_of_a_session_that_is_to_pause_is_not_given_on(
    stage: Stage, commits: HeldCommits
) -> None:
    begin(stage, one_at_a_time("c1", "c2"))
    stage.coordinator.wish(Asked(wish="pause", reason="lunch")).get(timeout=BOUND_SECONDS)
    stage.wait_for("pause_asked")
    # Behind the word that this is durable.
    stage.coordinator.status().get(timeout=BOUND_SECONDS)
    end_one(stage, commits)

    status = stage.coordinator.status().get(timeout=BOUND_SECONDS)

    assert status.tasks[-1].waits_for == "slot"
    commits.let_go()
    stage.wait_for("session_paused")


def test_a_slot_of_a_session_that_is_halted_is_not_given_on(
    stage: Stage, commits: HeldCommits
) -> None:
    begin(stage, one_at_a_time("c1", "c2"))
    stage.coordinator.halt().get(timeout=BOUND_SECONDS)
    end_one(stage, commits)

    status = stage.coordinator.status().get(timeout=BOUND_SECONDS)

    assert status.tasks[-1].waits_for == "slot"


def test_word_of_a_slot_that_its_task_has_given_back_frees_no_other(stage: Stage) -> None:
    begin(stage, one_at_a_time("c1", "c2", "c3"))
    stage.engines.finish(stage.engines.started[0].call_id)
    stage.engines.wait_for_calls(2)

    stage.system.deliver(stage.coordinator.address, encoded(SlotFreed(task_id="c1")))

    status = stage.coordinator.status().get(timeout=BOUND_SECONDS)
    assert [task.waits_for for task in status.tasks] == ["nothing", "call", "slot"]
