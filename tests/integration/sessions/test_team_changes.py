"""A session that goes on with another team, or with an engine that is not what it was."""

import threading
from pathlib import Path

import msgspec
import pytest

from maestro_actors.errors import TeamChangeRefused
from maestro_actors.help.answer import Answer
from maestro_actors.team import CommandSpec, Contract, Deliverable, Persona, Team
from maestro_runtime import Runtime, SessionOrder, open_runtime
from maestro_runtime.errors import SessionBusy, TeamChanged
from maestro_runtime.reports.session import session_versions
from maestro_storage import verify
from maestro_storage.plan import Stretch
from maestro_storage.records import EventRecord
from two_phases import BOUND_SECONDS, two_phases

WAITS = {"script": ("permanent",), "give_up_on_failure": False}
"""The reviewer needs a person: the first phase is over, and the session has not ended."""


def begun(runtime: Runtime, tmp_path: Path) -> Team:
    """Run a session until it needs a person, and return its team."""
    team = two_phases(**WAITS)
    order = SessionOrder(team, "s1", tmp_path / "out")
    assert runtime.run(order).result(BOUND_SECONDS).state == "help_needed"
    return team


def another(team: Team) -> Team:
    """Return the team with a contract more in its second phase, and without the one that waits."""
    extra = Contract(
        id="summary",
        name="summary",
        phase="check",
        provider_persona_id="writer",
        deliverables=(Deliverable(name="summary", artifacts=("summary.md",)),),
    )
    return msgspec.structs.replace(team, contracts=(team.contracts[0], extra))


def kinds(runtime: Runtime, kind: str) -> list[EventRecord]:
    return [event for event in runtime.store.events.scan("s1") if event.kind == kind]


def test_another_team_is_shown_and_nothing_is_changed_until_it_is_accepted(tmp_path: Path) -> None:
    with open_runtime(tmp_path / "state") as runtime:
        after = another(begun(runtime, tmp_path))
        before = (list(runtime.store.sessions.scan()), list(runtime.store.tasks.scan("s1")))

        with pytest.raises(TeamChanged) as resumed:
            runtime.resume("s1", team=after)
        with pytest.raises(TeamChanged) as ran:
            runtime.run(SessionOrder(after, "s1", tmp_path / "out"))

        differs = ("contract 'review' removed", "contract 'summary' added")
        assert resumed.value.differences == ran.value.differences == differs
        assert before == (list(runtime.store.sessions.scan()), list(runtime.store.tasks.scan("s1")))


def test_an_accepted_change_runs_what_is_new_and_nothing_twice(tmp_path: Path) -> None:
    with open_runtime(tmp_path / "state") as runtime:
        after = another(begun(runtime, tmp_path))
        note = (tmp_path / "out" / "note.md").stat().st_mtime_ns
        record = runtime.store.require_session("s1")
        order = SessionOrder(after, "s1", tmp_path / "out", accept_changes=True)

        report = runtime.run(order).result(BOUND_SECONDS)

        assert report.state == "done"
        assert [(task.task_id, len(task.attempts)) for task in report.tasks] == [
            ("note", 1),
            ("summary", 1),
        ]
        assert (tmp_path / "out" / "note.md").stat().st_mtime_ns == note
        assert len(kinds(runtime, "team_changed")) == 1
        assert [
            runtime.store.payloads.get(old or b"") for old in (record.team, record.versions)
        ] == [
            *(None, None),
        ], "nobody needs what it was before"
        assert runtime.store.calls.count("s1") == 3, "what the removed task cost stays booked"
        assert {version.name for version in report.versions if version.kind == "contract"} == {
            "note",
            "summary",
        }
    assert verify(tmp_path / "state").intact


def test_the_team_that_a_session_already_has_is_no_change(tmp_path: Path) -> None:
    with open_runtime(tmp_path / "state") as runtime:
        team = begun(runtime, tmp_path)

        runtime.resume("s1", team=team, accept_changes=True).result(BOUND_SECONDS)

        assert kinds(runtime, "team_changed") == []


