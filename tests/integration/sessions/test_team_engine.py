"""The team engine: phases, batches, plans with stops, resume, and the context they return."""

import asyncio
import json
from pathlib import Path

import msgspec
import pytest

from maestro_actors.errors import PhaseConflict, PhaseNotReady
from maestro_runtime import Runtime
from maestro_runtime.errors import TeamChanged
from maestro_runtime.given import Given
from maestro_runtime.team_engine import (
    ContextTooNew,
    ContextUnreadable,
    TeamExecutionContext,
    TeamExecutionEngineV2,
    TeamExecutionEngineV2SplitMode,
)
from maestro_storage.plan import Stretch
from phased import BOUND_SECONDS, LINE, Desk
from phased import phased as team_of


@pytest.fixture
def engine(runtime: Runtime, tmp_path: Path, desk: Desk) -> TeamExecutionEngineV2SplitMode:
    assert not desk.calls
    return TeamExecutionEngineV2SplitMode(
        team_of(), runtime, output_dir=tmp_path / "out", checkpoint_dir=tmp_path / "checkpoints"
    )


def test_a_team_is_executed_end_to_end_with_a_checkpoint_after_each_phase(
    engine: TeamExecutionEngineV2SplitMode, tmp_path: Path, desk: Desk
) -> None:
    context = asyncio.run(engine.execute("Build it"))

    assert (context.state, context.success, context.current_phase) == ("done", True, "")
    assert context.requirement == "Build it"
    assert [file.path for file in context.artifacts] == [
        "build.md",
        "design.md",
        "requirements.md",
    ]
    assert context.decisions == {name: {"blueprint": f"{name}-1"} for name in LINE}
    assert list(context.phase_results) == list(LINE)
    assert dict(desk.calls) == dict.fromkeys(LINE, 1)
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == [
        "checkpoint_build.json",
        "checkpoint_design.json",
        "checkpoint_init.json",
        "checkpoint_requirements.json",
    ]


def test_the_base_engine_executes_and_resumes(runtime: Runtime, tmp_path: Path, desk: Desk) -> None:
    base = TeamExecutionEngineV2(team_of(), runtime, output_dir=tmp_path / "out")

    first = asyncio.run(base.execute())
    again = asyncio.run(base.resume(first.session_id))

    assert first == again
    assert desk.calls.total() == len(LINE)


def test_single_phases_one_after_the_other_make_a_whole_session(
    engine: TeamExecutionEngineV2SplitMode, desk: Desk
) -> None:
    async def all_of_them() -> list[TeamExecutionContext]:
        return [await engine.execute_phase(name) for name in LINE]

    contexts = asyncio.run(all_of_them())

    assert len({context.session_id for context in contexts}) == 1
    assert [context.state for context in contexts] == ["paused", "paused", "done"]
    assert [context.current_phase for context in contexts] == ["design", "build", ""]
    assert [list(context.phase_results) for context in contexts] == [
        ["requirements"],
        ["requirements", "design"],
        ["requirements", "design", "build"],
    ]
    assert dict(desk.calls) == dict.fromkeys(LINE, 1)


def test_an_outer_dag_may_ask_for_independent_phases_at_once(
    runtime: Runtime, tmp_path: Path, desk: Desk
) -> None:
    after = {"requirements": (), "design": ("requirements",), "tests": ("requirements",)}
    engine = TeamExecutionEngineV2SplitMode(team_of(after), runtime, output_dir=tmp_path / "out")

    async def orchestrate() -> tuple[TeamExecutionContext, TeamExecutionContext]:
        await engine.execute_phase("requirements")
        desk.hold("design", "tests")
        design = asyncio.create_task(engine.execute_phase("design"))
        tests = asyncio.create_task(engine.execute_phase("tests"))
        await asyncio.to_thread(desk.wait_for, "design", "tests")
        with pytest.raises(PhaseConflict):
            await engine.execute_phase("design")
        desk.release("design")
        of_design = await asyncio.wait_for(design, BOUND_SECONDS)
        desk.release("tests")
        return of_design, await asyncio.wait_for(tests, BOUND_SECONDS)

    of_design, of_tests = asyncio.run(orchestrate())

    assert of_design.phase_results["design"].success
    assert not of_design.phase_results["tests"].success
    assert of_tests.state == "done"
    assert dict(desk.calls) == dict.fromkeys(after, 1)


