import random
from collections.abc import Iterator
from itertools import chain

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger_rows import book, call, write
from maestro_actors.ledger.budget import DAY_MS, HOUR_MS
from maestro_runtime.statements.usage import (
    DIMENSIONS,
    Dimension,
    UsageQuery,
    UsageRow,
    total,
    usage,
)
from maestro_storage import Store
from maestro_storage.records import CallRecord, CallState

NOON_MS = 500 * DAY_MS + 12 * HOUR_MS
"""1971-05-16T12:00Z"""


def test_usage_is_added_up_by_what_is_asked_for(store: Store) -> None:
    book(
        store,
        [
            call(1, closed_ms=NOON_MS, input_tokens=60, output_tokens=40, cache_read_tokens=50),
            call(2, closed_ms=NOON_MS + 1, input_tokens=7, outcome="transient"),
            call(3, persona="qa", closed_ms=NOON_MS + HOUR_MS, output_tokens=5, model="m"),
        ],
    )

    rows = usage(store, UsageQuery(by=("persona", "outcome")))

    assert [(row.group, row.calls, row.tokens) for row in rows] == [
        ({"persona": "dev", "outcome": "ok"}, 1, 100),
        ({"persona": "dev", "outcome": "transient"}, 1, 7),
        ({"persona": "qa", "outcome": "ok"}, 1, 5),
    ]
    assert total(rows) == UsageRow(
        group={},
        calls=3,
        lost_calls=0,
        requests=3,
        tokens=112,
        input_tokens=67,
        output_tokens=45,
        cache_read_tokens=50,
        cache_write_tokens=0,
        reasoning_tokens=0,
        cost_nano_usd=None,
        unpriced_calls=3,
        duration_ms=3_000,
    )


@pytest.mark.parametrize(
    ("dimension", "names"),
    [
        ("session", ["s1", "s2"]),
        ("phase", ["build"]),
        ("contract", ["c1"]),
        ("persona", ["dev"]),
        ("model", ["", "m"]),
        ("engine", ["rehearsal"]),
        ("outcome", ["ok"]),
        ("hour", ["1971-05-16T12:00Z", "1971-05-17T11:00Z"]),
        ("day", ["1971-05-16", "1971-05-17"]),
    ],
)
def test_every_dimension_names_its_groups(
    store: Store, dimension: Dimension, names: list[str]
) -> None:
    book(
        store,
        [
            call(1, closed_ms=NOON_MS, model="m"),
            call(2, session="s2", closed_ms=NOON_MS + 23 * HOUR_MS),
        ],
    )

    rows = usage(store, UsageQuery(by=(dimension,)))

    assert [row.group[dimension] for row in rows] == names


def test_a_time_begins_with_its_first_hour_and_ends_before_its_last(store: Store) -> None:
    book(store, [call(hour, closed_ms=NOON_MS + hour * HOUR_MS) for hour in range(4)])
    query = UsageQuery(by=("hour",), since_ms=NOON_MS + HOUR_MS + 1, until_ms=NOON_MS + 3 * HOUR_MS)

    rows = usage(store, query)

    assert [row.group["hour"] for row in rows] == ["1971-05-16T13:00Z", "1971-05-16T14:00Z"]


def test_a_day_that_has_one_cell_counts_whole_and_is_no_hour_of_its_own(store: Store) -> None:
    book(store, [call(1, closed_ms=NOON_MS + DAY_MS, input_tokens=5)])
    (cell,) = store.usage.scan("")
    day = msgspec.structs.replace(cell, hour_ms=NOON_MS - NOON_MS % DAY_MS, hours=24)
    write(store, day)

    of_afternoon = usage(store, UsageQuery(by=("hour",), since_ms=NOON_MS))
    of_morning = usage(store, UsageQuery(by=("day",), until_ms=NOON_MS))

    assert [(row.group["hour"], row.tokens) for row in of_afternoon] == [
        ("1971-05-16", 5),
        ("1971-05-17T12:00Z", 5),
    ]
    assert [(row.group["day"], row.tokens) for row in of_morning] == [("1971-05-16", 5)]


