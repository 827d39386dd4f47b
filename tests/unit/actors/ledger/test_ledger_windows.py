import datetime as dt

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_actors.ledger.amounts import Amounts
from maestro_actors.ledger.budget import DAY_MS, HOUR_MS, Budget, Caller, span_of, subject_of
from maestro_actors.ledger.decision import Clamp, Deny, Grant, Wait
from maestro_actors.ledger.errors import BudgetInvalid, LedgerConflict
from maestro_actors.ledger.ledger import Ledger

CALLER = Caller("s-1", "dev", engine="chat")


def ms(text: str) -> int:
    return round(dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC).timestamp() * 1000)


@pytest.mark.parametrize(
    ("window", "start", "end"),
    [
        ("hour", "2024-02-29T13:00", "2024-02-29T14:00"),
        ("day", "2024-02-29", "2024-03-01"),
        ("week", "2024-02-26", "2024-03-04"),
        ("month", "2024-02-01", "2024-03-01"),
        ("rolling:3600", "2024-02-29T13:45", "2024-02-29T13:46"),
    ],
)
def test_a_window_is_that_of_the_utc_calendar(window: str, start: str, end: str) -> None:
    assert span_of(window, ms("2024-02-29T13:45:59.999")) == (ms(start), ms(end))


@given(st.integers(0, 4_000_000_000_000), st.sampled_from(["hour", "day", "week", "month"]))
def test_windows_leave_no_gap_and_do_not_overlap(now_ms: int, window: str) -> None:
    span = span_of(window, now_ms)
    assert span.end_ms is not None

    assert span.start_ms <= now_ms < span.end_ms
    assert span_of(window, span.end_ms).start_ms == span.end_ms
    assert span_of(window, span.start_ms) == span


def test_windows_of_a_session_and_for_ever_do_not_end() -> None:
    assert span_of("session", DAY_MS) == span_of("forever", 0) == (0, None)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"id": ""}, "id of budget '' must not be empty, got ''"),
        ({"limit": 0}, "limit of budget 'b' must be at least 1, got 0"),
        ({"scope": "tag"}, "value of budget 'b' must name the tag, got ''"),
        ({"value": "x"}, "value of budget 'b' has no place in scope global, got 'x'"),
        (
            {"window": "rolling:0"},
            (
                "window of budget 'b' must be one of session, hour, day, week, month, "
                "rolling:<seconds>, forever, got 'rolling:0'"
            ),
        ),
        ({"alert_permille": (0,)}, "thresholds of budget 'b' must be above 0, got (0,)"),
    ],
)
def test_a_budget_that_could_not_be_counted_is_refused(
    fields: dict[str, object], text: str
) -> None:
    with pytest.raises(BudgetInvalid) as raised:
        Budget(**{"id": "b", "limit": 1, **fields})  # type: ignore[arg-type]

    assert str(raised.value) == text


def test_a_budget_without_a_value_counts_each_by_itself() -> None:
    each = Budget(id="b", scope="model", limit=1)

    assert subject_of(each, CALLER) is None
    assert subject_of(each, msgspec.structs.replace(CALLER, model="m-1")) == "m-1"
    assert subject_of(Budget(id="b", scope="engine", value="agent", limit=1), CALLER) is None


def reserve(
    ledger: Ledger, name: bytes, budget: Budget, tokens: int, at_ms: int
) -> Grant | Wait | Deny:
    need = Amounts(tokens, tokens, tokens, 1, None)
    answer = ledger.reserve(name, CALLER, [budget], need=need, floor=need, at_ms=at_ms)
    assert isinstance(answer, Grant | Wait | Deny)
    return answer


def test_a_call_is_booked_in_the_window_it_was_opened_in() -> None:
    ledger, hourly = Ledger(lambda _: None), Budget(id="b", window="hour", limit=100)
    reserve(ledger, b"1", hourly, 100, HOUR_MS - 1)

    assert isinstance(reserve(ledger, b"2", hourly, 100, HOUR_MS), Grant)
    (first,) = ledger.settle(b"1", Amounts(total=70)).counters
    assert (first.key.start_ms, first.spent, first.held) == (0, 70, 0)
    (second,) = ledger.settle(b"2", Amounts(total=90)).counters
    assert (second.key.start_ms, second.spent) == (HOUR_MS, 90)


