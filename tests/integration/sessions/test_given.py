"""Sessions that start at a later phase, with what the earlier ones would have delivered."""

import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest

from maestro_actors.checks import MinBytes
from maestro_actors.errors import PlanInvalid
from maestro_actors.team import CommandSpec, Persona
from maestro_runtime import ForkOrder, Runtime, SessionOrder
from maestro_runtime.checkpoints import checkpoint_report, find_checkpoint
from maestro_runtime.errors import DirectoryUnusable, GivenMissing, InputsInvalid, SessionConflict
from maestro_runtime.given import Given
from maestro_runtime.reports.session import session_report
from maestro_storage.plan import Stretch
from phased import BOUND_SECONDS, LINE, Desk
from phased import phased as team_of

NOTES = {"requirements.md": b"given\n", "design.md": b"given\n"}


def order(tmp_path: Path, given: Given, start_at: str | None = "build") -> SessionOrder:
    return SessionOrder(team_of(), "s", tmp_path / "out", start_at=start_at, given=given)


def folder(tmp_path: Path, files: Mapping[str, bytes]) -> Path:
    path = tmp_path / "given"
    path.mkdir()
    for name, content in files.items():
        (path / name).write_bytes(content)
    return path


@pytest.mark.parametrize("kind", ["folder", "contents"])
def test_a_session_starts_at_a_later_phase_with_given_files(
    runtime: Runtime, tmp_path: Path, desk: Desk, kind: str
) -> None:
    files = {**NOTES, "extra.txt": b"nobody owes this"}
    given = Given(folder(tmp_path, files) if kind == "folder" else files)

    report = runtime.run(order(tmp_path, given)).result(BOUND_SECONDS)

    assert report.state == "done"
    assert dict(desk.calls) == {"build": 1}
    assert [(task.task_id, task.state, task.tokens_used) for task in report.tasks] == [
        ("requirements", "done", 0),
        ("design", "done", 0),
        ("build", "done", 7),
    ]
    assert [file.path for file in report.tasks[0].artifacts] == ["requirements.md"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "build.md",
        "design.md",
        "requirements.md",
    ]
    assert [row.phase for row in runtime.store.checkpoints.scan("s")] == ["init", *LINE]


def test_everything_that_is_missing_is_named_by_contract_and_glob(
    runtime: Runtime, tmp_path: Path
) -> None:
    with pytest.raises(GivenMissing) as raised:
        runtime.run(order(tmp_path, Given({"other.md": b""})))

    assert str(raised.value) == (
        "what comes before phase 'build' must be given whole: "
        "contract 'requirements', deliverable 'note': no file matches 'requirements.md'; "
        "contract 'design', deliverable 'note': no file matches 'design.md'"
    )
    assert runtime.store.sessions.get("s") is None
    assert not (tmp_path / "out").exists()


def test_a_given_file_that_is_a_link_is_refused_by_name(runtime: Runtime, tmp_path: Path) -> None:
    path = folder(tmp_path, {"design.md": b"x"})
    (path / "requirements.md").symlink_to(path / "design.md")

    with pytest.raises(GivenMissing, match=r"refused: 'requirements.md' is a symbolic link"):
        runtime.run(order(tmp_path, Given(path)))


def test_the_context_is_in_every_order_and_survives_with_the_session(
    runtime: Runtime, tmp_path: Path, desk: Desk
) -> None:
    given = Given(context={"stack": ["python"], "depth": 2})
    wanted = order(tmp_path, given, start_at=None)

    runtime.run(wanted).result(BOUND_SECONDS)

    assert set(desk.seen) == set(LINE)
    for task in desk.seen.values():
        assert task.inputs == {"stack": ["python"], "depth": 2}
    with pytest.raises(SessionConflict):
        runtime.run(order(tmp_path, Given(context={"stack": []}), start_at=None))


def test_a_session_that_began_otherwise_does_not_take_files_for_given(
    runtime: Runtime, tmp_path: Path, desk: Desk
) -> None:
    """They would not be used."""
    runtime.run(order(tmp_path, Given(), start_at=None)).result(BOUND_SECONDS)

    with pytest.raises(SessionConflict, match="with the first phase '', got 'build'"):
        runtime.run(order(tmp_path, Given(NOTES)))

    assert dict(desk.calls) == dict.fromkeys(LINE, 1)


def test_what_is_given_makes_another_session(tmp_path: Path) -> None:
    orders = [
        SessionOrder(team_of(), start_at=start_at, given=given)
        for start_at, given in (
            (None, Given()),
            ("design", Given({"requirements.md": b"1"})),
            ("design", Given({"requirements.md": b"2"})),
            ("design", Given(tmp_path)),
            ("requirements", Given()),
            (None, Given(context={"a": 1})),
        )
    ]

    assert len({wanted.resolved_id() for wanted in orders}) == len(orders)