def test_first_phases_may_be_asked_for_at_once_before_there_is_a_session(
    runtime: Runtime, tmp_path: Path, desk: Desk
) -> None:
    after: dict[str, tuple[str, ...]] = {"a": (), "b": (), "c": ()}
    engine = TeamExecutionEngineV2SplitMode(team_of(after), runtime, output_dir=tmp_path / "out")

    async def orchestrate() -> list[TeamExecutionContext]:
        return await asyncio.gather(*(engine.execute_phase(name) for name in after))

    contexts = asyncio.run(orchestrate())

    assert len({context.session_id for context in contexts}) == 1
    for context, name in zip(contexts, after, strict=True):
        assert context.phase_results[name].success
    assert dict(desk.calls) == dict.fromkeys(after, 1)


def test_a_session_of_another_team_is_shown_and_not_executed(
    engine: TeamExecutionEngineV2SplitMode, runtime: Runtime, desk: Desk
) -> None:
    asyncio.run(engine.execute_phase("requirements", "Build it", session_id="s"))
    first, *others = team_of().contracts
    contracts = (first, *(msgspec.structs.replace(item, name="changed") for item in others))
    changed = msgspec.structs.replace(team_of(), contracts=contracts)
    other = TeamExecutionEngineV2SplitMode(changed, runtime)

    with pytest.raises(TeamChanged, match="contract 'design': name changed from"):
        asyncio.run(other.execute_phase("design", session_id="s"))
    with pytest.raises(TeamChanged):
        asyncio.run(other.resume("s"))

    assert dict(desk.calls) == {"requirements": 1}
    assert asyncio.run(engine.resume("s")).state == "done"


def test_a_session_goes_on_with_the_team_of_an_engine_that_says_so(
    engine: TeamExecutionEngineV2SplitMode, runtime: Runtime, desk: Desk
) -> None:
    asyncio.run(engine.execute_phase("requirements", "Build it", session_id="s"))
    first, *others = team_of().contracts
    contracts = (first, *(msgspec.structs.replace(item, name="changed") for item in others))
    changed = msgspec.structs.replace(team_of(), contracts=contracts)
    other = TeamExecutionEngineV2SplitMode(changed, runtime)

    context = asyncio.run(other.resume("s", accept_changes=True))

    assert (context.state, context.requirement) == ("done", "Build it")
    assert dict(desk.calls) == dict.fromkeys(LINE, 1)
    assert desk.seen["design"].contract.name == "changed"
    assert asyncio.run(other.resume("s")).state == "done"


def test_a_session_with_a_context_is_one_of_an_engine_with_the_same(
    runtime: Runtime, tmp_path: Path, desk: Desk
) -> None:
    context = {"retry": {"max_rounds": 3}}
    with_context = TeamExecutionEngineV2SplitMode(
        team_of(), runtime, output_dir=tmp_path / "out", context=context
    )
    asyncio.run(with_context.execute_phase("requirements", session_id="s"))
    without = TeamExecutionEngineV2SplitMode(team_of(), runtime, output_dir=tmp_path / "out")

    with pytest.raises(TeamChanged):
        asyncio.run(without.resume("s"))
    with_the_same = TeamExecutionEngineV2SplitMode(team_of(), runtime, context=context)

    assert asyncio.run(with_the_same.resume("s")).state == "done"
    assert desk.calls["requirements"] == 1


def test_a_batch_is_a_stretch_without_a_stop(
    engine: TeamExecutionEngineV2SplitMode, desk: Desk
) -> None:
    context = asyncio.run(engine.execute_batch(["requirements", "design"]))

    assert (context.state, context.current_phase) == ("paused", "build")
    assert dict(desk.calls) == {"requirements": 1, "design": 1}


def test_a_mixed_plan_returns_at_each_stop_and_goes_on_by_resume(
    engine: TeamExecutionEngineV2SplitMode, desk: Desk
) -> None:
    plan = [Stretch(("requirements",), "sign the requirements"), Stretch(("design",), "review")]

    async def orchestrate() -> list[TeamExecutionContext]:
        first = await engine.execute_mixed(plan)
        second = await engine.resume(first.session_id)
        return [first, second, await engine.resume(first.session_id)]

    contexts = asyncio.run(orchestrate())

    assert [context.stop for context in contexts] == ["sign the requirements", "review", ""]
    assert [context.state for context in contexts] == ["paused", "paused", "done"]
    assert dict(desk.calls) == dict.fromkeys(LINE, 1)


def test_the_same_mixed_plan_again_goes_on_where_it_was(
    engine: TeamExecutionEngineV2SplitMode, desk: Desk
) -> None:
    plan = [Stretch(("requirements",), "sign"), Stretch(("design",), "review")]

    async def orchestrate() -> list[TeamExecutionContext]:
        return [await engine.execute_mixed(plan) for _ in range(3)]

    contexts = asyncio.run(orchestrate())

    assert [context.stop for context in contexts] == ["sign", "review", "review"]
    assert dict(desk.calls) == {"requirements": 1, "design": 1}


