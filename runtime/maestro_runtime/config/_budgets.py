"""The `[[budgets]]` of a team file."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from msgspec import UNSET

from maestro_actors.ledger.amounts import LOST_POLICIES, METRICS
from maestro_actors.ledger.budget import ACTIONS, SCOPES, Budget
from maestro_actors.ledger.errors import BudgetInvalid
from maestro_actors.ledger.money import NANO_PER_USD
from maestro_runtime.config._names import check_name, check_unique
from maestro_runtime.config._problems import KeyPath, Problems, shown, unknown
from maestro_runtime.config._tables import BudgetTable, TeamFile, given

_WORDS: Final = {"scope": SCOPES, "metric": METRICS, "action": ACTIONS}


def check_budgets(file: TeamFile, problems: Problems) -> None:
    """Note everything that is wrong with the budgets, and with what is booked for lost calls."""
    policy = file.team.lost_policy
    if policy is not UNSET and policy not in LOST_POLICIES:
        problems.add(("team", "lost_policy"), unknown(policy, "lost policy", LOST_POLICIES))
    names: dict[object, Collection[str]] = {
        "persona": file.personas,
        "phase": [phase.name for phase in file.phases],
        "contract": [contract.id for contract in file.contracts],
    }
    check_budget_tables(file.budgets, names, problems)


def check_budget_tables(
    tables: Sequence[BudgetTable], names: Mapping[object, Collection[str]], problems: Problems
) -> None:
    """Note everything that is wrong with budgets; `names` are the known values, by scope."""
    ids: list[tuple[str, KeyPath]] = []
    for at, table in enumerate(tables):
        path = ("budgets", at)
        check_name(table.id, (*path, "id"), problems)
        ids.append((table.id, (*path, "id")))
        _check_budget(table, names, path, problems)
    check_unique(ids, problems)


def budget_of(table: BudgetTable) -> Budget:
    """Return the budget of a table without problems.

    Raises:
        BudgetInvalid: A field breaks a rule that only the budget knows.
    """
    keys: dict[str, Any] = given(table)
    unit = NANO_PER_USD if keys.get("metric") == "money" else 1
    keys["limit"] = round(keys["limit"] * unit)
    if "thresholds" in keys:
        shares = {round(share * 1000) for share in keys.pop("thresholds")}
        keys["alert_permille"] = tuple(sorted(shares))
    return Budget(**keys)


def _check_budget(
    table: BudgetTable,
    names: Mapping[object, Collection[str]],
    path: KeyPath,
    problems: Problems,
) -> None:
    known = True
    for key, words in _WORDS.items():
        word = getattr(table, key)
        if word is not UNSET and word not in words:
            problems.add((*path, key), unknown(word, key, words))
            known = False
    if table.limit is UNSET:
        problems.add((*path, "limit"), "is required")
        return
    if table.metric != "money" and table.limit != int(table.limit):
        problems.add((*path, "limit"), f"must be a whole number, got {shown(table.limit)}")
    entries = names.get(table.scope)
    if isinstance(table.value, str) and table.value and entries and table.value not in entries:
        problems.add((*path, "value"), unknown(table.value, str(table.scope), entries))
    if known and table.id:
        try:
            budget_of(table)
        except BudgetInvalid as error:
            problems.add((*path, error.field), f"{error.rule}, got {shown(error.given)}")