def test_a_part_in_the_middle_runs_alone(runtime: Runtime, tmp_path: Path, desk: Desk) -> None:
    wanted = SessionOrder(
        team_of(),
        "s",
        tmp_path / "out",
        start_at="design",
        given=Given({"requirements.md": b"given\n"}),
        plan=(Stretch(("design",), "look at the design"),),
    )

    report = runtime.run(wanted).result(BOUND_SECONDS)

    assert (report.state, report.pause_reason) == ("paused", "look at the design")
    assert dict(desk.calls) == {"design": 1}


def test_checks_of_given_files_are_not_taken_for_passed(
    runtime: Runtime, tmp_path: Path, desk: Desk
) -> None:
    team = team_of()
    first = msgspec.structs.replace(team.contracts[0], checks=(MinBytes(bytes=1),))
    team = msgspec.structs.replace(team, contracts=(first, *team.contracts[1:]))
    wanted = SessionOrder(team, "s", tmp_path / "out", start_at="build", given=Given(NOTES))

    runtime.run(wanted).result(BOUND_SECONDS)

    scores = {task.task_id: task.quality_score for task in session_report(runtime.store, "s").tasks}
    assert scores == {"requirements": 0.5, "design": 1.0, "build": 1.0}
    assert desk.calls.total() == 1


@pytest.mark.parametrize(
    ("given", "start_at", "error", "text"),
    [
        (
            Given(),
            "deploy",
            PlanInvalid,
            "phase 'deploy' of a plan must be one of 'requirements', 'design', 'build'",
        ),
        (
            Given({"a": b""}),
            None,
            InputsInvalid,
            "given files must come with the phase to start at",
        ),
        (
            Given(context={"a": object()}),
            None,
            InputsInvalid,
            "given context must be a JSON object: Encoding objects of type object is unsupported",
        ),
        (
            Given(Path("/nowhere/at/all")),
            "design",
            DirectoryUnusable,
            "given directory '/nowhere/at/all' cannot be used: it is not a directory",
        ),
    ],
)
def test_what_cannot_be_given_is_refused(
    runtime: Runtime,
    tmp_path: Path,
    given: Given,
    start_at: str | None,
    error: type[Exception],
    text: str,
) -> None:
    with pytest.raises(error) as raised:
        runtime.run(order(tmp_path, given, start_at))

    assert str(raised.value) == text


def test_a_start_that_was_cut_short_is_finished_by_the_same_order(
    runtime: Runtime, tmp_path: Path, desk: Desk
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "requirements.md").write_bytes(NOTES["requirements.md"])

    report = runtime.run(order(tmp_path, Given(NOTES))).result(BOUND_SECONDS)

    assert report.state == "done"
    assert dict(desk.calls) == {"build": 1}


def test_what_an_engine_decides_is_kept_with_its_task_and_goes_into_a_fork(
    runtime: Runtime, tmp_path: Path, desk: Desk
) -> None:
    runtime.run(SessionOrder(team_of(), "s", tmp_path / "out")).result(BOUND_SECONDS)

    fork = runtime.fork(ForkOrder("s", "design", "f", tmp_path / "fork"))
    fork.result(BOUND_SECONDS)

    found = checkpoint_report(runtime.store, find_checkpoint(runtime.store, "f", "design"))
    assert {task.task_id: task.decisions for task in found.tasks} == {
        "requirements": {"blueprint": "requirements-1"},
        "design": {"blueprint": "design-1"},
    }
    assert desk.calls["design"] == 1


def test_a_program_gets_the_context_and_reports_its_decisions(
    runtime: Runtime, tmp_path: Path
) -> None:
    program = (
        "import json, os, pathlib, sys\n"
        "inputs = json.load(sys.stdin)['inputs']\n"
        "pathlib.Path('requirements.md').write_text(inputs['stack'])\n"
        "report = {'decisions': {'stack': inputs['stack']}}\n"
        "pathlib.Path(os.environ['MAESTRO_RESULT']).write_text(json.dumps(report))\n"
    )
    team = team_of({"requirements": ()})
    command = CommandSpec(argv=(sys.executable, "-c", program))
    persona = Persona(persona_id="dev", engine="command", command=command)
    team = msgspec.structs.replace(team, personas={"dev": persona})
    given = Given(context={"stack": "python"})

    runtime.run(SessionOrder(team, "s", tmp_path / "out", given=given)).result(BOUND_SECONDS)

    found = checkpoint_report(runtime.store, find_checkpoint(runtime.store, "s", None))
    assert [task.decisions for task in found.tasks] == [{"stack": "python"}]
