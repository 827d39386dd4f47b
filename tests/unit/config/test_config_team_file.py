import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from maestro_actors.team import CommandSpec, Deliverable, RetryPolicy
from maestro_runtime.config import (
    Flags,
    LoadedTeam,
    Settings,
    TeamFileInvalid,
    TeamFileUnreadable,
    load_team,
    resolve_settings,
)
from maestro_runtime.config._toml import FILE_BYTES_MAX

Document = dict[str, Any]
Load = Callable[[Document], LoadedTeam]


def test_a_valid_file_becomes_the_team_it_describes(document: Document, load: Load) -> None:
    team = load(document).team

    assert (team.name, team.requirement) == ("small", "Build it")
    assert (team.max_parallel_workers, team.seed) == (4, 0)
    assert list(team.personas) == ["backend_developer", "qa_engineer"]
    assert [(phase.name, phase.after) for phase in team.phases] == [
        ("build", ()),
        ("check", ("build",)),
    ]
    assert [contract.id for contract in team.contracts] == ["api", "notes", "tests"]
    assert team.contracts[0].deliverables == (Deliverable(name="code", artifacts=("src/*.py",)),)
    assert team.contracts[1].after == ("api",)


def test_the_base_directory_is_the_absolute_one_of_the_team_file(
    document: Document,
    load: Load,
    tmp_path: Path,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    load(document)
    monkeypatch.chdir(tmp_path.parent)

    loaded = load_team(Path(tmp_path.name, "team.toml"), settings=settings)

    assert loaded.base_dir == tmp_path
    assert loaded.path == f"{tmp_path.name}/team.toml"


def test_a_persona_has_every_default_it_does_not_set(document: Document, load: Load) -> None:
    document["defaults"] = {
        "engine": "python",
        "callable": "a.b:c",
        "max_attempts": 7,
        "max_rounds": 4,
        "backoff_seconds": 0,
        "backoff_max_seconds": 9,
        "round_backoff_seconds": [1, 2.5],
        "token_budget": 42,
        "give_up_on_failure": False,
        "timeout_seconds": 3,
        "script": ["hang"],
        "latency_seconds": 0.5,
        "options": {"depth": [1, {"x": True}]},
        "command": {
            "argv": ["make"],
            "timeout_seconds": 5,
            "environment": {"LANG": "C"},
            "stop_timeout_seconds": 90,
        },
    }
    document["personas"]["qa_engineer"] = {"max_attempts": 1, "options": {"other": 1}}

    personas = load(document).team.personas

    heir, own = personas["backend_developer"], personas["qa_engineer"]
    assert heir.retry == RetryPolicy(
        max_attempts=7,
        max_rounds=4,
        backoff_seconds=0.0,
        backoff_max_seconds=9.0,
        round_backoff_seconds=(1.0, 2.5),
    )
    assert (heir.engine, heir.callable, heir.token_budget) == ("python", "a.b:c", 42)
    assert (heir.give_up_on_failure, heir.timeout_seconds) == (False, 3.0)
    assert (heir.script, heir.latency_seconds) == (("hang",), 0.5)
    assert heir.options == {"depth": [1, {"x": True}]}
    assert heir.command == CommandSpec(
        argv=("make",),
        timeout_seconds=5.0,
        environment={"LANG": "C"},
        stop_timeout_seconds=90.0,
    )
    assert own.retry.max_attempts == 1
    assert own.options == {"other": 1}
    assert own.retry.max_rounds == 4


def test_the_environment_replaces_what_the_file_says_for_every_persona(
    document: Document, load: Load, team_path: Path
) -> None:
    load(document)
    settings = resolve_settings(
        Flags(), {"MAESTRO_MAX_ATTEMPTS": "9", "MAESTRO_TOKEN_BUDGET": "77"}
    )

    personas = load_team(team_path, settings=settings).team.personas.values()

    assert {(item.retry.max_attempts, item.token_budget) for item in personas} == {(9, 77)}


def test_the_given_requirement_replaces_the_one_of_the_file(
    document: Document, load: Load, team_path: Path, settings: Settings
) -> None:
    load(document)

    loaded = load_team(team_path, requirement="Another", settings=settings)

    assert loaded.team.requirement == "Another"
    assert loaded.sources["team.requirement"] == "flag --requirement"


def test_a_given_requirement_makes_the_one_of_the_file_optional(
    document: Document, load: Load, team_path: Path, settings: Settings
) -> None:
    del document["team"]["requirement"]
    with pytest.raises(TeamFileInvalid, match=r"team\.requirement: is required unless"):
        load(document)

    assert load_team(team_path, requirement="x", settings=settings).team.requirement == "x"


def test_a_blank_given_requirement_is_refused(
    document: Document, load: Load, team_path: Path, settings: Settings
) -> None:
    load(document)

    with pytest.raises(TeamFileInvalid, match=r": --requirement: must not be blank$"):
        load_team(team_path, requirement=" ", settings=settings)


@pytest.mark.parametrize(
    ("argument", "becomes_absolute"),
    [
        ("build.py", True),
        ("tools/build", True),
        ("./build.py", True),
        ("missing.py", False),
        ("tools", False),
        ("./tools", False),
        ("build", False),
        ("python3", False),
        ("tools/" + "x" * 5000, False),
        ("--file=build.py", False),
    ],
)
def test_arguments_that_name_a_file_of_the_team_become_absolute(
    argument: str, becomes_absolute: bool, document: Document, load: Load, tmp_path: Path
) -> None:
    (tmp_path / "tools").mkdir()
    for name in ("build.py", "build", "tools/build"):
        (tmp_path / name).touch()
    document["personas"]["qa_engineer"] = {"engine": "command", "command": {"argv": [argument]}}

    command = load(document).team.personas["qa_engineer"].command

    expected = str(tmp_path / argument) if becomes_absolute else argument
    assert command == CommandSpec(argv=(expected,))


def test_an_absolute_argument_stays_as_it_is(
    document: Document, load: Load, tmp_path: Path
) -> None:
    script = tmp_path / "x.py"
    script.touch()
    document["personas"]["qa_engineer"] = {"command": {"argv": [str(script)]}}

    command = load(document).team.personas["qa_engineer"].command

    assert command == CommandSpec(argv=(str(script),))


def test_a_missing_file_is_unreadable(tmp_path: Path, settings: Settings) -> None:
    path = tmp_path / "none.toml"
    text = f"team file {path} cannot be read: No such file or directory"

    with pytest.raises(TeamFileUnreadable, match=f"^{re.escape(text)}$"):
        load_team(path, settings=settings)


@pytest.mark.parametrize("path", ["/", "a\0b"])
def test_what_is_no_file_is_unreadable(path: str, settings: Settings) -> None:
    with pytest.raises(TeamFileUnreadable):
        load_team(path, settings=settings)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"[team]\nname = \n", "must be TOML: Invalid value (at line 2, column 8)"),
        (b"a = 1\na = 2\n", "must be TOML: Cannot overwrite a value (at line 2, column 6)"),
        (b'name = "\xff"', "must be UTF-8, got another byte at offset 8"),
        (b"a = " + b"[" * 100_000, "must be TOML that is nested less deeply"),
        (b"a = " + b"9" * 5_000, "must be TOML: Exceeds the limit (4300"),
        (
            b"#" * (FILE_BYTES_MAX + 1),
            f"must have at most {FILE_BYTES_MAX} bytes, got more",
        ),
    ],
    ids=["syntax", "twice", "encoding", "nesting", "number", "size"],
)
def test_a_file_that_is_not_toml_is_one_problem_without_a_key(
    content: bytes, text: str, team_path: Path, settings: Settings
) -> None:
    team_path.write_bytes(content)

    with pytest.raises(TeamFileInvalid) as caught:
        load_team(team_path, settings=settings)

    assert len(caught.value.problems) == 1
    assert caught.value.problems[0].key == ""
    assert str(caught.value).startswith(f"{team_path}: {text}")


def test_an_empty_file_lacks_everything_at_once(team_path: Path, settings: Settings) -> None:
    team_path.touch()

    with pytest.raises(TeamFileInvalid) as caught:
        load_team(team_path, settings=settings)

    assert str(caught.value).splitlines() == [
        f"{team_path}: team.name: is required",
        f"{team_path}: personas: must have at least one [personas.NAME] table",
        f"{team_path}: phases: must have at least one [[phases]] table",
        f"{team_path}: contracts: must have at least one [[contracts]] table",
        f"{team_path}: team.requirement: is required unless --requirement is given",
    ]
