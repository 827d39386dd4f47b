"""Corrections of closed calls, and what lost ones are booked with, across restarts."""

import dataclasses
from collections.abc import Callable

import msgspec
import pytest

from maestro_actors.accounting import adjustment
from maestro_actors.engine import Usage
from maestro_actors.errors import UsageInvalid
from maestro_actors.ledger.amounts import LostPolicy
from maestro_actors.ledger.budget import Budget
from maestro_actors.ledger.errors import LedgerConflict
from maestro_actors.ledger.ledger import Ledger
from maestro_actors.ledger.prices import PriceBook
from maestro_actors.ledger.rows import figures_of
from maestro_actors.messages import CorrectCall
from maestro_actors.team import Team
from maestro_storage._limits import RECORD_BYTES_MAX
from maestro_storage.errors import NotFound
from maestro_storage.records import CallRecord
from staging import BOUND_SECONDS, SESSION, Stage, team

OUTPUT = Budget(id="output", window="forever", metric="output", limit=500)
MONEY = Budget(id="money", window="forever", metric="money", limit=100_000)


def budgeted(**changes: object) -> Team:
    wanted = team(model="m-1", token_budget=1_000)
    return msgspec.structs.replace(wanted, budgets=(OUTPUT, MONEY), **changes)


def call_of(stage: Stage) -> CallRecord:
    return next(iter(stage.store.calls.scan(SESSION)))


def order(call: CallRecord, name: str = "bill", **usage: int) -> CorrectCall:
    return CorrectCall(
        session_id=SESSION,
        call_id=call.call_id,
        correction_id=name,
        usage=Usage(basis="provider", **usage),
        reason="invoice",
        at_ms=2_000_000,
    )


def spent(stage: Stage) -> dict[str, int]:
    found = {row.counter.budget_id: row.spent for row in stage.store.counters.scan()}
    return found | {row.persona_id: row.spent_tokens for row in stage.store.budgets.scan()}


def sums(stage: Stage) -> tuple[int, ...]:
    cells = list(stage.store.usage.scan())
    return tuple(
        sum(getattr(cell, name) for cell in cells)
        for name in ("calls", "input_tokens", "output_tokens", "cost_nano_usd", "lost_calls")
    )


def correct(stage: Stage, wanted: CorrectCall) -> int:
    return stage.accountant.correct(wanted).get(timeout=BOUND_SECONDS).tokens


def done(stage: Stage) -> CallRecord:
    """Run the one task to its end: 60 tokens in, 40 out, at 2 and 4 nano-USD."""
    wanted = budgeted()
    stage.create(wanted)
    stage.run(wanted)
    stage.wait_for("session_done")
    return call_of(stage)


def test_a_correction_changes_row_counters_history_and_tells_of_it(stage: Stage) -> None:
    call = done(stage)
    before = spent(stage), sums(stage)

    tokens = correct(stage, order(call, input_tokens=100, output_tokens=10))

    (event,) = stage.wait_for("call_corrected")
    assert before == ({"output": 40, "money": 280, "dev": 100}, (1, 60, 40, 280, 0))
    assert spent(stage) == {"output": 10, "money": 240, "dev": 110}
    assert sums(stage) == (1, 100, 10, 240, 0)
    assert tokens == 110
    assert event.data == {
        "persona_id": "dev",
        "call_id": call.call_id.hex(),
        "correction_id": "bill",
        "reason": "invoice",
        "tokens_before": 100,
        "tokens": 110,
    }
    row = call_of(stage)
    assert (row.state, row.input_tokens, row.output_tokens) == ("settled", 60, 40)
    assert (figures_of(row).input_tokens, figures_of(row).cost_nano_usd) == (100, 240)


def test_a_correction_is_applied_once_and_the_last_one_counts(
    restart: Callable[[], Stage],
) -> None:
    stage = restart()
    call = done(stage)
    first, last = order(call, "a", input_tokens=10), order(call, "b", input_tokens=20)
    # The second and third find the first before it is durable.
    answers = [stage.accountant.correct(item) for item in (first, first, last)]
    assert [answer.get(timeout=BOUND_SECONDS).tokens for answer in answers] == [10, 10, 20]
    stage.wait_for("call_corrected", 2)
    stage = restart()
    stage.run(budgeted())

    assert correct(stage, first) == correct(stage, last) == 20
    assert [item.correction_id for item in call_of(stage).corrections] == ["a", "b"]
    assert spent(stage) == {"output": 0, "money": 40, "dev": 20}
    assert sums(stage) == (1, 20, 0, 40, 0)
    with pytest.raises(LedgerConflict, match=r"has a correction 'a' with other figures$"):
        correct(stage, order(call, "a", input_tokens=11))


def test_a_correction_without_a_price_leaves_the_cost_as_it_was_booked(stage: Stage) -> None:
    call = done(stage)

    corrected = adjustment.correct(
        Ledger(lambda _: None), call, order(call, input_tokens=1), None, epoch=2
    )

    assert corrected is not None
    (figures,) = corrected.call.corrections
    assert (figures.input_tokens, figures.cost_nano_usd, figures.cost_basis) == (1, 280, "table")


