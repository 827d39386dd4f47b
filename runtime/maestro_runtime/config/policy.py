"""The tables by which an operator governs a runtime: limits, budgets of all sessions, prices."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType

from maestro_actors.limits import CallLimits, EngineLimits
from maestro_runtime.config._budgets import budget_of, check_budget_tables
from maestro_runtime.config._decode import decode_table, plain
from maestro_runtime.config._names import check_name
from maestro_runtime.config._problems import Problems
from maestro_runtime.config._tables import BudgetTable, Tokens, given
from maestro_runtime.config.errors import PolicyInvalid
from maestro_runtime.policy import RuntimePolicy

LIMIT_MAX: Final = 1_000_000
"""Highest limit on a number of sessions, attempts or requests."""

_Number = Annotated[int, Meta(ge=1, le=LIMIT_MAX)]
_Queue = Annotated[int, Meta(ge=0, le=LIMIT_MAX)]


class EngineLimitsTable(msgspec.Struct, frozen=True):
    """`[limits.engines.NAME]`."""

    concurrency: _Number | UnsetType = UNSET
    requests_per_minute: _Number | UnsetType = UNSET
    tokens_per_minute: Tokens | UnsetType = UNSET


class PersonaLimitsTable(msgspec.Struct, frozen=True):
    """`[limits.personas.NAME]`."""

    concurrency: _Number | UnsetType = UNSET


class LimitsTable(msgspec.Struct, frozen=True):
    """`[limits]`."""

    sessions_running: _Number | UnsetType = UNSET
    sessions_queued: _Queue | UnsetType = UNSET
    attempts: _Number | UnsetType = UNSET
    engines: dict[str, EngineLimitsTable] = {}
    personas: dict[str, PersonaLimitsTable] = {}


class PolicyTables(msgspec.Struct, frozen=True):
    """The whole policy. A file that says more than this has a Struct that inherits from it."""

    prices: str | UnsetType = UNSET
    limits: LimitsTable = LimitsTable()
    budgets: tuple[BudgetTable, ...] = ()


def read_policy(document: Mapping[str, Any], *, source: str, base_dir: Path) -> RuntimePolicy:
    """Check the tables of a policy as a whole, and convert them.

    Args:
        document: Parsed TOML with `prices`, `[limits]` and `[[budgets]]`, all optional.
        source: How errors name it.
        base_dir: Absolute directory where the relative path of a price table starts.

    Raises:
        PolicyInvalid: It breaks rules; the error has all of them.
    """
    problems = Problems()
    tables = decode_table(plain(document), PolicyTables, (), problems)
    check_policy(tables, problems)
    if found := problems.listed():
        raise PolicyInvalid(source, found)
    return policy_of(tables, base_dir)


def check_policy(tables: PolicyTables, problems: Problems) -> None:
    """Note everything that is wrong with a policy."""
    for name in tables.limits.engines:
        check_name(name, ("limits", "engines", name), problems)
    for name in tables.limits.personas:
        check_name(name, ("limits", "personas", name), problems)
    check_budget_tables(tables.budgets, {}, problems)
    for at, table in enumerate(tables.budgets):
        if table.window is UNSET:
            # That of a team is the session, which here would be another budget for each.
            problems.add(("budgets", at, "window"), "is required")
    if tables.prices == "":
        problems.add(("prices",), "must not be empty")


def policy_of(tables: PolicyTables, base_dir: Path) -> RuntimePolicy:
    """Convert a policy without problems."""
    keys = given(tables.limits)
    engines: dict[str, EngineLimitsTable] = keys.pop("engines")
    personas: dict[str, PersonaLimitsTable] = keys.pop("personas")
    attempts = keys.pop("attempts", None)
    if tables.prices is not UNSET:
        keys["prices"] = base_dir / tables.prices
    return RuntimePolicy(
        **keys,
        calls=CallLimits(
            attempts=attempts,
            engines={name: EngineLimits(**given(table)) for name, table in engines.items()},
            personas={
                name: table.concurrency
                for name, table in personas.items()
                if table.concurrency is not UNSET
            },
        ),
        budgets=tuple(budget_of(table) for table in tables.budgets),
    )
