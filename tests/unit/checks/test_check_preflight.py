"""What can never be evaluated here is said before a session starts."""

import pickle
import sys
from pathlib import Path

import pytest

from maestro_actors import checks
from maestro_actors.checks import Check
from maestro_actors.team import Contract, Deliverable, Persona, Phase, Team
from maestro_runtime import SessionOrder, open_runtime
from maestro_runtime.checks import hindrance
from maestro_runtime.errors import CheckNotReady
from maestro_storage.errors import NotFound


@pytest.mark.parametrize(
    ("check", "module", "package"),
    [
        (checks.JsonSchema(schema={}), "jsonschema_rs", "jsonschema-rs"),
        (checks.Parses(format="yaml"), "yaml", "PyYAML"),
    ],
)
def test_a_missing_package_is_named_with_the_extra_that_brings_it(
    check: Check, module: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not hindrance(check)

    monkeypatch.setitem(sys.modules, module, None)

    assert hindrance(check) == (
        f"package {package!r} is not installed: pip install 'maestro-runtime[checks]'"
    )


def test_a_missing_program_is_named_with_the_path_that_was_searched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    absolute = f"{tmp_path}/tool"

    assert hindrance(checks.Command(argv=("tool", "x"))) == (
        f"program 'tool' is not found or not executable in PATH {str(tmp_path)!r}: install it"
    )
    assert hindrance(checks.Command(argv=(absolute,))) == (
        f"program {absolute!r} is not found or not executable: install it"
    )


def test_a_program_that_is_there_or_may_yet_be_written_is_no_hindrance() -> None:
    assert not hindrance(checks.Command(argv=(sys.executable,)))
    assert not hindrance(checks.Command(argv=("build/check.sh",)))


def test_a_function_that_cannot_be_imported_is_named_with_its_folder(tmp_path: Path) -> None:
    (tmp_path / "judges_here.py").write_text("def fine(view): return True\n")

    def reason(name: str) -> str:
        return hindrance(checks.Callable(callable=name, import_dir=str(tmp_path)))

    assert not reason("judges_here:fine")
    assert reason("no_such_judges:fine") == (
        "callable 'no_such_judges:fine' cannot be imported: ModuleNotFoundError: "
        f"No module named 'no_such_judges' (looked for in {tmp_path} first)"
    )
    assert "has no attribute 'absent'" in reason("judges_here:absent")


def test_other_checks_need_nothing() -> None:
    assert not hindrance(checks.Human(question="Nice?"))
    assert not hindrance(checks.Parses(format="json"))


def test_a_session_with_a_check_that_cannot_be_evaluated_is_not_started(tmp_path: Path) -> None:
    contract = Contract(
        id="c1",
        name="c1",
        phase="build",
        provider_persona_id="dev",
        deliverables=(
            Deliverable(
                name="note",
                artifacts=("note.md",),
                checks=(checks.Command(argv=("no-such-program",), name="style", required=False),),
            ),
        ),
    )
    team = Team(
        name="t",
        requirement="r",
        personas={"dev": Persona(persona_id="dev")},
        phases=(Phase(name="build"),),
        contracts=(contract,),
    )
    with open_runtime(tmp_path / "state") as runtime:
        with pytest.raises(CheckNotReady) as caught:
            runtime.run(SessionOrder(team, "s-1", tmp_path / "out"))
        with pytest.raises(NotFound):
            runtime.store.require_session("s-1")

    assert str(caught.value).startswith(
        "check 'style' of contract 'c1' cannot be evaluated here: program 'no-such-program' is not"
    )
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)  # noqa: S301 - ours
    assert not (tmp_path / "out").exists()