def test_a_phase_in_the_middle_starts_with_what_is_given(
    engine: TeamExecutionEngineV2SplitMode, desk: Desk
) -> None:
    given = Given({"requirements.md": b"by hand\n"}, {"stack": "python"})

    async def orchestrate() -> list[TeamExecutionContext]:
        first = await engine.execute_phase("design", given=given)
        return [first, await engine.execute_phase("build")]

    first, second = asyncio.run(orchestrate())

    assert first.phase_results["requirements"].tokens_used == 0
    assert (first.current_phase, first.inputs) == ("build", {"stack": "python"})
    assert second.state == "done"
    assert dict(desk.calls) == {"design": 1, "build": 1}


def test_a_phase_whose_predecessor_is_not_done_is_refused(
    engine: TeamExecutionEngineV2SplitMode, runtime: Runtime
) -> None:
    with pytest.raises(PhaseNotReady):
        asyncio.run(engine.execute_phase("build"))

    assert list(runtime.store.sessions.scan()) == []


def test_work_that_fails_is_in_the_result(
    engine: TeamExecutionEngineV2SplitMode, desk: Desk
) -> None:
    desk.failing.add("design")

    context = asyncio.run(engine.execute())

    assert (context.state, context.success, context.current_phase) == ("failed", False, "design")
    assert context.phase_results["requirements"].success
    assert not context.phase_results["design"].success
    assert "design is not allowed" in context.phase_results["design"].errors[0]
    assert "build" not in context.phase_results


@pytest.mark.parametrize("again", ["resume", "phase", "execute"])
def test_what_has_failed_is_tried_again_and_nothing_else(
    engine: TeamExecutionEngineV2SplitMode, desk: Desk, again: str
) -> None:
    async def orchestrate() -> TeamExecutionContext:
        failed = await engine.execute()
        desk.failing.clear()
        if again == "resume":
            return await engine.resume(failed.session_id)
        return await (engine.execute_phase("design") if again == "phase" else engine.execute())

    desk.failing.add("design")

    context = asyncio.run(orchestrate())

    assert context.phase_results["design"].success
    assert desk.calls["design"] == 2
    assert desk.calls["requirements"] == 1
    assert context.state == ("paused" if again == "phase" else "done")


def test_a_checkpoint_on_demand_is_exported_too(
    engine: TeamExecutionEngineV2SplitMode, tmp_path: Path
) -> None:
    async def orchestrate() -> TeamExecutionContext:
        await engine.execute_phase("requirements")
        return await engine.checkpoint("handover")

    context = asyncio.run(orchestrate())

    document = json.loads((tmp_path / "checkpoints" / "checkpoint_handover.json").read_text())
    assert document["schema"] == "maestro.checkpoint/2"
    assert document["content"]["on_demand"] is True
    assert context.current_phase == "design"


def test_exported_checkpoints_are_the_same_bytes_whoever_writes_them(
    engine: TeamExecutionEngineV2SplitMode, runtime: Runtime, tmp_path: Path
) -> None:
    context = asyncio.run(engine.execute())
    other = TeamExecutionEngineV2SplitMode(team_of(), runtime, checkpoint_dir=tmp_path / "again")

    asyncio.run(other.resume(context.session_id))

    for path in (tmp_path / "checkpoints").iterdir():
        assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes()


def test_a_context_survives_json_in_one_spelling(engine: TeamExecutionEngineV2SplitMode) -> None:
    context = asyncio.run(engine.execute_phase("requirements"))

    text = context.to_json()

    assert TeamExecutionContext.from_json(text) == context
    assert TeamExecutionContext.from_json(text).to_json() == text
    assert list(json.loads(text)) == sorted(json.loads(text))


def test_a_context_of_a_newer_version_is_refused(engine: TeamExecutionEngineV2SplitMode) -> None:
    fields = json.loads(asyncio.run(engine.execute_phase("requirements")).to_json())
    newer = json.dumps({**fields, "schema_version": 2, "unheard": 1})

    with pytest.raises(ContextTooNew) as raised:
        TeamExecutionContext.from_json(newer)

    assert str(raised.value) == "schema version of a context must be at most 1, got 2"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema_version": 1}', b"\xff"])
def test_what_is_no_context_is_refused(text: str | bytes) -> None:
    with pytest.raises(ContextUnreadable, match="must be JSON of a team execution context"):
        TeamExecutionContext.from_json(text)
