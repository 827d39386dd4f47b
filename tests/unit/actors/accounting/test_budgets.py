"""Budgets of a team on real actors and a real store, across restarts."""

import threading
from collections.abc import Callable

import msgspec

from maestro_actors.identity import call_id_of
from maestro_actors.ledger.budget import DAY_MS, HOUR_MS, Budget, Caller
from maestro_actors.ledger.rows import persona_budget
from maestro_actors.messages import OpenCall
from maestro_actors.team import Team
from maestro_storage.records import AlertRecord, CallRecord, CounterRecord
from maestro_storage.transition import Transition
from staging import MALFORMED, NO_WAIT, OK, SESSION, TRANSIENT, Stage, changed_retry, contract, team

DAILY = Budget(id="daily", window="day", limit=250)
CALLER = Caller(SESSION, "dev", engine="scripted")


def limited(*budgets: Budget, contracts: int = 3, **changes: object) -> Team:
    """Return a team whose contracts follow each other, under these budgets."""
    names = [f"c{number}" for number in range(1, contracts + 1)]
    wanted = team(
        *(contract(name, after=tuple(names[:at])) for at, name in enumerate(names)),
        **changes,  # type: ignore[arg-type] # as in team
    )
    return msgspec.structs.replace(wanted, budgets=budgets)


def counter_of(stage: Stage, budget_id: str) -> CounterRecord:
    (row,) = [row for row in stage.store.counters.scan() if row.counter.budget_id == budget_id]
    return row


def calls_of(stage: Stage) -> list[CallRecord]:
    return sorted(stage.store.calls.scan(SESSION), key=lambda call: call.task_id)


def run(stage: Stage, wanted: Team) -> None:
    stage.create(wanted)
    stage.run(wanted)


def test_a_team_budget_ends_a_task_it_cannot_pay_for_and_says_when_it_begins_anew(
    stage: Stage,
) -> None:
    run(stage, limited(DAILY))

    stage.wait_for("session_failed")

    assert stage.task("c3").failure == "limit"
    assert stage.task("c3").evidence == (
        (
            "budget 'daily' cannot pay for another call of persona 'dev': limit 250, spent 200, "
            "reserved 0, needed 100; it begins anew at 1970-01-02T00:00:00+00:00"
        ),
    )
    row = counter_of(stage, "daily")
    assert (row.spent, row.held, row.counter.start_ms) == (200, 0, 0)
    assert row.counter.session_id == ""


def test_a_parked_call_waits_until_its_budget_begins_anew(stage: Stage) -> None:
    run(stage, limited(msgspec.structs.replace(DAILY, action="park")))
    (waiting,) = stage.wait_for("task_waiting")

    assert waiting.data["waits_for"] == "budget"
    assert waiting.data["deadline_ms"] == DAY_MS
    stage.advance_until("session_done")

    assert stage.clock.now_ms() >= DAY_MS
    assert sorted(row.spent for row in stage.store.counters.scan()) == [100, 200]


def test_a_top_up_is_in_the_history_and_wakes_the_call_that_waits_for_it(stage: Stage) -> None:
    budget = msgspec.structs.replace(DAILY, action="park")
    run(stage, limited(budget))
    stage.wait_for("task_waiting")

    stage.top_up(budget, CALLER, 50)
    stage.wait_for("session_done")

    (event,) = stage.wait_for("budget_topped_up")
    assert event.data == {"budget_id": "daily", "amount": 50}
    row = counter_of(stage, "daily")
    assert (row.limit, row.topped_up, row.spent) == (300, 50, 300)


def test_a_top_up_survives_a_restart(restart: Callable[[], Stage]) -> None:
    stage = restart()
    wanted = limited(DAILY, token_budget=250)
    stage.engines.held = True
    run(stage, wanted)
    stage.engines.wait_for_calls(1)
    for budget in (DAILY, persona_budget("dev", 250)):
        stage.top_up(budget, CALLER, 100)
    stage.wait_for("budget_topped_up", 2)
    stage = restart()

    stage.run(wanted)
    # The first attempt of the first task is lost, with its reservation: 400 tokens in all.
    stage.advance_until("session_failed")

    assert stage.task("c3").failure == "limit"
    assert counter_of(stage, "daily").limit == 350
    budget_row = stage.store.budgets.get(SESSION, "dev")
    assert budget_row is not None
    assert (budget_row.limit_tokens, budget_row.spent_tokens) == (350, 300)


