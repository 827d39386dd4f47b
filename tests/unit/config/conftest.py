"""A small valid team as a document, and the way from a document to a loaded team."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from maestro_runtime.config import Flags, LoadedTeam, Settings, load_team, resolve_settings

Document = dict[str, Any]


def toml_value(value: Any) -> str:
    """Write a value as TOML, tables inline."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k)} = {toml_value(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml_value, value)) + "]"
    if isinstance(value, float):
        # "1e+16" is TOML, "Infinity" is not.
        return repr(value)
    return json.dumps(value)


@pytest.fixture
def document() -> Document:
    """Return a team of two personas, two phases and three contracts that breaks no rule."""
    return {
        "team": {"name": "small", "requirement": "Build it"},
        "defaults": {"max_attempts": 2},
        "personas": {"backend_developer": {}, "qa_engineer": {"token_budget": 500}},
        "phases": [{"name": "build"}, {"name": "check", "after": ["build"]}],
        "contracts": [
            {
                "id": "api",
                "name": "The API",
                "phase": "build",
                "provider_persona_id": "backend_developer",
                "deliverables": [{"name": "code", "artifacts": ["src/*.py"]}],
            },
            {
                "id": "notes",
                "name": "Notes",
                "phase": "build",
                "provider_persona_id": "backend_developer",
                "after": ["api"],
            },
            {
                "id": "tests",
                "name": "Tests",
                "phase": "check",
                "provider_persona_id": "qa_engineer",
            },
        ],
    }


@pytest.fixture
def settings() -> Settings:
    """Return what applies when no flag and no variable is set."""
    return resolve_settings(Flags(), {})


@pytest.fixture
def team_path(tmp_path: Path) -> Path:
    """Return where the team file of the test is."""
    return tmp_path / "team.toml"


@pytest.fixture
def load(team_path: Path, settings: Settings) -> Callable[[Document], LoadedTeam]:
    """Return a function that writes a document as a team file and loads it."""

    def load_document(document: Document) -> LoadedTeam:
        lines = [f"{json.dumps(key)} = {toml_value(value)}" for key, value in document.items()]
        team_path.write_text("\n".join(lines))
        return load_team(team_path, settings=settings)

    return load_document