def test_the_change_of_a_task_that_needs_help_holds_for_its_next_attempt(tmp_path: Path) -> None:
    with open_runtime(tmp_path / "state") as runtime:
        team = begun(runtime, tmp_path)
        able = msgspec.structs.replace(team.personas["reviewer"], script=())
        after = msgspec.structs.replace(team, personas={**team.personas, "reviewer": able})
        runtime.answer("s1", "review", Answer(decision="retry"))

        report = runtime.resume("s1", team=after, accept_changes=True).result(BOUND_SECONDS)

    assert report.state == "done"
    assert [len(task.attempts) for task in report.tasks] == [1, 2]


def test_what_is_refused_changes_nothing(tmp_path: Path) -> None:
    with open_runtime(tmp_path / "state") as runtime:
        team = begun(runtime, tmp_path)
        before = list(runtime.store.sessions.scan())
        without_note = msgspec.structs.replace(team, contracts=team.contracts[1:])

        with pytest.raises(TeamChangeRefused, match="contract 'note' is done and must stay"):
            runtime.resume("s1", team=without_note, accept_changes=True)

        assert list(runtime.store.sessions.scan()) == before
        assert kinds(runtime, "team_changed") == []


def renamed(team: Team) -> Team:
    """Return the team with its second phase under another name."""
    first, second = team.phases
    note, review = team.contracts
    replace = msgspec.structs.replace
    phases = (first, replace(second, name="judge"))
    return replace(team, phases=phases, contracts=(note, replace(review, phase="judge")))


def test_a_plan_that_a_change_would_break_is_replaced_or_nothing_changes(tmp_path: Path) -> None:
    team = two_phases()
    plan = (Stretch(("write",), "look"), Stretch(("check",)))
    with open_runtime(tmp_path / "state") as runtime:
        order = SessionOrder(team, "s1", tmp_path / "out", plan=plan)
        assert runtime.run(order).result(BOUND_SECONDS).pause_reason == "look"
        before = list(runtime.store.sessions.scan())

        with pytest.raises(TeamChangeRefused, match="phase 'check' of a plan must be one of"):
            runtime.resume("s1", team=renamed(team), accept_changes=True)
        assert list(runtime.store.sessions.scan()) == before
        session = runtime.resume("s1", (), team=renamed(team), accept_changes=True)

        assert session.result(BOUND_SECONDS).state == "done"


def test_a_checkpoint_on_demand_does_not_keep_a_team_from_changing(tmp_path: Path) -> None:
    team = two_phases()
    with open_runtime(tmp_path / "state") as runtime:
        order = SessionOrder(team, "s1", tmp_path / "out", plan=(Stretch(("write",)),))
        runtime.run(order).result(BOUND_SECONDS)
        runtime.checkpoint("s1", "looked-at")

        session = runtime.resume("s1", team=renamed(team), accept_changes=True)

        assert session.result(BOUND_SECONDS).state == "done"


def test_a_new_phase_must_not_have_the_name_of_a_checkpoint(tmp_path: Path) -> None:
    team = two_phases()
    with open_runtime(tmp_path / "state") as runtime:
        order = SessionOrder(team, "s1", tmp_path / "out", plan=(Stretch(("write",)),))
        runtime.run(order).result(BOUND_SECONDS)
        changed = renamed(team)
        (name,) = {item.name for item in changed.phases} - {item.name for item in team.phases}
        runtime.checkpoint("s1", name)
        before = list(runtime.store.sessions.scan())

        with pytest.raises(TeamChangeRefused, match=f"phase '{name}' has the name of checkpoint 3"):
            runtime.resume("s1", team=changed, accept_changes=True)

        assert list(runtime.store.sessions.scan()) == before


def test_a_session_that_has_ended_takes_no_other_team(tmp_path: Path) -> None:
    team = two_phases()
    with open_runtime(tmp_path / "state") as runtime:
        runtime.run(SessionOrder(team, "s1", tmp_path / "out")).result(BOUND_SECONDS)

        with pytest.raises(TeamChangeRefused, match="it is done"):
            runtime.resume("s1", team=another(team), accept_changes=True)