def test_a_park_without_a_next_window_needs_a_person_even_if_the_persona_gives_up(
    stage: Stage,
) -> None:
    run(stage, limited(Budget(id="whole", limit=250, action="park")))

    stage.wait_for("session_help_needed")

    assert stage.task("c3").state == "help_needed"


def test_an_alert_is_raised_once_for_each_share_across_restarts(
    restart: Callable[[], Stage],
) -> None:
    budget = msgspec.structs.replace(DAILY, limit=400, action="warn")
    wanted = limited(budget, contracts=4)
    stage = restart()
    stage.engines.held = True
    run(stage, wanted)
    for count in (1, 2, 3):
        order = stage.engines.wait_for_calls(count)[-1]
        stage.engines.finish(order.call_id)
    stage.engines.wait_for_calls(4)
    stage = restart()

    stage.run(wanted)
    stage.advance_until("session_done")

    alerts: list[AlertRecord] = list(stage.store.alerts.scan("", "daily"))
    assert [(row.permille, row.spent) for row in alerts] == [
        (500, 200),
        (800, 400),
        (950, 400),
        (1000, 400),
    ]
    events = [row for row in stage.store.events.scan(SESSION) if row.kind == "budget_alert"]
    daily = [row.data["permille"] for row in events if row.data["budget_id"] == "daily"]
    assert daily == [500, 800, 950, 1000]


def test_a_call_without_a_price_is_denied_by_a_money_budget_and_never_booked_as_free(
    stage: Stage,
) -> None:
    usd = Budget(id="usd", window="month", metric="money", limit=10**9)
    run(stage, limited(usd, contracts=1))

    stage.wait_for("session_failed")

    assert stage.task().evidence == (
        (
            "budget 'usd' cannot pay for another call of persona 'dev': limit 1.00 USD, "
            "spent 0.00 USD, reserved 0.00 USD, needed an unknown price"
        ),
    )


def test_money_is_booked_by_the_rate_card_and_an_unpriced_call_says_so(stage: Stage) -> None:
    usd = Budget(id="usd", window="month", metric="money", limit=1_000)
    run(stage, limited(usd, contracts=1, model="m-1"))
    stage.wait_for("session_done")

    (call,) = calls_of(stage)
    assert (call.cost_nano_usd, call.cost_basis) == (60 * 2 + 40 * 4, "table")
    assert counter_of(stage, "usd").spent == 280


def test_a_lost_call_is_booked_with_all_it_held_in_every_budget(
    restart: Callable[[], Stage],
) -> None:
    usd = Budget(id="usd", window="month", metric="money", limit=1_000)
    wanted = limited(usd, DAILY, contracts=1, model="m-1")
    stage = restart()
    stage.engines.held = True
    run(stage, wanted)
    stage.engines.wait_for_calls(1)
    assert counter_of(stage, "daily").held == 100
    stage = restart()

    stage.run(wanted)
    stage.advance_until("session_done")

    assert counter_of(stage, "usd").spent == sum(call.cost_nano_usd for call in calls_of(stage))
    assert counter_of(stage, "usd").spent == 400 + 280
    row = counter_of(stage, "daily")
    assert (row.spent, row.held) == (200, 0)


