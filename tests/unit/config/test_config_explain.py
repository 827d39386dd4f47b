import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from maestro_runtime.config import (
    ConfigValue,
    Flags,
    LoadedTeam,
    Settings,
    explain,
    load_team,
    read_context,
    resolve_settings,
)
from maestro_runtime.config._tables import PersonaTable

Document = dict[str, Any]
Load = Callable[[Document], LoadedTeam]


def test_without_a_team_the_settings_are_explained() -> None:
    environ = {"MAESTRO_TOKEN_BUDGET": "9", "MAESTRO_BREAKER_GROWTH": "3"}
    settings = resolve_settings(Flags(state_dir="/s"), environ)

    assert explain(settings, None, read_context({"retry": {"max_rounds": 1}})) == [
        ConfigValue("state_dir", "/s", "flag --state-dir"),
        ConfigValue("max_attempts", 3, "built-in"),
        ConfigValue("max_rounds", 1, "context retry.max_rounds"),
        ConfigValue("backoff_seconds", 1.0, "built-in"),
        ConfigValue("backoff_max_seconds", 5.0, "built-in"),
        ConfigValue("round_backoff_seconds", (5.0, 10.0, 20.0), "built-in"),
        ConfigValue("token_budget", 9, "environment MAESTRO_TOKEN_BUDGET"),
        ConfigValue("give_up_on_failure", True, "built-in"),  # noqa: FBT003 - positional value
        ConfigValue("breaker.failures_max", 5, "built-in"),
        ConfigValue("breaker.reset_seconds", 30.0, "built-in"),
        ConfigValue("breaker.reset_max_seconds", 300.0, "built-in"),
        ConfigValue("breaker.jitter", 0.1, "built-in"),
        ConfigValue("breaker.growth", 3.0, "environment MAESTRO_BREAKER_GROWTH"),
        ConfigValue("breaker.call_timeout_seconds", None, "built-in"),
        ConfigValue("lost_policy", "reservation", "built-in"),
    ]


def test_the_context_goes_before_flag_environment_and_team_file(
    document: Document, load: Load, team_path: Path
) -> None:
    load(document)
    environ = {"MAESTRO_TOKEN_BUDGET": "9", "MAESTRO_MAX_ROUNDS": "4"}
    settings = resolve_settings(Flags(max_attempts="7"), environ)
    context = read_context({"max_attempts": 1, "token_budget": 2})

    loaded = load_team(team_path, settings=settings, context=context)

    values = {item.key: (item.value, item.source) for item in explain(settings, loaded, context)}
    for persona in ("personas.backend_developer", "personas.qa_engineer"):
        assert values[f"{persona}.max_attempts"] == (1, "context max_attempts")
        assert values[f"{persona}.token_budget"] == (2, "context token_budget")
        assert values[f"{persona}.max_rounds"] == (4, "environment MAESTRO_MAX_ROUNDS")
    assert {persona.token_budget for persona in loaded.team.personas.values()} == {2}


def test_with_a_team_every_value_of_every_persona_is_explained(
    document: Document, load: Load, team_path: Path
) -> None:
    document["personas"]["qa_engineer"]["command"] = {"argv": ["make"]}
    load(document)
    settings = resolve_settings(Flags(), {"MAESTRO_TOKEN_BUDGET": "9"})

    values = {
        item.key: (item.value, item.source)
        for item in explain(settings, load_team(team_path, settings=settings))
    }

    file = f"team file {team_path}"
    assert values["state_dir"] == ("/var/maestro/state", "built-in")
    assert values["team.name"] == ("small", file)
    assert values["team.seed"] == (0, "built-in")
    assert values["personas.backend_developer.max_attempts"] == (2, f"{file} [defaults]")
    assert values["personas.backend_developer.engine"] == ("rehearsal", "built-in")
    assert values["personas.qa_engineer.command"] == (
        {"argv": ("make",)},
        file,
    )
    assert values["personas.qa_engineer.token_budget"] == (9, "environment MAESTRO_TOKEN_BUDGET")
    for persona_id in document["personas"]:
        keys = {key.split(".")[2] for key in values if key.startswith(f"personas.{persona_id}.")}
        assert keys == set(PersonaTable.__struct_fields__)


@pytest.mark.parametrize("persona", [{}, {"script": ["ok"], "options": {"a": [1, {"b": 2}]}}])
def test_what_is_explained_is_plain_data(
    persona: dict[str, Any], document: Document, load: Load, settings: Settings
) -> None:
    document["personas"]["qa_engineer"] = persona

    values = explain(settings, load(document))

    written = json.loads(json.dumps(msgspec.to_builtins(values)))
    assert [item["key"] for item in written] == [item.key for item in values]


def test_importing_the_configuration_loads_neither_storage_nor_actors() -> None:
    heavy = {"lmdb", "pykka", "rich", "structlog", "click"}
    program = "import sys, maestro_runtime.config; print(*sys.modules)"

    loaded = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    ).stdout.split()

    assert "maestro_runtime.config" in loaded
    assert heavy.isdisjoint(loaded)
