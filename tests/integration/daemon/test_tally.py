"""What is on record, added up: kept up with changes it says the same as all records."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ledger_rows
from held_commits import HeldCommits
from maestro_runtime.metrics.exposition import LABEL_VALUES_MAX, OTHER, exposition
from maestro_runtime.metrics.recorded import recorded_metrics
from maestro_runtime.metrics.tally import LiveTally, Tally, tally_of
from maestro_storage import Store, StoreOptions, StorePorts, Watch, _repository, _watch
from maestro_storage.bookings import CounterKey
from maestro_storage.records import AlertRecord, OutboxRecord, SessionRecord, UsageRecord
from maestro_storage.transition import Transition

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
NOW_MS = 20_000 * DAY_MS + 5 * HOUR_MS
OPTIONS = StoreOptions(map_bytes=1 << 28, ballast_bytes=64 << 10)


def session(session_id: str, state: Any) -> SessionRecord:
    return SessionRecord(
        session_id=session_id,
        state=state,
        team_name="team",
        team=b"",
        output_dir="/out",
        input_dir=None,
        created_ms=0,
        updated_ms=0,
    )


def cell(hour_ms: int = NOW_MS - NOW_MS % HOUR_MS, **fields: object) -> UsageRecord:
    return ledger_rows.usage_cell(hour_ms, **{"calls": 1} | fields)


def posting(session_id: str, number: int, state: Any) -> OutboxRecord:
    return OutboxRecord(
        session_id=session_id,
        outbox_id=f"f-{number}",
        kind="ticket",
        state=state,
        payload=b"",
    )


def alert(permille: int, spent: int) -> AlertRecord:
    counter = CounterKey("", "day", "day/total", "", NOW_MS - NOW_MS % DAY_MS)
    return AlertRecord(
        counter=counter,
        version=1,
        limit=100,
        permille=permille,
        spent=spent,
        session_id="s",
        persona_id="dev",
        at_ms=0,
        epoch=1,
    )


SESSIONS = st.sampled_from(["s-1", "s-2", "s-3"])
RECORDS = st.one_of(
    st.builds(session, SESSIONS, st.sampled_from(["running", "done", "paused", "cancelled"])),
    st.builds(
        cell,
        st.integers(0, 500 * 24).map(lambda hours: NOW_MS - NOW_MS % HOUR_MS - hours * HOUR_MS),
        session_id=SESSIONS,
        persona_id=st.sampled_from(["dev", "qa"]),
        outcome=st.sampled_from(["ok", "transient"]),
        calls=st.integers(1, 3),
        input_tokens=st.integers(0, 1 << 40),
        lost_calls=st.integers(-1, 1),
        part=st.integers(1, 2),
    ),
    st.builds(posting, SESSIONS, st.integers(0, 2), st.sampled_from(["pending", "done"])),
    st.builds(alert, st.sampled_from([500, 1000]), st.integers(0, 9)),
)
STEPS = st.lists(
    st.one_of(
        st.lists(RECORDS, min_size=1, max_size=8),
        SESSIONS,
        st.sampled_from(["tidy", "look"]),
    ),
    max_size=12,
)


def put(store: Store, *records: Any) -> None:
    draft = Transition()
    for record in records:
        draft.put(record)
    store.journal.commit(draft).result()


def sums(tally: Tally) -> dict[str, Any]:
    return {
        "sessions": +tally.sessions,
        "unended": tally.unended,
        "usage": tally.usage,
        "postings": +tally.postings,
        "alerts": +tally.alerts,
    }


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "state", options=OPTIONS) as store:
        yield store


@settings(max_examples=60)
@given(steps=STEPS)
def test_whatever_is_written_removed_and_tidied_the_sums_are_those_of_all_records(
    tmp_path_factory: pytest.TempPathFactory, steps: list[Any]
) -> None:
    state = tmp_path_factory.mktemp("tally") / "state"
    with Store.open(state, options=OPTIONS) as store:
        live = LiveTally(store)
        for step in steps:
            match step:
                case "look":
                    assert sums(live.look()) == sums(tally_of(store))
                case "tidy":
                    store._tidying = None
                    store.tidy_all(NOW_MS)
                case str():
                    store.drop([step])
                case records:
                    put(store, *records)
        last = sums(live.look())
        assert last == sums(tally_of(store))
    with Store.inspect(state) as later:
        assert sums(tally_of(later)) == last


def test_a_look_costs_what_has_changed_not_what_is_on_record(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = LiveTally(store)
    reads = 0
    decode = _repository.Decoder.decode

    def counted(*args: Any) -> Any:
        nonlocal reads
        reads += 1
        return decode(*args)

    monkeypatch.setattr(_repository.Decoder, "decode", counted)
    costs = []
    for count in (10, 2000):
        put(store, *(cell(task_id=f"c{number}") for number in range(count)))
        put(store, *(session(f"s{number}", "done") for number in range(count)))
        live.look()
        put(store, cell(task_id="c1", calls=2), session("s1", "running"))
        put(store, cell(task_id="c1", calls=3), session("s1", "done"))
        reads = 0
        live.look()
        costs.append(reads)

    # Each before and after, however often it was written.
    assert costs == [4, 4]
    reads = 0
    live.look()
    assert reads == 0


def test_nothing_is_kept_of_what_comes_and_goes_between_two_looks(store: Store) -> None:
    live = LiveTally(store)
    live.look()
    for number in range(20):
        put(store, session(f"s-{number}", "done"))
        store.drop([f"s-{number}"])

    assert live._watch.changes() == []


def test_who_has_not_looked_for_long_finds_the_same(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_watch, "CHANGES_MAX", 8)
    live = LiveTally(store)
    live.look()
    for number in range(20):
        put(store, cell(task_id=f"c{number}"))

    assert not live._watch._is_asked
    for _ in range(2):
        assert sums(live.look()) == sums(tally_of(store))
        put(store, cell(task_id="c1", calls=7))
    assert live._watch._is_asked


def test_a_commit_under_way_at_the_first_look_is_counted_once(tmp_path: Path) -> None:
    held = HeldCommits()
    ports = StorePorts(observer=held)
    with Store.open(tmp_path / "state", options=OPTIONS, ports=ports) as store:
        put(store, cell(task_id="c1"))
        live = LiveTally(store)
        held.hold()
        draft = Transition()
        draft.put(cell(task_id="c2"))
        future = store.journal.commit(draft)
        held.wait_for_one()

        live.look()
        held.let_go()
        future.result(20)

        for number in (3, 4):
            assert sums(live.look()) == sums(tally_of(store))
            put(store, cell(task_id=f"c{number}"), session(f"s{number}", "done"))
        assert sums(live.look()) == sums(tally_of(store))


def test_a_commit_told_of_after_it_was_read_is_counted_once(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = LiveTally(store)
    live.look()
    is_durable, goes_on = threading.Event(), threading.Event()
    tell = Watch.tell

    def held(*args: Any) -> None:
        is_durable.set()
        assert goes_on.wait(20)
        tell(*args)

    monkeypatch.setattr(Watch, "tell", held)
    draft = Transition()
    draft.put(cell())
    future = store.journal.commit(draft)
    assert is_durable.wait(20)
    # It reads all records again.
    live._tally = None
    live.look()
    goes_on.set()
    future.result(20)

    assert sums(live.look()) == sums(tally_of(store))


def test_what_is_removed_and_comes_again_in_one_commit_is_counted_once(tmp_path: Path) -> None:
    held = HeldCommits()
    ports = StorePorts(observer=held)
    with Store.open(tmp_path / "state", options=OPTIONS, ports=ports) as store:
        put(store, session("s-1", "running"))
        live = LiveTally(store)
        live.look()
        held.hold()
        store.journal.append(Transition())
        held.wait_for_one()
        ended, again = Transition(), Transition()
        ended.put(session("s-1", "done"))
        again.put(session("s-1", "paused"))
        store.journal.append(ended)
        store.journal.remove("s-1")
        future = store.journal.commit(again)
        held.let_go()
        future.result(20)

        assert live.look().sessions == {"running": 0, "paused": 1}


def test_a_look_that_fails_loses_no_change(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    live = LiveTally(store)
    live.look()
    put(store, cell(), cell(task_id="c2"))
    with monkeypatch.context() as broken:
        broken.setattr(Tally, "add", lambda *_: 1 // 0)
        with pytest.raises(ZeroDivisionError):
            live.look()

    assert sums(live.look()) == sums(tally_of(store))


def test_personas_beyond_the_bound_share_a_label_and_take_none_away(store: Store) -> None:
    live = LiveTally(store)
    today_ms = NOW_MS - NOW_MS % DAY_MS
    names = [f"p{number:02}" for number in range(LABEL_VALUES_MAX)]
    put(store, *(cell(today_ms, persona_id=name) for name in names))
    live.look()
    put(store, *(cell(today_ms + DAY_MS, persona_id=f"a{number}", calls=9) for number in range(5)))

    tally = live.look()

    assert tally.personas == frozenset(names) == tally_of(store).personas
    text = exposition(recorded_metrics(store, tally))
    assert text == exposition(recorded_metrics(store, tally_of(store)))
    assert f'maestro_attempts_total{{persona="{OTHER}",engine="chat",outcome="ok"}} 45' in text
    assert 'persona="a' not in text
    assert text.count("maestro_attempts_total{") == LABEL_VALUES_MAX + 1