def test_usage_is_kept_by_the_hour_for_all_that_tells_calls_apart(stage: Stage) -> None:
    stage.engines.outcomes.extend([MALFORMED, OK])
    wanted = changed_retry(limited(contracts=1), NO_WAIT)
    run(stage, wanted)
    stage.advance_until("session_done")

    cells = sorted(stage.store.usage.scan(), key=lambda cell: cell.outcome)
    assert [
        (cell.outcome, cell.calls, cell.input_tokens, cell.output_tokens) for cell in cells
    ] == [
        ("malformed_output", 1, 10, 5),
        ("ok", 1, 60, 40),
    ]
    assert {cell.hour_ms for cell in cells} == {stage.clock.now_ms() // HOUR_MS * HOUR_MS}
    assert all(cell.unpriced_calls == 1 for cell in cells)


def order_for(number: int, reply_to: str, **changes: object) -> OpenCall:
    wanted = OpenCall(
        call_id=call_id_of(SESSION, f"t{number}", 1, 1),
        caller=Caller(SESSION, "dev", contract_id=f"t{number}", engine="scripted"),
        round=1,
        attempt=1,
        need_tokens=100,
        limit_tokens=1_000_000,
        at_ms=0,
        reply_to=reply_to,
        draft=Transition(),
    )
    return msgspec.structs.replace(wanted, **changes)


def test_racing_threads_are_never_admitted_past_a_budget(stage: Stage) -> None:
    """64 threads ask at once for calls of 100 tokens under a budget of 1,000."""
    wanted = limited(contracts=1)
    run(stage, wanted)
    stage.wait_for("session_done")
    barrier = threading.Barrier(64)
    budget = Budget(id="tight", window="forever", limit=1_000)

    def ask(number: int) -> None:
        barrier.wait(20)
        stage.accountant.open_call(order_for(number, "urn:nobody", budgets=(budget,)))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    stage.accountant.usage(SESSION).get(timeout=20)
    stage.store.journal.commit(Transition()).result(20)

    opened = [call for call in calls_of(stage) if call.state == "open"]
    assert len(opened) == 10
    assert counter_of(stage, "tight").held == 1_000


def test_a_call_that_can_do_with_less_is_cut_down_to_what_is_left(stage: Stage) -> None:
    wanted = limited(contracts=1)
    run(stage, wanted)
    stage.wait_for("session_done")

    order = order_for(1, "urn:nobody", floor_tokens=30, limit_tokens=160)
    stage.accountant.open_call(order)
    (cut,) = stage.wait_for("call_cut")

    assert cut.data == {"persona_id": "dev", "needed_tokens": 100, "reserved_tokens": 60}
    call = stage.store.calls.get(SESSION, order.call_id)
    assert call is not None
    assert call.reserved_tokens == 60


def test_a_budget_of_a_tag_or_a_phase_counts_only_its_calls(stage: Stage) -> None:
    wanted = limited(
        Budget(id="tagged", scope="tag", value="slow", window="forever", limit=10_000),
        Budget(id="other", scope="phase", value="elsewhere", limit=1),
        Budget(id="here", scope="phase", limit=10_000),
        contracts=1,
        tags=("slow",),
    )
    run(stage, wanted)
    stage.wait_for("session_done")

    found = {row.counter.budget_id: row.counter for row in stage.store.counters.scan()}
    assert {name: key.subject for name, key in found.items()} == {"tagged": "slow", "here": "build"}
    assert found["here"].session_id == SESSION


def test_usage_of_an_hour_goes_on_after_a_restart(restart: Callable[[], Stage]) -> None:
    stage = restart()
    stage.engines.held = True
    run(stage, limited(contracts=1))
    stage.engines.wait_for_calls(1)
    stage = restart()
    stage.engines.outcomes.extend([TRANSIENT, OK])
    stage.engines.recovered_usage = TRANSIENT.usage

    stage.run(limited(contracts=1))
    stage.wait_for("attempt_failed")
    stage = restart()
    stage.engines.outcomes.append(TRANSIENT)
    stage.run(limited(contracts=1))
    stage.advance_until("session_done")

    # Each start has cells of its own: none adds to what another one has written.
    cells = sorted(stage.store.usage.scan(), key=lambda cell: (cell.outcome, cell.epoch))
    assert [(cell.outcome, cell.calls) for cell in cells] == [
        ("interrupted", 1),
        ("ok", 1),
        ("transient", 1),
        ("transient", 1),
    ]
    assert [cell.input_tokens for cell in cells[2:]] == [10, 10]


def test_calls_that_wait_for_a_tight_budget_are_woken_when_there_is_room_for_them(
    stage: Stage,
) -> None:
    """Not all of them at every change: each waits about once."""
    names = [f"c{number}" for number in range(20)]
    wanted = team(*map(contract, names), token_budget=3_000)
    wanted = msgspec.structs.replace(
        wanted,
        max_parallel_workers=40,
        budgets=(Budget(id="tight", window="forever", limit=3_000),),
    )
    stage.engines.estimate_tokens = 1_000
    stage.engines.held = True
    run(stage, wanted)
    stage.wait_for("task_waiting", 17)

    for count in range(1, 21):
        order = stage.engines.wait_for_calls(count)[count - 1]
        stage.engines.finish(order.call_id)
    stage.wait_for("session_done")

    waits = [event for event in stage.events if event.kind == "task_waiting"]
    assert len(waits) <= 20
    assert {row.held for row in stage.store.counters.scan()} == {0}
