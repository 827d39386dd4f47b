import pickle
from pathlib import Path

import msgspec
import pytest

from maestro_actors.team import BreakerPolicy, Persona, RetryPolicy
from maestro_runtime.config import Flags, Setting, SettingInvalid, resolve_settings
from maestro_runtime.config.settings import MAX_ATTEMPTS_MAX, TOKEN_BUDGET_MAX


def test_without_flag_and_environment_the_built_in_values_apply() -> None:
    settings = resolve_settings(Flags(), {})

    assert settings.state_dir == Setting(Path("/var/maestro/state"), "built-in")
    assert settings.persona["max_attempts"] == Setting(3, "built-in")
    assert settings.persona["token_budget"] == Setting(100_000, "built-in")
    assert not settings.persona["max_attempts"].overrides_team_file


def test_the_environment_wins_over_the_built_in_values() -> None:
    environ = {
        "MAESTRO_STATE_DIR": "/tmp/x",  # noqa: S108 - only compared
        "MAESTRO_MAX_ATTEMPTS": "5",
        "MAESTRO_TOKEN_BUDGET": "20_000",
    }

    settings = resolve_settings(Flags(), environ)

    assert settings.state_dir == Setting(Path("/tmp/x"), "environment MAESTRO_STATE_DIR")  # noqa: S108
    assert settings.persona["max_attempts"] == Setting(5, "environment MAESTRO_MAX_ATTEMPTS")
    assert settings.persona["token_budget"] == Setting(20_000, "environment MAESTRO_TOKEN_BUDGET")
    assert settings.persona["token_budget"].overrides_team_file


def test_a_flag_wins_over_the_environment() -> None:
    environ = {
        "MAESTRO_STATE_DIR": "/a",
        "MAESTRO_MAX_ATTEMPTS": "bad",
        "MAESTRO_TOKEN_BUDGET": "2",
    }
    flags = Flags(state_dir="/b", max_attempts="7", token_budget="8")  # noqa: S106 - no password

    settings = resolve_settings(flags, environ)

    assert settings.state_dir == Setting(Path("/b"), "flag --state-dir")
    assert settings.persona["max_attempts"] == Setting(7, "flag --max-attempts")
    assert settings.persona["token_budget"] == Setting(8, "flag --token-budget")


def test_an_empty_flag_is_a_mistake_and_not_a_missing_flag() -> None:
    with pytest.raises(SettingInvalid, match=r"^flag --state-dir must be the path of a directory"):
        resolve_settings(Flags(state_dir=""), {"MAESTRO_STATE_DIR": "/a"})


def test_a_relative_state_directory_becomes_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    assert resolve_settings(Flags(state_dir="state"), {}).state_dir.value == tmp_path / "state"


@pytest.mark.parametrize(
    "value",
    ["", " ", "0", "-1", "+5", " 5", "5 ", "5\n", "1.0", "_1", "abc", "٣", "1001", "9" * 5000],
)
def test_a_count_outside_its_rule_is_refused_with_variable_and_value(value: str) -> None:
    with pytest.raises(SettingInvalid) as caught:
        resolve_settings(Flags(), {"MAESTRO_MAX_ATTEMPTS": value})

    assert str(caught.value) == (
        "environment MAESTRO_MAX_ATTEMPTS must be an integer from 1 to "
        f"{MAX_ATTEMPTS_MAX}, got {value!r}"
    )


@pytest.mark.parametrize("value", ["1", "1000", "1_000", "0001"])
def test_a_count_within_its_rule_is_taken(value: str) -> None:
    settings = resolve_settings(Flags(), {"MAESTRO_MAX_ATTEMPTS": value})

    assert settings.persona["max_attempts"].value == int(value)


def test_the_largest_budget_is_the_bound() -> None:
    largest = resolve_settings(Flags(token_budget=str(TOKEN_BUDGET_MAX)), {})
    assert largest.persona["token_budget"].value == TOKEN_BUDGET_MAX
    with pytest.raises(SettingInvalid, match=r"^flag --token-budget must be an integer from 1 to"):
        resolve_settings(Flags(token_budget=str(TOKEN_BUDGET_MAX + 1)), {})


@pytest.mark.parametrize("value", ["", "a\0b"])
def test_a_state_directory_that_is_no_path_is_refused(value: str) -> None:
    with pytest.raises(SettingInvalid) as caught:
        resolve_settings(Flags(), {"MAESTRO_STATE_DIR": value})

    assert str(caught.value) == (
        f"environment MAESTRO_STATE_DIR must be the path of a directory, got {value!r}"
    )


