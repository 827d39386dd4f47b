"""Settings that a flag or the environment decides, each with the place it came from."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

import msgspec

from maestro_actors.ledger.amounts import LOST_POLICIES, LostPolicy
from maestro_actors.team import BreakerPolicy, Persona
from maestro_runtime.config._texts import (
    TextRule,
    a_count,
    a_factor,
    a_share,
    a_truth,
    one_of,
    pauses,
    seconds,
)
from maestro_runtime.config.errors import SettingInvalid

STATE_DIR_DEFAULT: Final = "/var/maestro/state"
"""Where the state lives unless `--state-dir` or `MAESTRO_STATE_DIR` names another directory."""
MAX_ATTEMPTS_MAX: Final = 1_000
"""Upper bound of `max_attempts` and `max_rounds`."""
TOKEN_BUDGET_MAX: Final = 10**12
"""Upper bound of `token_budget`."""
SECONDS_MAX: Final = 31_536_000
"""Longest time a setting can ask for: 365 days."""
GROWTH_MAX: Final = 10
"""Upper bound of a breaker's `growth`; its lower one is 1."""
BUILT_IN: Final = "built-in"
"""Source of a value that nobody set."""

T = TypeVar("T")


class Setting(msgspec.Struct, Generic[T], frozen=True):
    """A value and where it came from."""

    value: T
    source: str
    """`flag --state-dir`, `environment MAESTRO_STATE_DIR` or `built-in`."""

    @property
    def overrides_team_file(self) -> bool:
        """True when a flag or the environment set the value."""
        return self.source != BUILT_IN


_PERSONA_RULES: Final[dict[str, TextRule]] = {
    "max_attempts": a_count(MAX_ATTEMPTS_MAX),
    "max_rounds": a_count(MAX_ATTEMPTS_MAX),
    "backoff_seconds": seconds(SECONDS_MAX, zero=True),
    "backoff_max_seconds": seconds(SECONDS_MAX, zero=True),
    "round_backoff_seconds": pauses(SECONDS_MAX),
    "token_budget": a_count(TOKEN_BUDGET_MAX),
    "give_up_on_failure": a_truth(),
}
_BREAKER_RULES: Final[dict[str, TextRule]] = {
    "failures_max": a_count(MAX_ATTEMPTS_MAX),
    "reset_seconds": seconds(SECONDS_MAX),
    "reset_max_seconds": seconds(SECONDS_MAX),
    "jitter": a_share(),
    "growth": a_factor(GROWTH_MAX),
    "call_timeout_seconds": seconds(SECONDS_MAX),
}


class Flags(msgspec.Struct, frozen=True, kw_only=True):
    """Values given on the command line, as typed; None where the flag was not given."""

    state_dir: str | None = None
    max_attempts: str | None = None
    token_budget: str | None = None


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What applies to this start of the runtime, whatever team it runs."""

    state_dir: Setting[Path]
    """Absolute. Not touched: whether it exists is for the storage to say."""
    persona: dict[str, Setting[Any]]
    """By key of the team file: what every persona has unless the source is `built-in`."""
    breaker: dict[str, Setting[Any]]
    """The same for every circuit breaker."""
    lost_policy: Setting[LostPolicy]
    """What a lost call is booked with, whatever the team file says unless it is `built-in`."""


def resolve_settings(flags: Flags, environ: Mapping[str, str]) -> Settings:
    """Take each setting from its flag, else from the environment, else from the built-in value.

    Args:
        flags: What the command line gave; wins over everything.
        environ: Read for `MAESTRO_STATE_DIR` and `MAESTRO_LOST_POLICY`, for each key of
            `Settings.persona` in capitals behind `MAESTRO_`, and for each key of
            `Settings.breaker` behind `MAESTRO_BREAKER_`.
            A variable that is set but empty is an error, not "unset".

    Raises:
        SettingInvalid: A value that was given breaks its rule.
    """
    persona = Persona(persona_id="")
    of_persona = msgspec.structs.asdict(persona) | msgspec.structs.asdict(persona.retry)
    of_breaker = msgspec.structs.asdict(BreakerPolicy())
    return Settings(
        state_dir=_directory(given("state_dir", flags.state_dir, environ)),
        persona={
            key: ruled(
                given(key, getattr(flags, key, None), environ),
                rule,
                Setting(of_persona[key], BUILT_IN),
            )
            for key, rule in _PERSONA_RULES.items()
        },
        breaker={
            key: ruled(
                given(f"breaker_{key}", None, environ), rule, Setting(of_breaker[key], BUILT_IN)
            )
            for key, rule in _BREAKER_RULES.items()
        },
        lost_policy=ruled(
            given("lost_policy", None, environ),
            one_of(LOST_POLICIES),
            Setting(LOST_POLICIES[0], BUILT_IN),
        ),
    )


def given(name: str, flag: str | None, environ: Mapping[str, str]) -> Setting[str] | None:
    """Return the text that a flag or the environment gives a setting; None if neither does."""
    if flag is not None:
        return Setting(flag, f"flag --{name.replace('_', '-')}")
    variable = f"MAESTRO_{name.upper()}"
    if variable in environ:
        return Setting(environ[variable], f"environment {variable}")
    return None


def ruled(text: Setting[str] | None, rule: TextRule, otherwise: Setting[Any]) -> Setting[Any]:
    """Return what a text says, or `otherwise` if there is none.

    Raises:
        SettingInvalid: The text breaks the rule.
    """
    if text is None:
        return otherwise
    try:
        return Setting(rule.read(text.value), text.source)
    except ValueError as error:
        raise SettingInvalid(text.source, rule.text, text.value) from error


def _directory(text: Setting[str] | None) -> Setting[Path]:
    """Make the text an absolute path."""
    if text is None:
        return Setting(Path(STATE_DIR_DEFAULT), BUILT_IN)
    if not text.value or "\0" in text.value:
        raise SettingInvalid(text.source, "the path of a directory", text.value)
    return Setting(Path(text.value).absolute(), text.source)