def test_what_cannot_be_corrected_is_refused_and_changes_nothing(stage: Stage) -> None:
    stage.engines.held = True
    wanted = budgeted()
    stage.create(wanted)
    stage.run(wanted)
    (started,) = stage.engines.wait_for_calls(1)
    call = call_of(stage)

    with pytest.raises(LedgerConflict, match=r"is open, only a settled or lost one is corrected$"):
        correct(stage, order(call, input_tokens=1))
    with pytest.raises(UsageInvalid):
        correct(stage, order(call, input_tokens=-1))
    with pytest.raises(NotFound):
        correct(stage, msgspec.structs.replace(order(call), call_id=b"x" * 16))

    stage.engines.finish(started.call_id)
    stage.wait_for("session_done")
    assert spent(stage) == {"output": 40, "money": 280, "dev": 100}
    assert call_of(stage).corrections == ()


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"correction_id": ""}, "an id for its correction, 1 to 100 characters, got ''"),
        (
            {"correction_id": "x" * 102},
            f"an id for its correction, 1 to 100 characters, got {'x' * 101!r}",
        ),
        (
            {"correction_id": "\udcff"},
            "an id for its correction, 1 to 100 characters, got '\\udcff'",
        ),
        (
            {"reason": "x" * 501},
            f"a reason for its correction of at most 500 characters, got {'x' * 80!r}",
        ),
        (
            {"reason": "\udcff"},
            "a reason for its correction of at most 500 characters, got '\\udcff'",
        ),
    ],
)
def test_a_correction_that_cannot_be_stored_is_refused_before_anything_moves(
    stage: Stage, wrong: dict[str, str], text: str
) -> None:
    ledger, call = Ledger(lambda _: None), done(stage)
    wanted = msgspec.structs.replace(order(call, input_tokens=1), **wrong)

    with pytest.raises(LedgerConflict) as raised:
        adjustment.correct(ledger, call, wanted, None, epoch=2)

    assert str(raised.value) == f"call {call.call_id.hex()} needs {text}"
    assert ledger.counters(SESSION) == []


def test_a_call_has_so_many_corrections_as_its_row_has_room_for(stage: Stage) -> None:
    ledger, call = Ledger(lambda _: None), done(stage)
    longest = {"reason": "\U0001f4b8" * adjustment.REASON_CHARS_MAX}
    for number in range(adjustment.CORRECTIONS_MAX):
        name = f"{number:0{adjustment.ID_CHARS_MAX}}"
        wanted = msgspec.structs.replace(order(call, name, input_tokens=number), **longest)
        corrected = adjustment.correct(ledger, call, wanted, None, epoch=2)
        assert corrected is not None
        call = corrected.call

    assert len(msgspec.msgpack.encode(call)) < RECORD_BYTES_MAX // 2
    assert adjustment.correct(ledger, call, wanted, None, epoch=2) is None
    with pytest.raises(LedgerConflict, match=r"has 100 corrections, which is the most$"):
        adjustment.correct(ledger, call, order(call, "b", input_tokens=1), None, epoch=2)


def lost(restart: Callable[[], Stage], policy: LostPolicy) -> Stage:
    """Lose the first call of the one task, which held 100 tokens and could do with 30."""
    stage = restart()
    stage.engines.held = True
    stage.engines.floor_tokens = 30
    wanted = budgeted(lost_policy=policy)
    stage.create(wanted)
    stage.run(wanted)
    stage.engines.wait_for_calls(1)
    stage = restart()
    stage.engines.held = True
    stage.run(wanted)
    stage.advance_until("attempt_interrupted")
    return stage


@pytest.mark.parametrize(
    ("policy", "tokens", "output", "money"),
    [("reservation", 100, 100, 400), ("floor", 30, 30, 120), ("zero", 0, 0, 0)],
)
def test_a_lost_call_is_booked_by_the_policy_of_its_team_until_it_is_corrected(
    restart: Callable[[], Stage], policy: LostPolicy, tokens: int, output: int, money: int
) -> None:
    stage = lost(restart, policy)
    call = next(call for call in stage.store.calls.scan(SESSION) if call.state == "lost")

    assert spent(stage) == {"output": output, "money": money, "dev": tokens}
    assert sums(stage) == (1, tokens, 0, money, 1)
    assert stage.task().tokens_used == tokens
    assert stage.attempts()[0].tokens == tokens
    assert (call.input_tokens, call.cost_nano_usd) == (tokens, money)

    correct(stage, order(call, input_tokens=7, output_tokens=3))

    stage.wait_for("call_corrected")
    assert spent(stage) == {"output": 3, "money": 26, "dev": 10}
    assert sums(stage) == (1, 7, 3, 26, 0)


def test_a_correction_that_takes_tokens_back_wakes_who_waits_for_them(stage: Stage) -> None:
    wanted = team(token_budget=1_000)
    daily = Budget(id="daily", window="day", limit=150, action="park")
    wanted = msgspec.structs.replace(wanted, budgets=(daily,), max_parallel_workers=1)
    first, second = wanted.contracts[0], msgspec.structs.replace(wanted.contracts[0], id="c2")
    wanted = msgspec.structs.replace(wanted, contracts=(first, second))
    stage.create(wanted)
    stage.run(wanted)
    stage.wait_for("task_waiting")

    correct(stage, order(call_of(stage), input_tokens=5))

    stage.wait_for("session_done")
    assert spent(stage)["daily"] == 105


def test_a_call_whose_price_is_gone_when_it_ends_is_booked_with_what_it_may_have_cost(
    restart: Callable[[], Stage],
) -> None:
    stage = restart()
    stage.engines.held = True
    wanted = budgeted()
    stage.create(wanted)
    stage.run(wanted)
    stage.engines.wait_for_calls(1)
    stage = restart()
    stage.ports = dataclasses.replace(stage.ports, prices=PriceBook({}))
    stage.engines.recovered_usage = Usage(input_tokens=10)
    stage.engines.held = True
    stage.run(wanted)

    stage.advance_until("attempt_interrupted")

    # 100 tokens were reserved, at 4 nano-USD at most; 0 would be a call for free.
    (call,) = [call for call in stage.store.calls.scan(SESSION) if call.state == "settled"]
    assert (call.input_tokens, call.cost_nano_usd, call.cost_basis) == (10, 400, "table")
    assert spent(stage)["money"] == 400
    assert sums(stage)[3] == 400
