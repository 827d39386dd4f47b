"""Phases one by one: plans that stop, single phases beside each other, checkpoints on demand."""

import threading
from pathlib import Path

import msgspec
import pytest

from maestro_actors.errors import PhaseConflict, PhaseNotReady, PlanInvalid
from maestro_actors.help.answer import Answer
from maestro_runtime import Runtime, SessionOrder, open_runtime
from maestro_runtime.errors import CheckpointNameInvalid, SessionConflict
from maestro_storage.plan import Stretch
from phased import BOUND_SECONDS, LINE, Desk
from phased import phased as team_of

PARALLEL = {"requirements": (), "design": ("requirements",), "tests": ("requirements",)}


def order(tmp_path: Path, *plan: Stretch, after: dict[str, tuple[str, ...]] = LINE) -> SessionOrder:
    return SessionOrder(team_of(after), "s", tmp_path / "out", plan=plan)


def names(runtime: Runtime) -> list[str]:
    return [record.phase for record in runtime.store.checkpoints.scan("s")]


def test_a_session_pauses_at_the_stop_of_its_plan_and_goes_on_with_the_next_stretch(
    runtime: Runtime, tmp_path: Path, desk: Desk
) -> None:
    plan = (Stretch(("requirements",), "read the requirements"), Stretch(("design",)))

    first = runtime.run(order(tmp_path, *plan)).result(BOUND_SECONDS)
    after_first = (first.state, first.pause_reason, dict(desk.calls))
    second = runtime.resume("s").result(BOUND_SECONDS)
    after_second = (second.state, second.pause_reason, dict(desk.calls))
    third = runtime.resume("s").result(BOUND_SECONDS)

    assert after_first == ("paused", "read the requirements", {"requirements": 1})
    assert after_second[0] == "paused"
    assert after_second[1] == "the planned phases are done: design"
    assert after_second[2] == {"requirements": 1, "design": 1}
    assert (third.state, third.pause_reason) == ("done", "")
    assert dict(desk.calls) == {"requirements": 1, "design": 1, "build": 1}
    assert names(runtime) == ["init", "requirements", "design", "build"]


def test_a_stop_drops_its_stretch_in_the_transition_that_pauses(
    runtime: Runtime, tmp_path: Path, desk: Desk
) -> None:
    plan = (Stretch(("requirements",)), Stretch(("design",), "look"))

    runtime.run(order(tmp_path, *plan)).result(BOUND_SECONDS)

    record = runtime.store.require_session("s")
    assert (record.state, record.plan) == ("paused", plan[1:])
    assert desk.calls.total() == 1


def test_a_session_survives_its_process_between_two_stretches(tmp_path: Path, desk: Desk) -> None:
    with open_runtime(tmp_path / "state") as runtime:
        plan = (Stretch(("requirements",)), Stretch(("design",), "look"))
        runtime.run(order(tmp_path, *plan)).result(BOUND_SECONDS)

    with open_runtime(tmp_path / "state") as runtime:
        report = runtime.resume("s").result(BOUND_SECONDS)

    assert (report.state, report.pause_reason) == ("paused", "look")
    assert dict(desk.calls) == {"requirements": 1, "design": 1}


def test_a_resume_by_another_plan_runs_that(runtime: Runtime, tmp_path: Path, desk: Desk) -> None:
    runtime.run(order(tmp_path, Stretch(("requirements",)))).result(BOUND_SECONDS)

    report = runtime.resume("s", (Stretch(("design",), "then"),)).result(BOUND_SECONDS)

    assert (report.state, report.pause_reason) == ("paused", "then")
    assert desk.calls["build"] == 0


