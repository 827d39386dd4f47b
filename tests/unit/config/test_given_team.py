"""A team that a program gives, and the context of its execution."""

from pathlib import Path
from typing import Any

import pytest

from maestro_runtime.config import (
    ContextInvalid,
    Flags,
    TeamFileInvalid,
    read_execution_context,
    resolve_settings,
    team_of,
)

BASE = Path("/teams/pair")


def document(**persona: Any) -> dict[str, Any]:
    return {
        "team": {"name": "pair", "requirement": "two notes"},
        "personas": {"writer": persona},
        "phases": ({"name": "write"},),
        "contracts": [
            {
                "id": "note",
                "name": "The note",
                "phase": "write",
                "provider_persona_id": "writer",
                "deliverables": ({"name": "note", "artifacts": ("note.md",)},),
            }
        ],
    }


def test_a_given_team_is_read_as_a_team_file_with_tuples_for_lists() -> None:
    loaded = team_of(
        document(engine="python", callable="work:run", max_attempts=2),
        base_dir=BASE,
        settings=resolve_settings(Flags(), {"MAESTRO_TOKEN_BUDGET": "50"}),
        context=read_execution_context({"max_attempts": 5}).run,
    )

    writer = loaded.team.personas["writer"]
    assert (writer.retry.max_attempts, writer.token_budget) == (5, 50)
    assert writer.import_dir == str(BASE)
    assert loaded.team.contracts[0].globs == ("note.md",)
    assert loaded.sources["personas.writer.engine"] == "program"


def test_without_settings_the_environment_of_the_process_is_in_force(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MAESTRO_MAX_ATTEMPTS", "7")

    loaded = team_of(document(max_attempts=2), base_dir=BASE)

    assert loaded.team.personas["writer"].retry.max_attempts == 7
    assert loaded.sources["personas.writer.max_attempts"] == "environment MAESTRO_MAX_ATTEMPTS"


def test_a_given_team_tells_all_that_is_wrong_with_it() -> None:
    given = document(max_attempts=0)
    given["contracts"][0]["phase"] = "wrote"

    with pytest.raises(TeamFileInvalid) as raised:
        team_of(given, base_dir=BASE, settings=resolve_settings(Flags(), {}))

    lines = str(raised.value).splitlines()
    assert [line.split(": ")[1] for line in lines] == [
        "personas.writer.max_attempts",
        "contracts[0].phase",
    ]
    assert all(line.startswith("given team: ") for line in lines)


def test_the_context_of_an_execution_names_session_engine_source_and_persona() -> None:
    context = read_execution_context(
        {
            "session_id": "exec_001",
            "engine": "python",
            "input_dir": Path("/src"),
            "persona_config": {"engine": "command", "options": {"depth": 1}},
            "give_up_on_failure": False,
        }
    )

    assert (context.session_id, context.input_dir) == ("exec_001", Path("/src"))
    assert context.persona == {"engine": "python", "options": {"depth": 1}}
    assert context.run.values == {"give_up_on_failure": False}
    assert read_execution_context(None) == read_execution_context({})


@pytest.mark.parametrize(
    ("context", "text"),
    [
        ({"session_id": 7}, "context session_id: must be a string, got 7"),
        ({"persona_config": 3}, "context persona_config: must be a table, got 3"),
        ({"max_attempt": 3}, "context max_attempt: 'max_attempt' is not a known key"),
        (
            {"sesion_id": "s-1"},
            (
                "context sesion_id: 'sesion_id' is not a known key, did you mean 'session_id'? "
                "(known: engine, give_up_on_failure, input_dir, max_attempts, persona_config, "
                "retry, session_id, token_budget)"
            ),
        ),
        (
            {"session_id": 7, "retry": {"round_backoff_seconds": []}},
            (
                "context session_id: must be a string, got 7\n"
                "context retry.round_backoff_seconds: must have at least one number"
            ),
        ),
    ],
)
def test_a_wrong_context_of_an_execution_is_refused(context: dict[str, Any], text: str) -> None:
    with pytest.raises(ContextInvalid) as raised:
        read_execution_context(context)

    assert str(raised.value).startswith(text)
