import importlib
import re
from pathlib import Path

import pytest

from maestro_runtime.config import Flags, LoadedTeam, load_team, resolve_settings

NAMES = ["todo-api", "code-health", "failure-lab"]


def load_example(examples: Path, name: str) -> LoadedTeam:
    return load_team(examples / name / "team.toml", settings=resolve_settings(Flags(), {}))


@pytest.mark.parametrize("name", NAMES)
def test_an_example_is_a_valid_team_in_which_everybody_owes_something(
    name: str, examples: Path
) -> None:
    team = load_example(examples, name).team

    assert team.name == name
    assert {contract.provider_persona_id for contract in team.contracts} == set(team.personas)
    assert {contract.phase for contract in team.contracts} == {p.name for p in team.phases}
    assert all(contract.deliverables for contract in team.contracts)


@pytest.mark.parametrize("name", NAMES)
def test_the_command_of_a_readme_names_the_team_file(name: str, examples: Path) -> None:
    text = (examples / name / "README.md").read_text()

    commands = re.findall(r"^(?:\$ )?(maestro-runtime run .*)$", text, re.MULTILINE)

    assert commands
    assert all(
        line.startswith(f"maestro-runtime run examples/{name}/team.toml") for line in commands
    )


def test_todo_api_rehearses_six_personas_and_four_phases_with_a_retry(examples: Path) -> None:
    team = load_example(examples, "todo-api").team

    assert len(team.personas) == 6
    assert [phase.name for phase in team.phases] == [
        "requirements",
        "design",
        "implementation",
        "verification",
    ]
    assert {persona.engine for persona in team.personas.values()} == {"rehearsal"}
    assert all(0.3 <= item.latency_seconds <= 1.0 for item in team.personas.values())
    assert [p.script for p in team.personas.values() if p.script] == [("transient", "ok")]
    assert any(contract.after for contract in team.contracts)


def test_code_health_finds_its_programs_and_functions_from_any_folder(
    examples: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    loaded = load_example(examples, "code-health")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(loaded.base_dir))

    for persona in loaded.team.personas.values():
        if persona.engine == "command":
            assert persona.command is not None
            assert Path(persona.command.argv[1]).is_file()
        else:
            module, _, function = str(persona.callable).partition(":")
            assert callable(getattr(importlib.import_module(module), function))