@pytest.mark.parametrize(
    ("plan", "error", "text"),
    [
        (
            (Stretch(("design",)),),
            PhaseNotReady,
            "phase 'design' must come after 'requirements', neither done nor planned by then",
        ),
        (
            (Stretch(("requirements", "build")), Stretch(("design",))),
            PhaseNotReady,
            "phase 'build' must come after 'design', neither done nor planned by then",
        ),
        (
            (Stretch(("deploy",)),),
            PlanInvalid,
            "phase 'deploy' of a plan must be one of 'requirements', 'design', 'build'",
        ),
        (
            (Stretch(("requirements",)), Stretch(("requirements",))),
            PlanInvalid,
            "phase 'requirements' of a plan must be planned once",
        ),
        ((Stretch(()),), PlanInvalid, "stretch 1 of a plan must have at least one phase"),
    ],
)
def test_a_plan_that_cannot_be_kept_is_refused_before_there_is_a_session(
    runtime: Runtime,
    tmp_path: Path,
    plan: tuple[Stretch, ...],
    error: type[Exception],
    text: str,
) -> None:
    with pytest.raises(error) as raised:
        runtime.run(order(tmp_path, *plan))

    assert str(raised.value) == text
    assert runtime.store.sessions.get("s") is None


def test_a_single_phase_runs_alone_and_the_session_pauses(
    runtime: Runtime, tmp_path: Path, desk: Desk
) -> None:
    runtime.run(order(tmp_path, Stretch(("requirements",)))).result(BOUND_SECONDS)

    report = runtime.run_phases("s", ["design"]).result(BOUND_SECONDS)

    assert {task.phase: task.state for task in report.tasks} == {
        "requirements": "done",
        "design": "done",
        "build": "queued",
    }
    assert dict(desk.calls) == {"requirements": 1, "design": 1}


def test_a_phase_that_is_done_is_not_run_again(
    runtime: Runtime, tmp_path: Path, desk: Desk
) -> None:
    runtime.run(order(tmp_path, Stretch(("requirements",)))).result(BOUND_SECONDS)

    report = runtime.run_phases("s", ["requirements"]).result(BOUND_SECONDS)

    assert report.state == "paused"
    assert desk.calls["requirements"] == 1


def test_independent_phases_run_together_each_for_its_own_caller(
    runtime: Runtime, tmp_path: Path, desk: Desk
) -> None:
    runtime.run(order(tmp_path, Stretch(("requirements",)), after=PARALLEL)).result(BOUND_SECONDS)
    desk.hold("design", "tests")

    design = runtime.run_phases("s", ["design"])
    tests = runtime.run_phases("s", ["tests"])
    desk.wait_for("design", "tests")
    desk.release("design")
    of_design = design.result(BOUND_SECONDS)
    desk.release("tests")
    of_tests = tests.result(BOUND_SECONDS)

    assert {task.phase: task.state for task in of_design.tasks}["tests"] == "running"
    assert {task.phase: task.state for task in of_tests.tasks}["tests"] == "done"


def test_a_plan_runs_independent_phases_together(
    runtime: Runtime, tmp_path: Path, desk: Desk
) -> None:
    desk.hold("design", "tests")
    plan = (Stretch(("requirements", "design", "tests")),)

    session = runtime.run(order(tmp_path, *plan, after={**PARALLEL, "build": ("design", "tests")}))
    desk.wait_for("design", "tests")
    desk.release("design", "tests")

    assert session.result(BOUND_SECONDS).state == "paused"
    assert desk.calls["build"] == 0


def test_the_same_phase_twice_at_once_is_a_conflict(
    runtime: Runtime, tmp_path: Path, desk: Desk
) -> None:
    runtime.run(order(tmp_path, Stretch(("requirements",)))).result(BOUND_SECONDS)
    desk.hold("design")
    first = runtime.run_phases("s", ["design"])
    desk.wait_for("design")

    with pytest.raises(PhaseConflict) as raised:
        runtime.run_phases("s", ["design"])
    desk.release("design")
    first.result(BOUND_SECONDS)

    assert str(raised.value) == "phase 'design' of session 's' runs already for another call"
    assert desk.calls["design"] == 1