def test_the_error_of_a_setting_survives_pickling() -> None:
    error = SettingInvalid("flag --state-dir", "the path of a directory", "")

    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes

    assert str(copy) == str(error)
    assert (copy.source, copy.rule, copy.value) == (error.source, error.rule, error.value)


GIVEN = {
    "MAESTRO_MAX_ATTEMPTS": ("5", 5),
    "MAESTRO_MAX_ROUNDS": ("1", 1),
    "MAESTRO_BACKOFF_SECONDS": ("0", 0.0),
    "MAESTRO_BACKOFF_MAX_SECONDS": ("2.5", 2.5),
    "MAESTRO_ROUND_BACKOFF_SECONDS": ("5, 10,1_000", (5.0, 10.0, 1000.0)),
    "MAESTRO_TOKEN_BUDGET": ("7", 7),
    "MAESTRO_GIVE_UP_ON_FAILURE": ("false", False),
    "MAESTRO_BREAKER_FAILURES_MAX": ("1", 1),
    "MAESTRO_BREAKER_RESET_SECONDS": ("0.5", 0.5),
    "MAESTRO_BREAKER_RESET_MAX_SECONDS": ("60", 60.0),
    "MAESTRO_BREAKER_JITTER": ("0", 0.0),
    "MAESTRO_BREAKER_GROWTH": ("1.5", 1.5),
    "MAESTRO_BREAKER_CALL_TIMEOUT_SECONDS": ("30", 30.0),
}
"""Every variable that sets a key of personas or breakers, with a text and its meaning."""


def test_the_environment_can_set_all_of_the_retry_and_the_breaker_policy() -> None:
    settings = resolve_settings(Flags(), {name: text for name, (text, _) in GIVEN.items()})

    found = {
        f"MAESTRO_{key.upper()}": setting.value for key, setting in settings.persona.items()
    } | {
        f"MAESTRO_BREAKER_{key.upper()}": setting.value for key, setting in settings.breaker.items()
    }
    assert found == {name: value for name, (_, value) in GIVEN.items()}
    assert set(settings.persona) >= set(RetryPolicy.__struct_fields__)
    assert set(settings.breaker) == set(BreakerPolicy.__struct_fields__)


def test_the_built_in_values_are_those_of_the_data_they_go_into() -> None:
    settings = resolve_settings(Flags(), {})

    persona = Persona(persona_id="")
    plain = {**msgspec.structs.asdict(persona), **msgspec.structs.asdict(persona.retry)}
    assert all(plain[key] == setting.value for key, setting in settings.persona.items())
    values = {key: setting.value for key, setting in settings.breaker.items()}
    assert values == msgspec.structs.asdict(BreakerPolicy())


@pytest.mark.parametrize(
    ("variable", "value", "rule"),
    [
        ("MAESTRO_BACKOFF_SECONDS", "-1", "a number from 0 to 31536000"),
        ("MAESTRO_BACKOFF_SECONDS", "nan", "a number from 0 to 31536000"),
        ("MAESTRO_BACKOFF_MAX_SECONDS", "1e3", "a number from 0 to 31536000"),
        ("MAESTRO_BREAKER_RESET_SECONDS", "0", "a number above 0 and at most 31536000"),
        ("MAESTRO_BREAKER_CALL_TIMEOUT_SECONDS", "", "a number above 0 and at most 31536000"),
        (
            "MAESTRO_ROUND_BACKOFF_SECONDS",
            "5,,6",
            "numbers from 0 to 31536000, separated by commas",
        ),
        ("MAESTRO_GIVE_UP_ON_FAILURE", "yes", "true or false"),
        ("MAESTRO_BREAKER_JITTER", "1.1", "a number from 0 to 1"),
        ("MAESTRO_BREAKER_GROWTH", "0.5", "a number from 1 to 10"),
        ("MAESTRO_BREAKER_FAILURES_MAX", "0", "an integer from 1 to 1000"),
    ],
)
def test_a_value_outside_its_rule_is_refused_with_variable_rule_and_value(
    variable: str, value: str, rule: str
) -> None:
    with pytest.raises(SettingInvalid) as caught:
        resolve_settings(Flags(), {variable: value})

    assert str(caught.value) == f"environment {variable} must be {rule}, got {value!r}"
