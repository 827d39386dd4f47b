import msgspec
import pytest

from ledger_rows import begin, call, write
from maestro_actors.ledger.amounts import METRICS, Metric
from maestro_actors.ledger.budget import DAY_MS, HOUR_MS, Budget
from maestro_actors.team import Team
from maestro_runtime.statements.alerts import AlertReport, alerts
from maestro_runtime.statements.budgets import BudgetState, budgets
from maestro_runtime.statements.calls import lost_calls
from maestro_storage import Store
from maestro_storage.bookings import CounterKey, Fired, Hold
from maestro_storage.records import AlertRecord, BudgetRecord, CounterRecord, SessionState
from staging import team

DAWN_MS = 500 * DAY_MS
NOW_MS = DAWN_MS + 6 * HOUR_MS


def key(budget: str = "b", *, rule: str = "day/total", start_ms: int = DAWN_MS) -> CounterKey:
    return CounterKey("", budget, rule, "", start_ms)


def counter(counted: CounterKey, spent: int = 0, **fields: object) -> CounterRecord:
    fields = {"limit": 1_000, "held": 0, "topped_up": 0, "fired": (), "steps": ()} | fields
    return CounterRecord(
        counter=counted,
        spent=spent,
        version=1,
        alert_permille=(500, 1000),
        updated_ms=NOW_MS,
        epoch=1,
        **fields,  # type: ignore[arg-type]
    )


def hold(counted: CounterKey, amount: int = 0, metric: Metric = "total") -> Hold:
    return Hold(counted, None, METRICS.index(metric), amount, 0)


def one(store: Store, budget_id: str | None = None, burn_hours: int = 24) -> BudgetState:
    (row,) = budgets(store, NOW_MS, burn_hours, budget_id=budget_id)
    return row


def with_budgets(*given: Budget) -> Team:
    return msgspec.structs.replace(team(token_budget=70), budgets=given)


def test_a_budget_says_what_is_left_and_when_nothing_will_be(store: Store) -> None:
    """400 of 1,000 in the four hours since the first call, 100 held: the other 500 take five."""
    counted = key()
    write(
        store,
        counter(counted, 400, held=100, topped_up=200, fired=(Fired(1, 800, 500),)),
        call(
            1,
            opened_ms=NOW_MS - 4 * HOUR_MS,
            closed_ms=NOW_MS - 3 * HOUR_MS,
            input_tokens=100,
            output_tokens=50,
            holds=(hold(counted),),
        ),
        call(
            2,
            closed_ms=NOW_MS,
            state="lost",
            basis="reserved",
            input_tokens=250,
            holds=(hold(counted, 250),),
        ),
        call(3, state="open", opened_ms=NOW_MS, holds=(hold(counted, 100),)),
    )

    assert one(store) == BudgetState(
        budget_id="b",
        window="day",
        metric="total",
        subject="",
        session_id="",
        start_ms=DAWN_MS,
        resets_at_ms=DAWN_MS + DAY_MS,
        limit=1_000,
        topped_up=200,
        spent=400,
        unpriced_calls=0,
        held=100,
        left=500,
        spent_permille=400,
        alerts_permille=(500,),
        burn_per_hour=100,
        exhausted_at_ms=NOW_MS + 5 * HOUR_MS,
    )


@pytest.mark.parametrize(
    ("metric", "burn"),
    [("total", 130), ("fresh", 100), ("output", 30), ("requests", 2), ("money", 7)],
)
def test_what_burns_is_counted_as_the_budget_counts_it(
    store: Store, metric: Metric, burn: int
) -> None:
    counted = key(rule=f"day/{metric}")
    write(
        store,
        counter(counted),
        call(
            1,
            closed_ms=NOW_MS,
            opened_ms=NOW_MS - HOUR_MS,
            holds=(hold(counted, metric=metric),),
            cost_basis="table",
            cost_nano_usd=7,
            input_tokens=100,
            output_tokens=30,
            cache_read_tokens=30,
            requests=2,
        ),
    )

    assert one(store).burn_per_hour == burn


def test_what_was_used_before_the_hours_looked_at_does_not_burn(store: Store) -> None:
    counted = key()
    write(
        store,
        counter(counted, 10),
        call(1, closed_ms=NOW_MS - 2 * HOUR_MS, input_tokens=10, holds=(hold(counted),)),
    )

    assert one(store, burn_hours=1).burn_per_hour == 0
    assert one(store, burn_hours=1).exhausted_at_ms is None
    assert one(store, burn_hours=3).burn_per_hour == 4


def test_a_burst_counts_as_if_it_had_taken_a_minute(store: Store) -> None:
    counted = key()
    write(
        store,
        counter(counted, 10),
        call(1, closed_ms=NOW_MS, opened_ms=NOW_MS, input_tokens=10, holds=(hold(counted),)),
    )

    assert one(store).burn_per_hour == 600


def test_a_budget_whose_window_ends_first_is_not_exhausted(store: Store) -> None:
    counted = key()
    write(
        store,
        counter(counted, 10),
        call(
            1,
            closed_ms=NOW_MS,
            opened_ms=NOW_MS - HOUR_MS,
            input_tokens=10,
            holds=(hold(counted),),
        ),
    )

    assert one(store).exhausted_at_ms is None


@pytest.mark.parametrize("spent", [1_000, 1_700])
def test_an_overdrawn_budget_is_exhausted_now_and_has_nothing_left(
    store: Store, spent: int
) -> None:
    write(store, counter(key(), spent))

    row = one(store)

    assert (row.left, row.exhausted_at_ms, row.spent_permille) == (0, NOW_MS, spent)