def test_a_phase_of_a_session_that_runs_as_a_whole_is_a_conflict(
    runtime: Runtime, tmp_path: Path, desk: Desk
) -> None:
    desk.hold("requirements")
    session = runtime.run(order(tmp_path))
    desk.wait_for("requirements")

    with pytest.raises(PhaseConflict, match="runs already in the run of the whole session"):
        runtime.run_phases("s", ["requirements"])
    with pytest.raises(SessionConflict, match="the plan 'everything', got 'design'"):
        runtime.resume("s", (Stretch(("design",)),))
    desk.release("requirements")

    assert session.result(BOUND_SECONDS).state == "done"


def test_a_phase_that_waits_for_one_in_flight_may_be_asked_for(
    runtime: Runtime, tmp_path: Path, desk: Desk
) -> None:
    desk.hold("requirements")
    runtime.run(order(tmp_path, Stretch(("requirements",))))
    desk.wait_for("requirements")

    design = runtime.run_phases("s", ["design"])
    desk.release("requirements")

    assert {task.phase: task.state for task in design.result(BOUND_SECONDS).tasks}["build"] == (
        "queued"
    )


def test_a_phase_whose_predecessor_nobody_has_asked_for_is_refused_live(
    runtime: Runtime, tmp_path: Path, desk: Desk
) -> None:
    desk.hold("requirements")
    session = runtime.run(order(tmp_path, Stretch(("requirements",))))
    desk.wait_for("requirements")

    with pytest.raises(PhaseNotReady, match="phase 'build' must come after 'design'"):
        runtime.run_phases("s", ["build"])
    desk.release("requirements")

    assert session.result(BOUND_SECONDS).state == "paused"


def test_a_phase_that_fails_ends_the_wait_of_its_caller_and_of_nobody_else(
    runtime: Runtime, tmp_path: Path, desk: Desk
) -> None:
    runtime.run(order(tmp_path, Stretch(("requirements",)), after=PARALLEL)).result(BOUND_SECONDS)
    desk.hold("tests")
    desk.failing.add("design")

    tests = runtime.run_phases("s", ["tests"])
    desk.wait_for("tests")
    of_design = runtime.run_phases("s", ["design"]).result(BOUND_SECONDS)
    desk.release("tests")
    of_tests = tests.result(BOUND_SECONDS)

    assert {task.phase: task.state for task in of_design.tasks}["design"] == "failed"
    assert {task.phase: task.state for task in of_design.tasks}["tests"] == "running"
    assert {task.phase: task.state for task in of_tests.tasks}["tests"] == "done"


def test_a_phase_that_has_failed_may_be_asked_for_again_while_others_run(
    runtime: Runtime, tmp_path: Path, desk: Desk
) -> None:
    runtime.run(order(tmp_path, Stretch(("requirements",)), after=PARALLEL)).result(BOUND_SECONDS)
    desk.hold("tests")
    desk.failing.add("design")
    tests = runtime.run_phases("s", ["tests"])
    desk.wait_for("tests")
    runtime.run_phases("s", ["design"]).result(BOUND_SECONDS)
    desk.failing.clear()

    of_design = runtime.run_phases("s", ["design"]).result(BOUND_SECONDS)
    desk.release("tests")
    tests.result(BOUND_SECONDS)

    assert {task.phase: task.state for task in of_design.tasks}["design"] == "done"
    assert {task.phase: task.state for task in of_design.tasks}["tests"] == "running"


def test_a_failed_phase_of_a_session_that_runs_as_a_whole_is_tried_again_for_one_caller_only(
    runtime: Runtime, tmp_path: Path, desk: Desk
) -> None:
    failed = threading.Event()
    runtime.subscribe(lambda event: failed.set() if event.kind == "task_failed" else None)
    desk.hold("tests")
    desk.failing.add("design")
    session = runtime.run(order(tmp_path, after=PARALLEL))
    assert failed.wait(BOUND_SECONDS)
    desk.failing.clear()
    desk.hold("design")

    design = runtime.run_phases("s", ["design"])
    with pytest.raises(PhaseConflict, match="runs already in the run of the whole session"):
        runtime.run_phases("s", ["design"])
    for task_id in ("design", "tests"):
        desk.release(task_id)

    assert {task.phase: task.state for task in design.result(BOUND_SECONDS).tasks}["design"] == (
        "done"
    )
    assert session.result(BOUND_SECONDS).state == "done"
    kinds = [event.kind for event in runtime.store.events.scan("s")]
    assert kinds.count("task_retried") == 1


