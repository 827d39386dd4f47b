from pathlib import Path
from typing import Any

import pytest

from maestro_actors.errors import LimitInvalid
from maestro_actors.ledger.budget import Budget
from maestro_actors.ledger.errors import BudgetInvalid
from maestro_actors.limits import CallLimits, EngineLimits
from maestro_runtime.config import PolicyInvalid, read_policy
from maestro_runtime.policy import RuntimePolicy, differences

DOCUMENT: dict[str, Any] = {
    "prices": "house-prices.toml",
    "limits": {
        "sessions_running": 8,
        "sessions_queued": 0,
        "attempts": 32,
        "engines": {"chat": {"concurrency": 4, "requests_per_minute": 60}, "agent": {}},
        "personas": {"qa_engineer": {"concurrency": 2}},
    },
    "budgets": [{"id": "house", "window": "day", "metric": "money", "limit": 2.5}],
}


def test_the_tables_of_a_policy_become_a_policy() -> None:
    policy = read_policy(DOCUMENT, source="maestro.toml", base_dir=Path("/etc/maestro"))

    assert policy == RuntimePolicy(
        sessions_running=8,
        sessions_queued=0,
        calls=CallLimits(
            attempts=32,
            engines={
                "chat": EngineLimits(concurrency=4, requests_per_minute=60),
                "agent": EngineLimits(),
            },
            personas={"qa_engineer": 2},
        ),
        budgets=(Budget(id="house", window="day", metric="money", limit=2_500_000_000),),
        prices=Path("/etc/maestro/house-prices.toml"),
    )


def test_no_tables_are_the_built_in_policy() -> None:
    assert read_policy({}, source="x", base_dir=Path("/")) == RuntimePolicy()


def test_every_mistake_in_a_policy_is_named_by_its_key() -> None:
    document = {
        "prices": "",
        "price": 1,
        "limits": {
            "sessions_running": 0,
            "engines": {"chat": {"tokens_per_minute": "many"}, "a b": {}},
            "personas": {"": {}},
        },
        "budgets": [{"id": "house", "limit": 5}, {"id": "house", "window": "day"}],
    }

    with pytest.raises(PolicyInvalid) as caught:
        read_policy(document, source="maestro.toml", base_dir=Path("/"))

    lines = str(caught.value).splitlines()
    assert all(line.startswith("maestro.toml: ") for line in lines)
    keys = [line.removeprefix("maestro.toml: ").partition(": ")[0] for line in lines]
    assert sorted(keys) == [
        "budgets[0].window",
        "budgets[1].id",
        "budgets[1].limit",
        'limits.engines."a b"',
        "limits.engines.chat.tokens_per_minute",
        'limits.personas.""',
        "limits.sessions_running",
        "price",
        "prices",
    ]


def test_a_program_cannot_make_a_policy_that_lets_nothing_through() -> None:
    with pytest.raises(LimitInvalid, match=r"^limit concurrency must be at least 1, got 0$"):
        EngineLimits(concurrency=0)
    with pytest.raises(LimitInvalid, match=r"^limit attempts must be at least 1, got -1$"):
        CallLimits(attempts=-1)
    with pytest.raises(LimitInvalid, match=r"^limit concurrency of persona 'a' must be at least 1"):
        CallLimits(personas={"a": 0})
    with pytest.raises(LimitInvalid, match=r"^limit sessions_running must be at least 1, got 0$"):
        RuntimePolicy(sessions_running=0)
    with pytest.raises(LimitInvalid, match=r"^limit sessions_queued must be at least 0, got -1$"):
        RuntimePolicy(sessions_queued=-1)


def test_a_program_cannot_use_the_id_of_a_budget_twice() -> None:
    budget = Budget(id="house", window="day", limit=5)

    with pytest.raises(
        BudgetInvalid, match=r"^id of budget 'house' must be used once, got 'house'"
    ):
        RuntimePolicy(budgets=(budget, budget))


def test_what_differs_between_two_policies_is_said_in_words() -> None:
    before = RuntimePolicy(
        calls=CallLimits(engines={"chat": EngineLimits(concurrency=4)}, personas={"qa": 1}),
        budgets=(Budget(id="house", window="day", limit=5),),
    )
    after = RuntimePolicy(
        sessions_running=2,
        calls=CallLimits(engines={"chat": EngineLimits(concurrency=8)}),
        budgets=(Budget(id="house", window="day", limit=6),),
    )

    assert differences(before, before) == ()
    assert differences(before, after) == (
        "limits.engines.chat.concurrency: 4 -> 8",
        "limits.personas.qa.concurrency: 1 -> none",
        "budgets.house.limit: 5 -> 6",
        "limits.sessions_running: none -> 2",
    )


def test_a_limit_in_money_that_differs_is_said_as_it_is_written_in_the_file() -> None:
    def policy(nano_usd: int) -> RuntimePolicy:
        budget = Budget(id="daily", window="day", metric="money", limit=nano_usd)
        return RuntimePolicy(budgets=(budget,))

    assert differences(policy(50_000_000_000), policy(62_500_000_000)) == (
        "budgets.daily.limit: 50.00 USD -> 62.50 USD",
    )
