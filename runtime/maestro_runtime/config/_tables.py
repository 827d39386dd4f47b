"""The shape of a team file. Everything has a default here: what is required is a check.

The words are those of `maestro_actors.team`; a key that is left out stays UNSET, so that
"inherited" and "set to the built-in value" remain two things.
"""

from typing import Annotated, Any, ClassVar, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType

from maestro_runtime.config.settings import (
    GROWTH_MAX,
    MAX_ATTEMPTS_MAX,
    SECONDS_MAX,
    TOKEN_BUDGET_MAX,
)

WORKERS_MAX: Final = 1_024
WEIGHT_MAX: Final = 1_000_000

Tries = Annotated[int, Meta(ge=1, le=MAX_ATTEMPTS_MAX)]
Pause = Annotated[float, Meta(ge=0, le=SECONDS_MAX)]
Limit = Annotated[float, Meta(gt=0, le=SECONDS_MAX)]
Count = Annotated[int, Meta(ge=0, le=2**53)]
Tokens = Annotated[int, Meta(ge=1, le=TOKEN_BUDGET_MAX)]


class TeamTable(msgspec.Struct, frozen=True):
    """`[team]`."""

    name: str = ""
    requirement: str | UnsetType = UNSET
    max_parallel_workers: Annotated[int, Meta(ge=1, le=WORKERS_MAX)] | UnsetType = UNSET
    seed: Annotated[int, Meta(ge=0, le=2**63 - 1)] | UnsetType = UNSET
    lost_policy: str | UnsetType = UNSET


class CommandTable(msgspec.Struct, frozen=True):
    """`command = { ... }` of a persona."""

    argv: tuple[str, ...] = ()
    timeout_seconds: Limit | UnsetType = UNSET
    environment: dict[str, str] | UnsetType = UNSET
    stop_timeout_seconds: Pause | UnsetType = UNSET


class RetryTable(msgspec.Struct, frozen=True):
    """Keys of a persona that say how often, and with which pauses, its tasks are tried."""

    max_attempts: Tries | UnsetType = UNSET
    max_rounds: Tries | UnsetType = UNSET
    backoff_seconds: Pause | UnsetType = UNSET
    backoff_max_seconds: Pause | UnsetType = UNSET
    round_backoff_seconds: tuple[Pause, ...] | UnsetType = UNSET


class PersonaTable(RetryTable, frozen=True):
    """`[personas.NAME]`, and `[defaults]`."""

    engine: str | UnsetType = UNSET
    token_budget: Tokens | UnsetType = UNSET
    give_up_on_failure: bool | UnsetType = UNSET
    timeout_seconds: Limit | UnsetType = UNSET
    command: CommandTable | UnsetType = UNSET
    callable: str | UnsetType = UNSET
    script: tuple[str, ...] | UnsetType = UNSET
    latency_seconds: Pause | UnsetType = UNSET
    options: dict[str, Any] | UnsetType = UNSET
    model: str | UnsetType = UNSET
    tags: tuple[str, ...] | UnsetType = UNSET


class PhaseTable(msgspec.Struct, frozen=True):
    """`[[phases]]`."""

    name: str = ""
    after: tuple[str, ...] = ()


class CheckTable(msgspec.Struct, frozen=True):
    """One item of `checks`; `kind` says which of the tables below it is."""

    KINDS: ClassVar[dict[str, type["CheckTable"]]] = {}

    kind: str = ""
    name: str | UnsetType = UNSET
    weight: Annotated[float, Meta(gt=0, le=WEIGHT_MAX)] | UnsetType = UNSET
    required: bool | UnsetType = UNSET


class FilesCheckTable(CheckTable, frozen=True):
    """A check that looks at files: `changed_since_start`, `python_compiles`."""

    files: tuple[str, ...] | UnsetType = UNSET


class ExistsTable(FilesCheckTable, frozen=True):
    """`exists`."""

    min: Count | UnsetType = UNSET
    max: Count | UnsetType = UNSET


class BytesTable(FilesCheckTable, frozen=True):
    """`min_bytes` and `max_bytes`."""

    bytes: Count | UnsetType = UNSET


class TextRegexTable(FilesCheckTable, frozen=True):
    """`text_regex`."""

    pattern: str | UnsetType = UNSET


class JsonSchemaTable(FilesCheckTable, frozen=True):
    """`json_schema`."""

    schema: dict[str, Any] | UnsetType = UNSET