def test_a_checkpoint_on_demand_ends_no_phase(runtime: Runtime, tmp_path: Path, desk: Desk) -> None:
    runtime.run(order(tmp_path, Stretch(("requirements",)))).result(BOUND_SECONDS)
    at_rest = runtime.checkpoint("s", "before-design")
    desk.hold("design")
    session = runtime.resume("s")
    desk.wait_for("design")
    live = runtime.checkpoint("s", "during-design")
    desk.release("design")
    report = session.result(BOUND_SECONDS)

    assert (at_rest, live) == (3, 4)
    assert report.state == "done"
    assert names(runtime) == [
        "init",
        "requirements",
        "before-design",
        "during-design",
        "design",
        "build",
    ]


@pytest.mark.parametrize("name", ["init", "design", "3", "", "a/b"])
def test_a_checkpoint_on_demand_needs_a_name_of_its_own(
    runtime: Runtime, tmp_path: Path, desk: Desk, name: str
) -> None:
    runtime.run(order(tmp_path, Stretch(("requirements",)))).result(BOUND_SECONDS)

    with pytest.raises(CheckpointNameInvalid) as raised:
        runtime.checkpoint("s", name)

    assert str(raised.value) == (
        "the name of a checkpoint must match [A-Za-z0-9][A-Za-z0-9._-]{0,63}, "
        f"and be no number and no phase of the team, got {name!r}"
    )
    assert len(names(runtime)) == 2
    assert desk.calls.total() == 1


def test_phases_of_a_session_that_is_taken_up_may_be_asked_for_at_once(
    tmp_path: Path, desk: Desk
) -> None:
    with open_runtime(tmp_path / "state") as runtime:
        runtime.create(order(tmp_path, Stretch(("requirements",))))
    desk.hold("requirements")

    with open_runtime(tmp_path / "state") as runtime:
        taken_up = runtime.take_up("s")
        desk.wait_for("requirements")
        first = runtime.run_phases("s", ["requirements"])
        with pytest.raises(PhaseConflict, match="runs already for another call"):
            runtime.run_phases("s", ["requirements"])
        desk.release("requirements")

        assert first.result(BOUND_SECONDS).tasks[0].state == "done"
        assert taken_up.result(BOUND_SECONDS).state == "paused"
    assert desk.calls["requirements"] == 1


def test_a_phase_that_goes_on_after_an_answer_may_be_asked_for_again(
    runtime: Runtime, tmp_path: Path, desk: Desk
) -> None:
    team = team_of(PARALLEL)
    asking = {
        name: msgspec.structs.replace(persona, give_up_on_failure=False)
        for name, persona in team.personas.items()
    }
    team = msgspec.structs.replace(team, personas=asking)
    plan = (Stretch(("requirements",)),)
    runtime.run(SessionOrder(team, "s", tmp_path / "out", plan=plan)).result(BOUND_SECONDS)
    desk.hold("tests")
    desk.failing.add("design")
    tests = runtime.run_phases("s", ["tests"])
    runtime.run_phases("s", ["design"]).result(BOUND_SECONDS)
    desk.failing.clear()
    desk.hold("design")
    again = threading.Event()
    runtime.subscribe(lambda event: again.set() if event.kind == "attempt_started" else None)
    runtime.answer("s", "design", Answer(decision="retry"))
    assert again.wait(BOUND_SECONDS)

    design = runtime.run_phases("s", ["design"])
    desk.release("design")
    report = design.result(BOUND_SECONDS)
    desk.release("tests")
    tests.result(BOUND_SECONDS)

    assert {task.phase: task.state for task in report.tasks}["design"] == "done"
