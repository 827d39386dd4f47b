"""Settings that a flag or the environment decides, each with the place it came from."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Generic, TypeVar

import msgspec

from maestro_actors.team import Persona, RetryPolicy
from maestro_runtime.config.errors import SettingInvalid

STATE_DIR_DEFAULT: Final = "/var/maestro/state"
"""Where the state lives unless `--state-dir` or `MAESTRO_STATE_DIR` names another directory."""
MAX_ATTEMPTS_MAX: Final = 1_000
"""Upper bound of `max_attempts` and `max_rounds`."""
TOKEN_BUDGET_MAX: Final = 10**12
"""Upper bound of `token_budget`."""
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


class Flags(msgspec.Struct, frozen=True, kw_only=True):
    """Values given on the command line, as typed; None where the flag was not given."""

    state_dir: str | None = None
    max_attempts: str | None = None
    token_budget: str | None = None


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What applies to this start of the runtime, whatever team it runs."""

    state_dir: Setting[Path]
    """Absolute. Not touched: whether it exists is for the storage to say."""
    max_attempts: Setting[int]
    """Attempts in a round, of every persona unless the source is `built-in`."""
    token_budget: Setting[int]
    """Tokens of each persona in a session, of every persona unless the source is `built-in`."""


def resolve_settings(flags: Flags, environ: Mapping[str, str]) -> Settings:
    """Take each setting from its flag, else from the environment, else from the built-in value.

    Args:
        flags: What the command line gave; wins over everything.
        environ: Read for `MAESTRO_STATE_DIR`, `MAESTRO_MAX_ATTEMPTS`, `MAESTRO_TOKEN_BUDGET`.
            A variable that is set but empty is an error, not "unset".

    Raises:
        SettingInvalid: A value that was given breaks its rule.
    """
    return Settings(
        state_dir=_directory(_given("state_dir", flags, environ)),
        max_attempts=_count(
            _given("max_attempts", flags, environ), MAX_ATTEMPTS_MAX, RetryPolicy().max_attempts
        ),
        token_budget=_count(
            _given("token_budget", flags, environ),
            TOKEN_BUDGET_MAX,
            Persona(persona_id="").token_budget,
        ),
    )


def _given(name: str, flags: Flags, environ: Mapping[str, str]) -> Setting[str] | None:
    """Return the raw text of a setting, or None when only the built-in value is left."""
    flag: str | None = getattr(flags, name)
    if flag is not None:
        return Setting(flag, f"flag --{name.replace('_', '-')}")
    variable = f"MAESTRO_{name.upper()}"
    if variable in environ:
        return Setting(environ[variable], f"environment {variable}")
    return None


def _directory(given: Setting[str] | None) -> Setting[Path]:
    """Make the text an absolute path."""
    if given is None:
        return Setting(Path(STATE_DIR_DEFAULT), BUILT_IN)
    if not given.value or "\0" in given.value:
        raise SettingInvalid(given.source, "the path of a directory", given.value)
    return Setting(Path(given.value).absolute(), given.source)


def _count(given: Setting[str] | None, most: int, built_in: int) -> Setting[int]:
    """Make the text an integer from 1 to `most`."""
    if given is None:
        return Setting(built_in, BUILT_IN)
    # int() alone would take " 5 ", "+5", digits of other scripts, and megabytes of zeros.
    if (
        not re.fullmatch(r"[0-9][0-9_]{0,19}", given.value)
        or not 1 <= _integer(given.value) <= most
    ):
        raise SettingInvalid(given.source, f"an integer from 1 to {most}", given.value)
    return Setting(_integer(given.value), given.source)


def _integer(digits: str) -> int:
    """Read digits that may be grouped with underscores, as in the team file."""
    return int(digits.replace("_", ""))