class ParsesTable(FilesCheckTable, frozen=True):
    """`parses`."""

    format: str | UnsetType = UNSET


class CommandCheckTable(FilesCheckTable, frozen=True):
    """`command`."""

    argv: tuple[str, ...] | UnsetType = UNSET
    timeout_seconds: Limit | UnsetType = UNSET
    expect_exit: Annotated[int, Meta(ge=0, le=255)] | UnsetType = UNSET


class NoForbiddenTable(CheckTable, frozen=True):
    """`no_forbidden`."""

    glob: str | UnsetType = UNSET


class CallableCheckTable(FilesCheckTable, frozen=True):
    """`callable`."""

    callable: str | UnsetType = UNSET


class HumanTable(FilesCheckTable, frozen=True):
    """`human`."""

    question: str | UnsetType = UNSET


CheckTable.KINDS.update(
    {
        "callable": CallableCheckTable,
        "changed_since_start": FilesCheckTable,
        "command": CommandCheckTable,
        "exists": ExistsTable,
        "human": HumanTable,
        "json_schema": JsonSchemaTable,
        "max_bytes": BytesTable,
        "min_bytes": BytesTable,
        "no_forbidden": NoForbiddenTable,
        "parses": ParsesTable,
        "python_compiles": FilesCheckTable,
        "text_regex": TextRegexTable,
    }
)


class DeliverableTable(msgspec.Struct, frozen=True):
    """One item of a contract's `deliverables`."""

    name: str = ""
    artifacts: tuple[str, ...] = ()
    checks: tuple[CheckTable, ...] = ()


class ContractTable(msgspec.Struct, frozen=True):
    """`[[contracts]]`."""

    id: str = ""
    name: str = ""
    phase: str = ""
    provider_persona_id: str = ""
    after: tuple[str, ...] = ()
    deliverables: tuple[DeliverableTable, ...] = ()
    checks: tuple[CheckTable, ...] = ()


class BudgetTable(msgspec.Struct, frozen=True):
    """`[[budgets]]`."""

    id: str = ""
    scope: str | UnsetType = UNSET
    value: str | UnsetType = UNSET
    window: str | UnsetType = UNSET
    metric: str | UnsetType = UNSET
    limit: Annotated[float, Meta(gt=0, le=TOKEN_BUDGET_MAX)] | UnsetType = UNSET
    """USD if the metric is money, else a whole number."""
    action: str | UnsetType = UNSET
    thresholds: tuple[Annotated[float, Meta(gt=0, le=10)], ...] | UnsetType = UNSET
    version: Annotated[int, Meta(ge=1, le=1_000_000)] | UnsetType = UNSET


class BreakerTable(msgspec.Struct, frozen=True):
    """`[breakers.NAME]`."""

    failures_max: Tries | UnsetType = UNSET
    reset_seconds: Limit | UnsetType = UNSET
    reset_max_seconds: Limit | UnsetType = UNSET
    jitter: Annotated[float, Meta(ge=0, le=1)] | UnsetType = UNSET
    growth: Annotated[float, Meta(ge=1, le=GROWTH_MAX)] | UnsetType = UNSET
    call_timeout_seconds: Limit | UnsetType = UNSET


class ContextTable(msgspec.Struct, frozen=True):
    """The context of one run; a program gives it, not the team file."""

    max_attempts: Tries | UnsetType = UNSET
    token_budget: Tokens | UnsetType = UNSET
    give_up_on_failure: bool | UnsetType = UNSET
    retry: RetryTable | UnsetType = UNSET


class TeamFile(msgspec.Struct, frozen=True):
    """The whole file."""

    team: TeamTable = TeamTable()
    defaults: PersonaTable = PersonaTable()
    personas: dict[str, PersonaTable] = {}
    phases: tuple[PhaseTable, ...] = ()
    contracts: tuple[ContractTable, ...] = ()
    budgets: tuple[BudgetTable, ...] = ()
    breakers: dict[str, BreakerTable] = {}


def given(table: msgspec.Struct) -> dict[str, Any]:
    """Return the keys that were given, with their values."""
    return {
        name: value for name, value in msgspec.structs.asdict(table).items() if value is not UNSET
    }


def inherit(own: PersonaTable, defaults: PersonaTable) -> PersonaTable:
    """Return a persona's own keys over the defaults; a table replaces a table as a whole."""
    return msgspec.structs.replace(defaults, **given(own))