def test_a_session_that_runs_takes_no_other_team(tmp_path: Path) -> None:
    team = two_phases(latency_seconds=60.0)
    reviewing = threading.Event()

    def hear(event: EventRecord) -> None:
        if event.kind == "attempt_started" and event.task_id == "review":
            reviewing.set()

    with open_runtime(tmp_path / "state") as runtime:
        runtime.subscribe(hear)
        runtime.run(SessionOrder(team, "s1", tmp_path / "out"))
        assert reviewing.wait(BOUND_SECONDS)

        changed = msgspec.structs.replace(team, requirement="other")
        with pytest.raises(SessionBusy, match="must be paused before its team changes"):
            runtime.resume("s1", team=changed, accept_changes=True)


@pytest.fixture
def scripted(tmp_path: Path) -> Team:
    """Return a team whose reviewer is a program that fails until it is mended."""
    program = tmp_path / "review.py"
    program.write_text("raise SystemExit(1)\n")
    team = two_phases(**WAITS)
    reviewer = Persona(
        persona_id="reviewer",
        engine="command",
        command=CommandSpec(argv=("python3", str(program))),
        retry=team.personas["reviewer"].retry,
        give_up_on_failure=False,
    )
    return msgspec.structs.replace(team, personas={**team.personas, "reviewer": reviewer})


def test_an_engine_that_has_changed_is_used_and_told_in_the_history(
    tmp_path: Path, scripted: Team
) -> None:
    with open_runtime(tmp_path / "state") as runtime:
        runtime.run(SessionOrder(scripted, "s1", tmp_path / "out")).result(BOUND_SECONDS)
        first = engines(runtime)
        (tmp_path / "review.py").write_text("open('review.md', 'w').write('fine')\n")
        runtime.answer("s1", "review", Answer(decision="retry"))

        report = runtime.resume("s1").result(BOUND_SECONDS)

        second = engines(runtime)
        told = [event.data for event in kinds(runtime, "engine_changed")]
    assert report.state == "done"
    assert told == [{"persona_id": "reviewer", "engine": "command"}]
    assert first["writer"] == second["writer"]
    assert first["reviewer"] != second["reviewer"]
    assert verify(tmp_path / "state").intact


def test_an_engine_that_has_changed_is_told_also_if_a_phase_is_asked_for(
    tmp_path: Path, scripted: Team
) -> None:
    with open_runtime(tmp_path / "state") as runtime:
        plan = (Stretch(("write",)),)
        runtime.run(SessionOrder(scripted, "s1", tmp_path / "out", plan=plan)).result(BOUND_SECONDS)
        (tmp_path / "review.py").write_text("open('review.md', 'w').write('fine')\n")

        report = runtime.run_phases("s1", ("check",)).result(BOUND_SECONDS)

        assert report.state == "done"
        assert [event.data["persona_id"] for event in kinds(runtime, "engine_changed")] == [
            "reviewer"
        ]


def test_an_engine_that_is_the_same_is_not_mentioned(tmp_path: Path, scripted: Team) -> None:
    with open_runtime(tmp_path / "state") as runtime:
        runtime.run(SessionOrder(scripted, "s1", tmp_path / "out")).result(BOUND_SECONDS)
    with open_runtime(tmp_path / "state") as runtime:
        events = runtime.store.events.count("s1")
        runtime.resume("s1").result(BOUND_SECONDS)

        assert kinds(runtime, "engine_changed") == []
        assert runtime.store.events.count("s1") == events + 1, "only that it still needs help"


def test_a_persona_that_gets_another_engine_is_a_change_of_the_team_alone(
    tmp_path: Path, scripted: Team
) -> None:
    with open_runtime(tmp_path / "state") as runtime:
        runtime.run(SessionOrder(scripted, "s1", tmp_path / "out")).result(BOUND_SECONDS)
        reviewer = Persona(persona_id="reviewer")
        after = msgspec.structs.replace(
            scripted, personas={**scripted.personas, "reviewer": reviewer}
        )
        runtime.answer("s1", "review", Answer(decision="retry"))

        report = runtime.resume("s1", team=after, accept_changes=True).result(BOUND_SECONDS)

        assert report.state == "done"
        assert report.tasks[1].engine == "rehearsal"
        assert len(kinds(runtime, "team_changed")) == 1
        assert kinds(runtime, "engine_changed") == []


def engines(runtime: Runtime) -> dict[str, str]:
    """Return the versions of the engines by persona."""
    record = runtime.store.require_session("s1")
    return {
        version.name: version.digest
        for version in session_versions(runtime.store, record)
        if version.kind == "engine"
    }
