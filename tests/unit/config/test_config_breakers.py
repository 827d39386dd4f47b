"""The `[breakers.NAME]` of a team file, and the environment over them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from maestro_actors.team import BreakerPolicy
from maestro_runtime.config import (
    Flags,
    LoadedTeam,
    Settings,
    TeamFileInvalid,
    explain,
    load_team,
    resolve_settings,
)

Document = dict[str, Any]
Load = Callable[[Document], LoadedTeam]


def test_a_team_without_breakers_is_the_team_it_always_was(document: Document, load: Load) -> None:
    assert load(document).team.breakers == {}


def test_a_breaker_has_its_own_keys_then_those_of_its_engine(
    document: Document, load: Load
) -> None:
    document["personas"]["qa_engineer"] = {"engine": "python", "callable": "qa:run"}
    document["breakers"] = {
        "python": {"failures_max": 2, "reset_seconds": 5},
        "python:qa:run": {"failures_max": 1, "call_timeout_seconds": 9.5},
    }

    team = load(document).team

    assert team.breakers == {
        "python": BreakerPolicy(failures_max=2, reset_seconds=5.0),
        "python:qa:run": BreakerPolicy(failures_max=1, reset_seconds=5.0, call_timeout_seconds=9.5),
    }


def test_the_environment_goes_before_the_team_file_for_every_breaker(
    document: Document, load: Load, team_path: Path
) -> None:
    document["breakers"] = {"rehearsal": {"failures_max": 2, "growth": 3.0}}
    load(document)
    settings = resolve_settings(Flags(), {"MAESTRO_BREAKER_FAILURES_MAX": "9"})

    loaded = load_team(team_path, settings=settings)

    assert loaded.team.breakers == {"rehearsal": BreakerPolicy(failures_max=9, growth=3.0)}
    values = {item.key: (item.value, item.source) for item in explain(settings, loaded)}
    variable = "environment MAESTRO_BREAKER_FAILURES_MAX"
    assert values["breakers.rehearsal.failures_max"] == (9, variable)
    assert values["breakers.rehearsal.growth"] == (3.0, f"team file {team_path}")
    assert values["breakers.rehearsal.reset_seconds"] == (30.0, "built-in")


def test_every_engine_of_the_team_is_explained(
    document: Document, load: Load, settings: Settings
) -> None:
    keys = {item.key for item in explain(settings, load(document))}

    assert {f"breakers.rehearsal.{key}" for key in BreakerPolicy.__struct_fields__} <= keys


@pytest.mark.parametrize(
    ("breakers", "text"),
    [
        (
            {"rehearsel": {}},
            (
                "breakers.rehearsel: 'rehearsel' is not a known engine of a persona, "
                "did you mean 'rehearsal'? (known: rehearsal)"
            ),
        ),
        (
            {"rehearsal": {"failures_max": 0}},
            (
                "breakers.rehearsal.failures_max: must be an integer of at least 1 and "
                "at most 1000, got 0"
            ),
        ),
        (
            {"rehearsal": {"growth": 0.5}},
            "breakers.rehearsal.growth: must be a number of at least 1 and at most 10, got 0.5",
        ),
        (
            {"rehearsal": {"reset_seconds": 60.0, "reset_max_seconds": 30.0}},
            "breakers.rehearsal.reset_max_seconds: must be at least reset_seconds (60.0), got 30.0",
        ),
        ({"rehearsal": {"limit": 3}}, "breakers.rehearsal.limit: 'limit' is not a known key"),
        ({"rehearsal:": {}}, 'breakers."rehearsal:"'),
    ],
)
def test_what_is_wrong_with_a_breaker_is_said_with_its_place(
    document: Document, load: Load, team_path: Path, breakers: Document, text: str
) -> None:
    document["breakers"] = breakers

    with pytest.raises(TeamFileInvalid) as caught:
        load(document)

    assert str(caught.value).startswith(f"{team_path}: {text}")