def test_a_correction_is_added_to_the_sums_of_its_hour(store: Store) -> None:
    book(store, [call(1, state="lost", closed_ms=NOON_MS, input_tokens=100)])
    (cell,) = store.usage.scan("")
    difference = msgspec.structs.replace(
        cell,
        correction="1/1",
        calls=0,
        requests=0,
        lost_calls=-1,
        unpriced_calls=-1,
        input_tokens=-70,
        output_tokens=2,
        cost_nano_usd=9,
        duration_ms=0,
    )
    write(store, difference)

    (row,) = usage(store, UsageQuery(by=("hour",)))

    assert (row.calls, row.lost_calls, row.tokens, row.input_tokens) == (1, 0, 32, 30)
    assert (row.cost_nano_usd, row.unpriced_calls) == (9, 0)


def test_a_price_that_is_missing_is_not_zero(store: Store) -> None:
    book(
        store,
        [
            call(1, persona="free", closed_ms=NOON_MS, cost_basis="table"),
            call(2, persona="mixed", closed_ms=NOON_MS, cost_nano_usd=3, cost_basis="list"),
            call(3, persona="mixed", closed_ms=NOON_MS),
            call(4, persona="unknown", closed_ms=NOON_MS),
        ],
    )

    rows = usage(store, UsageQuery(by=("persona",)))

    assert [(row.cost_nano_usd, row.unpriced_calls) for row in rows] == [(0, 0), (3, 1), (None, 1)]


def test_without_any_call_nothing_was_used_and_no_price_is_missing(store: Store) -> None:
    assert usage(store, UsageQuery(by=("persona",))) == []
    assert (total([]).calls, total([]).cost_nano_usd) == (0, 0)


STATES: tuple[CallState, ...] = ("settled", "lost", "released")


@pytest.fixture(scope="module")
def booked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Store, list[CallRecord]]]:
    """A store with 300 calls over five days, and the calls."""
    draw = random.Random(1)  # noqa: S311 - figures of a test
    calls = []
    closed_ms = NOON_MS
    for number in range(300):
        closed_ms += draw.randrange(2 * 5 * DAY_MS // 300)
        priced = draw.random() < 0.5
        row = call(
            number,
            session=draw.choice(("s1", "s2")),
            task=draw.choice(("c1", "c2", "c3")),
            persona=draw.choice(("dev", "qa")),
            state=draw.choice(STATES),
            closed_ms=closed_ms,
            model=draw.choice(("", "m")),
            outcome=draw.choice(("ok", "transient")),
            input_tokens=draw.randrange(1_000),
            output_tokens=draw.randrange(1_000),
            cost_nano_usd=draw.randrange(1_000) if priced else 0,
            cost_basis="table" if priced else "unpriced",
        )
        calls.append(row)
    path = tmp_path_factory.mktemp("booked") / "state"
    with Store.open(path) as store:
        book(store, calls)
        yield store, calls


bounds = st.none() | st.integers(NOON_MS - DAY_MS, NOON_MS + 11 * DAY_MS)


@settings(max_examples=60)
@given(
    by=st.lists(st.sampled_from(DIMENSIONS), unique=True, max_size=4),
    session_id=st.sampled_from((None, "s1", "s3")),
    since_ms=bounds,
    until_ms=bounds,
)
def test_the_sum_of_any_grouping_is_the_sum_of_the_calls(
    booked: tuple[Store, list[CallRecord]],
    by: list[Dimension],
    session_id: str | None,
    since_ms: int | None,
    until_ms: int | None,
) -> None:
    store, calls = booked
    query = UsageQuery(by=tuple(by), session_id=session_id, since_ms=since_ms, until_ms=until_ms)

    rows = usage(store, query)

    meant = [
        row
        for row in calls
        if session_id in (None, row.session_id)
        and (since_ms is None or _hour_ms(row) >= since_ms - since_ms % HOUR_MS)
        and (until_ms is None or _hour_ms(row) < until_ms)
    ]
    sums = total(rows)
    assert sums.calls == len(meant)
    assert sums.tokens == sum(row.input_tokens + row.output_tokens for row in meant)
    assert (sums.cost_nano_usd or 0) == sum(row.cost_nano_usd for row in meant)
    assert sums.unpriced_calls == sum(row.cost_basis == "unpriced" for row in meant)
    assert sums.lost_calls == sum(row.state == "lost" for row in meant)
    groups = [tuple(row.group.values()) for row in rows]
    assert groups == sorted(set(groups))
    assert all(list(row.group) == by for row in rows)
    assert set(chain(*groups)) >= {row.task_id for row in meant if "contract" in by}


def _hour_ms(row: CallRecord) -> int:
    assert row.closed_ms is not None
    return row.closed_ms - row.closed_ms % HOUR_MS
