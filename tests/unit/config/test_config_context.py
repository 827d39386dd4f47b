"""The context of one run, from its rules to the sessions that keep it."""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

import daemon_team
from maestro_actors.team import (
    Persona,
    RetryPolicy,
    decode_team,
)
from maestro_runtime import Runtime, SessionOrder, open_runtime
from maestro_runtime.config import ContextInvalid, read_context, read_context_text
from maestro_runtime.errors import SessionConflict

BOUND_SECONDS = 20.0
CONTEXT: Mapping[str, Any] = {
    "max_attempts": 1,
    "token_budget": 5_000,
    "give_up_on_failure": False,
    "retry": {"max_rounds": 1, "round_backoff_seconds": (0.5,)},
}
RETRY = RetryPolicy(backoff_seconds=0.25)
DEV = Persona(persona_id="dev", script=("transient",), retry=RETRY)
TEAM = msgspec.structs.replace(daemon_team.TEAM, personas={"dev": DEV})


def test_a_context_replaces_what_it_names_and_nothing_else() -> None:
    persona = read_context(CONTEXT).applied(TEAM).personas["dev"]

    assert (persona.token_budget, persona.give_up_on_failure) == (5_000, False)
    assert persona.retry == RetryPolicy(
        max_attempts=1, max_rounds=1, backoff_seconds=0.25, round_backoff_seconds=(0.5,)
    )
    assert persona.script == ("transient",)


def test_an_empty_context_leaves_the_team_as_it_is() -> None:
    assert read_context({}).applied(TEAM) == TEAM


@pytest.mark.parametrize(
    ("context", "text"),
    [
        (
            {"max_attempt": 5},
            (
                "context max_attempt: 'max_attempt' is not a known key, "
                "did you mean 'max_attempts'? "
                "(known: give_up_on_failure, max_attempts, retry, token_budget)"
            ),
        ),
        (
            {"token_budget": 0},
            (
                "context token_budget: must be an integer of at least 1 and at most 1000000000000, "
                "got 0"
            ),
        ),
        (
            {"give_up_on_failure": "no"},
            "context give_up_on_failure: must be true or false, got 'no'",
        ),
        ({"retry": 3}, "context retry: must be a table, got 3"),
        (
            {"retry": {"max_attempts": 2}, "max_attempts": 2},
            "context retry.max_attempts: must not be given twice",
        ),
        (
            {"retry": {"round_backoff_seconds": []}},
            "context retry.round_backoff_seconds: must have at least one number",
        ),
        ({7: 1}, "context 7: '7' is not a known key"),
    ],
)
def test_an_unknown_key_or_value_is_refused_with_its_place(context: Any, text: str) -> None:
    with pytest.raises(ContextInvalid) as caught:
        read_context(context)

    assert str(caught.value).startswith(text)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)  # noqa: S301 - ours


@pytest.mark.parametrize(
    ("text", "fault"),
    [("{", "context: must be JSON: "), ("[]", "context: must be a JSON object"), ("", "context: ")],
)
def test_a_context_that_is_no_json_object_is_refused(text: str, fault: str) -> None:
    with pytest.raises(ContextInvalid, match=f"^{fault}"):
        read_context_text(text)


def stored(runtime: Runtime) -> Persona:
    """Return the persona that s-1 was started with."""
    team = runtime.store.require_session("s-1").team
    return decode_team(runtime.store.payloads.require(team)).personas["dev"]


def test_a_session_keeps_the_context_it_was_started_with(tmp_path: Path) -> None:
    order = SessionOrder(TEAM, "s-1", tmp_path / "out", context=CONTEXT)
    with open_runtime(tmp_path / "state") as runtime:
        report = runtime.run(order).result(BOUND_SECONDS)
        first = stored(runtime)
    with open_runtime(tmp_path / "state") as runtime:
        resumed = runtime.resume("s-1").result(BOUND_SECONDS)
        again = runtime.run(order).result(BOUND_SECONDS)
        assert stored(runtime) == first

    # One attempt instead of six, and a person instead of an end.
    assert [len(task.attempts) for task in report.tasks] == [1]
    assert {report.state, resumed.state, again.state} == {"help_needed"}
    assert first.token_budget == 5_000


def test_another_context_is_another_session(tmp_path: Path) -> None:
    order = SessionOrder(TEAM, "s-1", tmp_path / "out", context=CONTEXT)
    other = SessionOrder(TEAM, "s-1", tmp_path / "out", context={"max_attempts": 2})
    with open_runtime(tmp_path / "state") as runtime:
        runtime.run(order).result(BOUND_SECONDS)
        with pytest.raises(SessionConflict):
            runtime.run(other)

    unnamed = [SessionOrder(TEAM, context=context).resolved_id() for context in (CONTEXT, {}, None)]
    assert unnamed[0] != unnamed[1] == unnamed[2]


def test_a_context_that_breaks_a_rule_starts_nothing(tmp_path: Path) -> None:
    with open_runtime(tmp_path / "state") as runtime:
        with pytest.raises(ContextInvalid):
            runtime.run(SessionOrder(TEAM, "s-1", tmp_path / "out", context={"retries": 1}))
        assert list(runtime.store.sessions.scan()) == []