def test_a_window_that_has_ended_is_only_there_for_who_asks_for_its_budget(store: Store) -> None:
    write(store, counter(key(start_ms=DAWN_MS - DAY_MS), 5), counter(key("other")))

    assert [row.budget_id for row in budgets(store, NOW_MS, 1)] == ["other"]
    row = one(store, "b")
    assert (row.spent, row.resets_at_ms) == (5, DAWN_MS)


def test_a_rolling_window_has_forgotten_what_is_too_old_and_resets_with_its_oldest_step(
    store: Store,
) -> None:
    """An hour in steps of a minute; a step is forgotten a minute after it is an hour old."""
    old_ms, new_ms = NOW_MS - 2 * HOUR_MS, NOW_MS - HOUR_MS // 2
    counted = key(rule="rolling:3600/total", start_ms=0)
    write(store, counter(counted, 30, steps=((old_ms, 10), (new_ms, 20))))

    row = one(store)

    assert (row.window, row.spent) == ("rolling:3600", 20)
    assert row.resets_at_ms == new_ms + HOUR_MS + 60_000


def test_a_budget_that_no_call_has_asked_yet_is_whole(store: Store) -> None:
    monthly = Budget(id="m", window="month", metric="money", limit=3)
    begin(store, "s1", with_budgets(monthly), NOW_MS)

    whole, persona = budgets(store, NOW_MS, 1)

    assert (whole.budget_id, whole.limit, whole.left, whole.spent) == ("m", 3, 3, 0)
    assert (persona.budget_id, persona.subject, persona.left) == ("persona/dev", "dev", 70)
    assert (persona.session_id, persona.resets_at_ms) == ("s1", None)


@pytest.mark.parametrize(
    ("state", "listed"),
    [("help_needed", ["m", "persona/dev"]), ("failed", []), ("done", [])],
)
def test_a_session_that_has_ended_takes_its_budgets_with_it(
    store: Store, state: SessionState, listed: list[str]
) -> None:
    monthly = Budget(id="m", window="month", limit=3)
    begin(store, "s1", with_budgets(monthly), NOW_MS)
    write(
        store,
        msgspec.structs.replace(store.require_session("s1"), state=state),
        BudgetRecord(session_id="s1", persona_id="dev", limit_tokens=5, spent_tokens=2),
    )

    assert [row.budget_id for row in budgets(store, NOW_MS, 1)] == listed
    assert one(store, "m").left == 3
    assert one(store, "persona/dev").spent == 2


def test_if_teams_differ_about_a_budget_the_one_that_was_started_last_has_the_say(
    store: Store,
) -> None:
    for session, limit, at_ms in (("s2", 3, NOW_MS), ("s1", 5, NOW_MS + 1)):
        budget = Budget(id="m", window="month", limit=limit)
        begin(store, session, with_budgets(budget), at_ms)

    assert one(store, "m").limit == 5


def test_a_clock_that_steps_back_opens_no_earlier_window(store: Store) -> None:
    tomorrow = key("day", start_ms=DAWN_MS + DAY_MS)
    begin(store, "s1", with_budgets(Budget(id="day", window="day", limit=9)), NOW_MS)
    row = counter(tomorrow, 7)
    write(store, msgspec.structs.replace(row, updated_ms=DAWN_MS + DAY_MS))

    assert (one(store, "day").start_ms, one(store, "day").spent) == (DAWN_MS + DAY_MS, 7)


def test_budgets_of_other_sessions_are_left_out_if_one_is_named(store: Store) -> None:
    begin(store, "s1", with_budgets(Budget(id="m", window="month", limit=3)), NOW_MS)
    begin(store, "s2", team(), NOW_MS)

    rows = budgets(store, NOW_MS, 1, session_id="s2")

    assert [(row.budget_id, row.session_id) for row in rows] == [("m", ""), ("persona/dev", "s2")]


def test_calls_without_a_price_are_told_beside_the_money_that_was_counted(store: Store) -> None:
    usd = Budget(id="usd", window="day", metric="money", limit=9, action="warn")
    begin(store, "s1", with_budgets(usd), NOW_MS)
    write(
        store,
        call(1, closed_ms=NOW_MS),
        call(2, closed_ms=NOW_MS, cost_basis="table", cost_nano_usd=1),
        call(3, closed_ms=DAWN_MS - 1),
        call(4, task="of another team", closed_ms=NOW_MS),
    )

    assert one(store, "usd").unpriced_calls == 1


def test_alerts_are_told_oldest_first(store: Store) -> None:
    for at_ms, permille in ((9, 500), (7, 1000)):
        write(
            store,
            AlertRecord(
                counter=key(),
                version=1,
                limit=10,
                permille=permille,
                spent=11,
                session_id="s1",
                persona_id="dev",
                at_ms=at_ms,
                epoch=1,
            ),
        )

    first, second = alerts(store)

    assert first == AlertReport(
        at_ms=7,
        budget_id="b",
        window="day",
        metric="total",
        subject="",
        start_ms=DAWN_MS,
        permille=1000,
        spent=11,
        limit=10,
        session_id="s1",
        persona_id="dev",
    )
    assert second.permille == 500
    assert alerts(store, "s2") == []


def test_lost_calls_are_told_oldest_first_with_what_they_are_booked_with(store: Store) -> None:
    write(
        store,
        call(1, state="lost", closed_ms=9_000, input_tokens=100, basis="reserved"),
        call(2, state="lost", closed_ms=5_000, cost_basis="table", cost_nano_usd=4),
        call(3, closed_ms=1_000),
    )

    rows = lost_calls(store)

    assert [(row.opened_ms, row.tokens, row.cost_nano_usd) for row in rows] == [
        (4_000, 0, 4),
        (8_000, 100, None),
    ]
