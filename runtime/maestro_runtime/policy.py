"""How a runtime is governed: limits, the budgets of all its sessions, prices. Changeable live."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from maestro_actors.errors import LimitInvalid
from maestro_actors.ledger.budget import Budget
from maestro_actors.ledger.errors import BudgetInvalid
from maestro_actors.ledger.money import usd
from maestro_actors.limits import CallLimits, require_positive

SESSIONS_QUEUED: Final = 1_000
"""Built-in bound of the queue of sessions."""


class RuntimePolicy(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an operator allows. The built-in one limits nothing but the queue of sessions.

    Raises:
        LimitInvalid: A number of sessions is out of its bounds.
        BudgetInvalid: Two budgets have the same id.
    """

    sessions_running: int | None = None
    """Sessions that run at the same time, at least 1; further ones are queued. None: all run."""
    sessions_queued: int = SESSIONS_QUEUED
    """Sessions that wait to run, at least 0; further ones are refused."""
    calls: CallLimits = CallLimits()
    budgets: tuple[Budget, ...] = ()
    """What the calls of all sessions may take, besides the budgets of their teams. Ids are their
    own: a team's budget of the same id is another one."""
    prices: Path | None = None
    """The own price table, which must exist; None: `prices.toml` of the state directory, if there
    is one."""

    def __post_init__(self) -> None:
        """Refuse what would let nothing through, or would be counted twice."""
        require_positive("sessions_running", self.sessions_running)
        if self.sessions_queued < 0:
            raise LimitInvalid("sessions_queued", "must be at least 0", self.sessions_queued)
        ids = [budget.id for budget in self.budgets]
        for name in ids:
            if ids.count(name) > 1:
                raise BudgetInvalid(name, "id", "must be used once", name)


def differences(before: RuntimePolicy, after: RuntimePolicy) -> tuple[str, ...]:
    """Return what is another value now, in words, in the order of the fields."""
    old, new = dict(_flat(before)), dict(_flat(after))
    return tuple(
        f"{key}: {old.get(key, 'none')} -> {new.get(key, 'none')}"
        for key in dict.fromkeys([*old, *new])
        if old.get(key) != new.get(key)
    )


def _flat(policy: RuntimePolicy) -> Iterator[tuple[str, str]]:
    """Yield each value that is set, with the key it has in a file."""
    calls = policy.calls
    numbers = {
        "prices": policy.prices,
        "limits.sessions_running": policy.sessions_running,
        "limits.sessions_queued": policy.sessions_queued,
        "limits.attempts": calls.attempts,
    }
    yield from ((key, str(value)) for key, value in numbers.items() if value is not None)
    for name, limits in calls.engines.items():
        yield from _fields(f"limits.engines.{name}", limits)
    for name, concurrency in calls.personas.items():
        yield f"limits.personas.{name}.concurrency", str(concurrency)
    for budget in policy.budgets:
        for key, value in _fields(f"budgets.{budget.id}", budget):
            is_money = key.endswith(".limit") and budget.metric == "money"
            yield key, f"{usd(budget.limit)} USD" if is_money else value


def _fields(place: str, struct: msgspec.Struct) -> Iterator[tuple[str, str]]:
    """Yield the fields that say something, as a user writes them."""
    values: dict[str, Any] = msgspec.structs.asdict(struct)
    return ((f"{place}.{key}", _shown(value)) for key, value in values.items() if value)


def _shown(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