def test_a_clock_that_steps_back_opens_no_earlier_window() -> None:
    ledger, hourly = Ledger(lambda _: None), Budget(id="b", window="hour", limit=100)
    reserve(ledger, b"1", hourly, 60, HOUR_MS)

    assert isinstance(reserve(ledger, b"2", hourly, 60, HOUR_MS - 1), Wait)


def test_a_rolling_window_forgets_step_by_step_and_never_too_early() -> None:
    ledger, rolling = Ledger(lambda _: None), Budget(id="b", window="rolling:60", limit=100)
    reserve(ledger, b"1", rolling, 100, 500)
    ledger.settle(b"1", Amounts(total=100))

    denied = reserve(ledger, b"2", rolling, 1, 60_999)
    assert isinstance(denied, Deny)
    assert denied.resets_at_ms == 61_000
    assert isinstance(reserve(ledger, b"2", rolling, 100, 61_000), Grant)


def test_what_a_long_call_used_does_not_come_back_into_a_rolling_window() -> None:
    ledger, rolling = Ledger(lambda _: None), Budget(id="b", window="rolling:60", limit=100)
    reserve(ledger, b"1", rolling, 40, 0)
    reserve(ledger, b"2", rolling, 10, 61_000)

    (counter,) = ledger.settle(b"1", Amounts(total=40)).counters
    assert (counter.spent, counter.held) == (0, 10)


def test_a_call_without_a_price_is_denied_by_a_money_budget() -> None:
    dollars = Budget(id="usd", window="month", metric="money", limit=10**9)
    watched = Budget(id="usd", window="month", metric="money", limit=10**9, action="warn")

    denied = reserve(Ledger(lambda _: None), b"1", dollars, 1, 0)
    assert isinstance(denied, Deny)
    assert denied.need is None
    assert isinstance(reserve(Ledger(lambda _: None), b"1", watched, 1, 0), Grant)


def test_a_call_is_opened_once_and_closed_once() -> None:
    ledger, budget = Ledger(lambda _: None), Budget(id="b", limit=100)
    reserve(ledger, b"1", budget, 1, 0)

    with pytest.raises(LedgerConflict, match=r"^call 31 is open, it cannot be opened again$"):
        reserve(ledger, b"1", budget, 1, 0)
    ledger.release(b"1")
    with pytest.raises(LedgerConflict, match=r"^call 31 is not open$"):
        ledger.settle(b"1", Amounts())


def test_a_top_up_needs_a_budget_that_counts_the_caller() -> None:
    other = Budget(id="b", scope="persona", value="qa", limit=100)

    with pytest.raises(LedgerConflict, match=r"^budget 'b' does not count persona 'dev'$"):
        Ledger(lambda _: None).top_up(other, CALLER, 1, 0)


def test_a_call_is_cut_down_to_the_token_and_never_below_its_floor() -> None:
    """Three output tokens cost 7 each, 11 are left of 30: one of them has to go for each 7."""
    dollars = Budget(id="usd", metric="money", limit=30)
    need, floor = Amounts(13, 13, 3, 1, 31), Amounts(10, 10, 0, 1, 10)

    cut = Ledger(lambda _: None).reserve(b"1", CALLER, [dollars], need=need, floor=floor, at_ms=0)
    assert isinstance(cut, Clamp)
    assert (cut.tokens, cut.counters[0].held) == (12, 24)

    exact = msgspec.structs.replace(dollars, limit=10)
    least = Ledger(lambda _: None).reserve(b"1", CALLER, [exact], need=need, floor=floor, at_ms=0)
    assert isinstance(least, Clamp)
    assert (least.tokens, least.counters[0].held) == (10, 10)

    short = msgspec.structs.replace(dollars, limit=9)
    none = Ledger(lambda _: None).reserve(b"1", CALLER, [short], need=need, floor=floor, at_ms=0)
    assert isinstance(none, Deny)


def test_a_ledger_made_anew_opens_no_window_before_the_latest_instant_of_its_rows() -> None:
    hourly = Budget(id="b", window="hour", limit=100)

    granted = reserve(Ledger(lambda _: None, latest_ms=HOUR_MS), b"1", hourly, 1, HOUR_MS - 1)

    assert isinstance(granted, Grant)
    assert granted.counters[0].key.start_ms == HOUR_MS
