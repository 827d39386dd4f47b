"""When a counter tells of a share of its limit: once, and again only if that is news."""

import copy

import pytest

from maestro_actors.ledger.amounts import Amounts
from maestro_actors.ledger.budget import Budget, Caller
from maestro_actors.ledger.counter import Counter
from maestro_actors.ledger.ledger import Ledger

CALLER = Caller("s-1", "dev")
BUDGET = Budget(id="b", window="forever", limit=100, action="warn")


def told(rows: dict[str, Counter], budget: Budget, tokens: int) -> list[int]:
    """Book a call with a ledger that knows only the rows; return the shares it tells of."""
    ledger = Ledger(lambda key: copy.deepcopy(rows.get(key.budget_id)))
    none = Amounts()
    ledger.reserve(b"call", CALLER, [budget], need=none, floor=none, at_ms=0)
    # A crash between the two must not lose what is to be told.
    rows["b"] = copy.deepcopy(ledger.counter(budget, CALLER, 0))
    change = ledger.settle(b"call", Amounts(total=tokens))
    rows["b"] = copy.deepcopy(change.counters[0])
    return [alert.permille for alert in change.alerts]


@pytest.mark.parametrize(
    ("changed", "news"),
    [
        (BUDGET, []),
        (Budget(id="b", window="forever", limit=100, action="warn", version=2), [500]),
        (Budget(id="b", window="forever", limit=64, action="warn"), [800, 950]),
        (Budget(id="b", window="forever", limit=119, action="warn"), []),
        (Budget(id="b", window="forever", limit=130, action="warn"), [500]),
    ],
    ids=["same", "next version", "lowered", "raised", "raised and reached again"],
)
def test_a_share_is_told_again_only_by_another_version_or_limit_that_makes_it_news(
    changed: Budget, news: list[int]
) -> None:
    rows: dict[str, Counter] = {}
    assert told(rows, BUDGET, 61) == [500]

    assert told(rows, changed, 4 if changed.limit > 119 else 2) == news
    assert told(rows, changed, 0) == []
