from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from maestro_actors.ledger.budget import Budget
from maestro_runtime.config import (
    Flags,
    LoadedTeam,
    SettingInvalid,
    TeamFileInvalid,
    load_team,
    resolve_settings,
)

Document = dict[str, Any]
Load = Callable[[Document], LoadedTeam]


def test_budgets_of_a_team_file_become_those_of_the_team(document: Document, load: Load) -> None:
    document["budgets"] = [
        {"id": "whole", "limit": 1000},
        {
            "id": "usd",
            "scope": "persona",
            "value": "qa_engineer",
            "window": "rolling:3600",
            "metric": "money",
            "limit": 2.5,
            "action": "park",
            "thresholds": [0.9, 0.5],
            "version": 2,
        },
    ]
    document["personas"]["qa_engineer"] |= {"model": "m-1", "tags": ["slow"]}

    team = load(document).team

    assert team.budgets == (
        Budget(id="whole", limit=1000),
        Budget(
            id="usd",
            scope="persona",
            value="qa_engineer",
            window="rolling:3600",
            metric="money",
            limit=2_500_000_000,
            action="park",
            alert_permille=(500, 900),
            version=2,
        ),
    )
    persona = team.personas["qa_engineer"]
    assert (persona.model, persona.tags) == ("m-1", ("slow",))


@pytest.mark.parametrize(
    ("change", "key", "text"),
    [
        ({"id": "a b"}, "id", "must match [A-Za-z0-9][A-Za-z0-9._-]{0,63}, got 'a b'"),
        ({"limit": 0}, "limit", "must be a number above 0 and at most 1000000000000, got 0"),
        ({"limit": 1.5}, "limit", "must be a whole number, got 1.5"),
        (
            {"action": "stop"},
            "action",
            "'stop' is not a known action (known: deny, park, warn)",
        ),
        (
            {"metric": "totals"},
            "metric",
            (
                "'totals' is not a known metric, did you mean 'total'? "
                "(known: fresh, money, output, requests, total)"
            ),
        ),
        ({"scope": "tag"}, "value", "must name the tag, got ''"),
        (
            {"scope": "persona", "value": "qa"},
            "value",
            "'qa' is not a known persona (known: backend_developer, qa_engineer)",
        ),
        (
            {"window": "year"},
            "window",
            (
                "must be one of session, hour, day, week, month, rolling:<seconds>, forever, "
                "got 'year'"
            ),
        ),
        (
            {"thresholds": [0]},
            "thresholds[0]",
            "must be a number above 0 and at most 10, got 0",
        ),
    ],
)
def test_a_broken_budget_is_found(
    change: dict[str, object], key: str, text: str, document: Document, load: Load
) -> None:
    document["budgets"] = [{"id": "whole", "limit": 1000, **change}]

    with pytest.raises(TeamFileInvalid) as caught:
        load(document)

    [problem] = caught.value.problems
    assert (problem.key, problem.text) == (f"budgets[0].{key}", text)


def test_a_budget_needs_a_limit_and_an_id_of_its_own(document: Document, load: Load) -> None:
    document["budgets"] = [{"id": "whole", "limit": 1}, {"id": "whole"}]

    with pytest.raises(TeamFileInvalid) as caught:
        load(document)

    assert [(problem.key, problem.text) for problem in caught.value.problems] == [
        ("budgets[1].limit", "is required"),
        ("budgets[1].id", "'whole' is already used by budgets[0].id"),
    ]


def test_the_policy_for_lost_calls_is_that_of_the_environment_else_of_the_team(
    document: Document, load: Load, team_path: Path
) -> None:
    assert load(document).team.lost_policy == "reservation"
    document["team"]["lost_policy"] = "floor"
    loaded = load(document)
    assert loaded.team.lost_policy == "floor"
    assert loaded.sources["team.lost_policy"].startswith("team file ")

    settings = resolve_settings(Flags(), {"MAESTRO_LOST_POLICY": "zero"})
    overridden = load_team(team_path, settings=settings)

    assert overridden.team.lost_policy == "zero"
    assert overridden.sources["team.lost_policy"] == "environment MAESTRO_LOST_POLICY"


def test_an_unknown_policy_for_lost_calls_is_refused(document: Document, load: Load) -> None:
    document["team"]["lost_policy"] = "zeroo"

    with pytest.raises(TeamFileInvalid, match=r"did you mean 'zero'"):
        load(document)
    with pytest.raises(
        SettingInvalid,
        match=r"environment MAESTRO_LOST_POLICY must be one of reservation, floor, zero, got ''",
    ):
        resolve_settings(Flags(), {"MAESTRO_LOST_POLICY": ""})
