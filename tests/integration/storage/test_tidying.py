"""What gets old: usage by the hour becomes usage by the day, windows that have ended go."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger_rows import usage_cell
from maestro_storage import Store, StoreOptions, verify
from maestro_storage._tidying import ROWS_MAX
from maestro_storage.bookings import CounterKey
from maestro_storage.records import AlertRecord, CounterRecord, UsageRecord
from maestro_storage.transition import Transition

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
NOW_MS = 20_000 * DAY_MS + 5 * HOUR_MS
OPTIONS = StoreOptions(map_bytes=1 << 28, ballast_bytes=64 << 10)

FIGURES = [
    name
    for name, kind in UsageRecord.__annotations__.items()
    if kind is int and name not in ("hour_ms", "epoch", "hours", "part")
]

CELLS = st.builds(
    UsageRecord,
    hour_ms=st.integers(0, 30 * 24).map(lambda hours: NOW_MS - NOW_MS % HOUR_MS - hours * HOUR_MS),
    session_id=st.sampled_from(["s-1", "s-2"]),
    phase=st.just("build"),
    task_id=st.sampled_from(["c1", "c2"]),
    persona_id=st.just("dev"),
    engine=st.just("chat"),
    model=st.just(""),
    outcome=st.sampled_from(["ok", "transient"]),
    calls=st.integers(0, 3),
    input_tokens=st.integers(-50, 1 << 40),
    output_tokens=st.integers(-50, 1 << 40),
    cost_nano_usd=st.integers(-50, 1 << 40),
    lost_calls=st.integers(-1, 1),
    correction=st.sampled_from(["", "", "ab/bill"]),
    epoch=st.integers(1, 2),
    part=st.integers(0, 2),
)


def names_of(cell: UsageRecord) -> tuple[object, ...]:
    """What tells cells apart, by the day."""
    return (cell.session_id, cell.task_id, cell.outcome, cell.hour_ms // DAY_MS)


def sums(store: Store) -> Counter[tuple[object, ...]]:
    found: Counter[tuple[object, ...]] = Counter()
    for cell in store.usage.scan(""):
        for name in FIGURES:
            found[(*names_of(cell), name)] += getattr(cell, name)
    return found


def put(store: Store, *records: UsageRecord | CounterRecord | AlertRecord) -> None:
    draft = Transition()
    for record in records:
        draft.put(record)
    store.journal.commit(draft).result()


@settings(max_examples=25)
@given(first=st.lists(CELLS, max_size=30), late=st.lists(CELLS, max_size=10))
def test_adding_up_hours_changes_no_sum_whenever_cells_come(
    tmp_path_factory: pytest.TempPathFactory, first: list[UsageRecord], late: list[UsageRecord]
) -> None:
    """Late ones are corrections of calls whose hours have been added up already."""
    state = tmp_path_factory.mktemp("tidy") / "state"
    with Store.open(state, options=OPTIONS) as store:
        # Not twice under one key, as the actors write them.
        put(store, *first)
        keys = {cell.key for cell in first}
        for cells in ([], [cell for cell in late if cell.correction and cell.key not in keys]):
            put(store, *cells)
            before = sums(store)
            store._tidying = None
            store.tidy_all(NOW_MS)

            assert +sums(store) == +before
            assert -sums(store) == -before
            for cell in store.usage.scan(""):
                old = cell.hour_ms < NOW_MS - NOW_MS % DAY_MS - 7 * DAY_MS
                assert cell.hours == (24 if old else 1)
    assert verify(state).intact


def test_usage_is_forgotten_after_four_hundred_days(open_store: Callable[..., Store]) -> None:
    store = open_store(OPTIONS, now_ms=lambda: NOW_MS - HOUR_MS)
    ages = (399, 401, 500)
    put(store, *(usage_cell((NOW_MS // DAY_MS - age) * DAY_MS, calls=age) for age in ages))

    store.tidy_all(NOW_MS)

    assert [row.calls for row in store.usage.scan("")] == [399]


def test_hours_that_are_forgotten_are_not_added_up_before(
    open_store: Callable[..., Store],
) -> None:
    old_ms = (NOW_MS // DAY_MS - 500) * DAY_MS
    with open_store(OPTIONS, now_ms=lambda: old_ms) as store:
        put(store, usage_cell(old_ms, calls=1), usage_cell(old_ms + HOUR_MS, calls=1))

    store = open_store(OPTIONS, now_ms=lambda: NOW_MS)

    assert list(store.usage.scan("")) == []


def test_a_step_is_bounded_and_the_next_one_goes_on(open_store: Callable[..., Store]) -> None:
    store = open_store(OPTIONS, now_ms=lambda: NOW_MS - HOUR_MS)
    day_ms = (NOW_MS // DAY_MS - 7) * DAY_MS
    put(
        store,
        *(usage_cell(day_ms, task_id=f"c{number}", calls=1) for number in range(ROWS_MAX + 9)),
    )

    step = store.tidy(NOW_MS + DAY_MS)
    assert step is not None
    step.result()
    assert sum(row.hours == 24 for row in store.usage.scan("")) == ROWS_MAX
    assert store._tidying is not None
    assert store._tidying.reached_ms == day_ms
    store.tidy_all(NOW_MS + DAY_MS)

    assert {(row.hours, row.part) for row in store.usage.scan("")} == {(24, 0)}
    assert sum(row.calls for row in store.usage.scan("")) == ROWS_MAX + 9


def test_in_an_hour_there_is_one_pass_and_none_where_nothing_is_old(
    open_store: Callable[..., Store],
) -> None:
    store = open_store(OPTIONS, now_ms=lambda: NOW_MS)
    put(store, usage_cell((NOW_MS // DAY_MS - 7) * DAY_MS))

    assert store.tidy(NOW_MS + HOUR_MS - 1) is None
    assert store.tidy(NOW_MS + HOUR_MS) is None
    assert store.tidy(NOW_MS + DAY_MS) is not None


def window(start_ms: int, name: str, *, session: str = "", held: int = 0) -> CounterRecord:
    return CounterRecord(
        counter=CounterKey(session, name, "day/total", "", start_ms),
        limit=100,
        spent=50,
        held=held,
        topped_up=0,
        version=1,
        alert_permille=(500,),
        fired=(),
        steps=(),
        updated_ms=start_ms,
        epoch=1,
    )


def alert(counter: CounterKey) -> AlertRecord:
    return AlertRecord(
        counter=counter,
        version=1,
        limit=100,
        permille=500,
        spent=50,
        session_id="s",
        persona_id="dev",
        at_ms=0,
        epoch=1,
    )


def test_counters_and_alerts_go_with_their_window_but_never_those_that_count_on(
    open_store: Callable[..., Store], state: Path
) -> None:
    store = open_store(OPTIONS, now_ms=lambda: NOW_MS - HOUR_MS)
    rows = (
        window(NOW_MS - 62 * DAY_MS, "ended"),
        window(NOW_MS - 60 * DAY_MS, "recent"),
        window(NOW_MS - 62 * DAY_MS, "held", held=1),
        window(NOW_MS, "running"),
        window(0, "forever"),
        window(0, "session", session="s"),
    )
    put(store, *rows, *(alert(row.counter) for row in rows))

    store.tidy_all(NOW_MS)

    kept = {"recent", "running", "forever", "session"}
    assert {row.counter.budget_id for row in store.counters.scan()} == kept | {"held"}
    assert {row.counter.budget_id for row in store.alerts.scan()} == kept
    store.close()
    assert verify(state).intact
