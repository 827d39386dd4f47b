"""The shape of a team file. Everything has a default here: what is required is a check.

The words are those of `maestro_actors.team`; a key that is left out stays UNSET, so that
"inherited" and "set to the built-in value" remain two things.
"""

from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType

from maestro_runtime.config.settings import MAX_ATTEMPTS_MAX, TOKEN_BUDGET_MAX

SECONDS_MAX: Final = 31_536_000
"""Longest time a team file can ask for: 365 days."""
WORKERS_MAX: Final = 1_024

Tries = Annotated[int, Meta(ge=1, le=MAX_ATTEMPTS_MAX)]
Pause = Annotated[float, Meta(ge=0, le=SECONDS_MAX)]
Limit = Annotated[float, Meta(gt=0, le=SECONDS_MAX)]


class TeamTable(msgspec.Struct, frozen=True):
    """`[team]`."""

    name: str = ""
    requirement: str | UnsetType = UNSET
    max_parallel_workers: Annotated[int, Meta(ge=1, le=WORKERS_MAX)] | UnsetType = UNSET
    seed: Annotated[int, Meta(ge=0, le=2**63 - 1)] | UnsetType = UNSET


class CommandTable(msgspec.Struct, frozen=True):
    """`command = { ... }` of a persona."""

    argv: tuple[str, ...] = ()
    timeout_seconds: Limit | UnsetType = UNSET
    environment: dict[str, str] | UnsetType = UNSET


class PersonaTable(msgspec.Struct, frozen=True):
    """`[personas.NAME]`, and `[defaults]`."""

    engine: str | UnsetType = UNSET
    max_attempts: Tries | UnsetType = UNSET
    max_rounds: Tries | UnsetType = UNSET
    backoff_seconds: Pause | UnsetType = UNSET
    backoff_max_seconds: Pause | UnsetType = UNSET
    round_backoff_seconds: tuple[Pause, ...] | UnsetType = UNSET
    token_budget: Annotated[int, Meta(ge=1, le=TOKEN_BUDGET_MAX)] | UnsetType = UNSET
    give_up_on_failure: bool | UnsetType = UNSET
    timeout_seconds: Limit | UnsetType = UNSET
    command: CommandTable | UnsetType = UNSET
    callable: str | UnsetType = UNSET
    script: tuple[str, ...] | UnsetType = UNSET
    latency_seconds: Pause | UnsetType = UNSET
    options: dict[str, Any] | UnsetType = UNSET


class PhaseTable(msgspec.Struct, frozen=True):
    """`[[phases]]`."""

    name: str = ""
    after: tuple[str, ...] = ()


class DeliverableTable(msgspec.Struct, frozen=True):
    """One item of a contract's `deliverables`."""

    name: str = ""
    artifacts: tuple[str, ...] = ()


class ContractTable(msgspec.Struct, frozen=True):
    """`[[contracts]]`."""

    id: str = ""
    name: str = ""
    phase: str = ""
    provider_persona_id: str = ""
    after: tuple[str, ...] = ()
    deliverables: tuple[DeliverableTable, ...] = ()


class TeamFile(msgspec.Struct, frozen=True):
    """The whole file."""

    team: TeamTable = TeamTable()
    defaults: PersonaTable = PersonaTable()
    personas: dict[str, PersonaTable] = {}
    phases: tuple[PhaseTable, ...] = ()
    contracts: tuple[ContractTable, ...] = ()


def given(table: msgspec.Struct) -> dict[str, Any]:
    """Return the keys that were given, with their values."""
    return {
        name: value for name, value in msgspec.structs.asdict(table).items() if value is not UNSET
    }


def inherit(own: PersonaTable, defaults: PersonaTable) -> PersonaTable:
    """Return a persona's own keys over the defaults; a table replaces a table as a whole."""
    return msgspec.structs.replace(defaults, **given(own))
