"""Corrections with a runtime that is open and on a state directory at rest; live top-ups."""

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

import pytest

from maestro_actors.engine import Usage
from maestro_actors.errors import UsageInvalid
from maestro_actors.ledger.budget import Budget
from maestro_actors.ledger.errors import BudgetInvalid, LedgerConflict
from maestro_actors.messages import CorrectCall
from maestro_runtime import SessionOrder, open_runtime
from maestro_runtime.at_rest.correction import correct
from maestro_runtime.top_up import TopUpOrder
from maestro_storage import StateView, Store
from maestro_storage.errors import NotFound
from note_team import note_team

SESSION = "s1"
BUDGET = Budget(id="all", window="forever", limit=100_000)
TEAM = note_team("notes", BUDGET)


class Accounts:
    """Both ways to change the books, under one name each."""

    def __init__(self, state: Path, *, at_rest: bool) -> None:
        self._state = state
        self._at_rest = at_rest

    def correct(self, order: CorrectCall) -> None:
        if self._at_rest:
            with Store.open(self._state) as store:
                correct(store, order)
        else:
            with open_runtime(self._state) as runtime:
                runtime.correct(order)

    @contextmanager
    def looked_at(self) -> Iterator[StateView]:
        with Store.inspect(self._state) as store:
            yield store


@pytest.fixture(params=[True, False], ids=["at rest", "running"])
def accounts(tmp_path: Path, request: pytest.FixtureRequest) -> Accounts:
    """The books of a session that has ended."""
    with open_runtime(tmp_path / "state") as runtime:
        report = runtime.run(SessionOrder(TEAM, SESSION, tmp_path / "out")).result(20.0)
        assert report.state == "done"
    return Accounts(tmp_path / "state", at_rest=request.param)


def order(accounts: Accounts, tokens: int, name: str = "bill") -> CorrectCall:
    with accounts.looked_at() as store:
        (call,) = store.calls.scan(SESSION)
    return CorrectCall(
        session_id=SESSION,
        call_id=call.call_id,
        correction_id=name,
        usage=Usage(input_tokens=tokens),
        reason="invoice",
        at_ms=call.opened_ms,
    )


def test_a_correction_is_durable_on_return_and_applied_once(accounts: Accounts) -> None:
    wanted = order(accounts, 7)

    accounts.correct(wanted)
    accounts.correct(wanted)

    with accounts.looked_at() as store:
        (row,) = store.counters.scan()
        assert row.spent == 7
        (persona,) = store.budgets.scan(SESSION)
        assert persona.spent_tokens == 7
        cells = list(store.usage.scan(""))
        assert sum(cell.input_tokens + cell.output_tokens for cell in cells) == 7
        kinds = [event.kind for event in store.events.scan(SESSION)]
        assert kinds.count("call_corrected") == 1


def test_a_correction_upwards_can_raise_an_alert(accounts: Accounts) -> None:
    accounts.correct(order(accounts, 60_000))

    with accounts.looked_at() as store:
        assert [row.permille for row in store.alerts.scan() if row.counter.budget_id == "all"] == [
            500
        ]
        assert any(row.kind == "alert" for row in store.outbox.scan(SESSION))


def test_a_live_top_up_is_durable_on_return_and_at_least_one(tmp_path: Path) -> None:
    with open_runtime(tmp_path / "state") as runtime:
        runtime.run(SessionOrder(TEAM, SESSION, tmp_path / "out")).result(20.0)
        runtime.top_up(TopUpOrder(budget_id=BUDGET.id, amount=Decimal(5), reason="more"))
        with pytest.raises(BudgetInvalid):
            runtime.top_up(TopUpOrder(budget_id=BUDGET.id, amount=Decimal(0), reason="none"))

        store = runtime.store
        (row,) = store.counters.scan()
        assert (row.limit, row.topped_up) == (100_005, 5)
        *_, event = store.events.scan(SESSION)
        assert (event.kind, event.data["amount"]) == ("budget_topped_up", 5)


def test_what_cannot_be_is_refused(accounts: Accounts) -> None:
    wanted = order(accounts, 7)
    with pytest.raises(NotFound):
        accounts.correct(order_of(wanted, call_id=b"x" * 16))
    with pytest.raises(NotFound):
        accounts.correct(order_of(wanted, session_id="s2"))
    with pytest.raises(UsageInvalid):
        accounts.correct(order_of(wanted, usage=Usage(input_tokens=-1)))
    with pytest.raises(LedgerConflict):
        accounts.correct(order_of(wanted, correction_id=""))
    with accounts.looked_at() as store:
        assert all(not call.corrections for call in store.calls.scan(SESSION))


def order_of(order: CorrectCall, **changes: object) -> CorrectCall:
    fields = {name: getattr(order, name) for name in order.__struct_fields__}
    return CorrectCall(**{**fields, **changes})
