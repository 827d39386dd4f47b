"""Lists of sessions: the filters, and pages that neither repeat nor leave out."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import get_args

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger_rows import call, write
from maestro_actors.sessions.session import NewSession, Particulars, opening_transition
from maestro_runtime import SessionFilter, list_sessions
from maestro_runtime.cli._session_list import BLOCKERS
from maestro_runtime.errors import CursorInvalid
from maestro_runtime.reports.listing import Blocker
from maestro_storage import Store
from two_phases import two_phases


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "state") as opened:
        yield opened


def begin(store: Store, session_id: str, at_ms: int, **labels: str) -> None:
    new = NewSession(
        session_id=session_id,
        team=two_phases(),
        output_dir="/out",
        particulars=Particulars(labels=labels),
    )
    draft = opening_transition(new, at_ms, store.epoch)
    store.journal.commit(draft).result()


def change(store: Store, session_id: str, task_id: str, **fields: object) -> None:
    task = store.tasks.get(session_id, task_id)
    assert task is not None
    write(store, msgspec.structs.replace(task, **fields))


def names(store: Store, **wanted: object) -> list[str]:
    page = list_sessions(store, SessionFilter(**wanted))  # type: ignore[arg-type]
    return [row.session_id for row in page.rows]


def test_the_newest_is_first_and_of_the_same_instant_the_first_by_name(store: Store) -> None:
    for session_id, at_ms in (("old", 1), ("b", 3), ("a", 3), ("mid", 2)):
        begin(store, session_id, at_ms)

    assert names(store) == ["a", "b", "mid", "old"]


def test_each_condition_leaves_out_what_does_not_meet_it(store: Store) -> None:
    for number in range(3):
        begin(store, f"s{number}", number, team="payments" if number else "search", n=str(number))
    change(store, "s1", "note", state="waiting", waits_for="budget", tokens_used=7)
    change(store, "s2", "review", tokens_used=8)
    write(
        store,
        msgspec.structs.replace(store.require_session("s2"), state="done"),
        call(1, session="s1", cost_nano_usd=5, cost_basis="table"),
        call(2, session="s1", cost_nano_usd=4, cost_basis="table", state="open"),
        call(3, session="s2", cost_nano_usd=6, cost_basis="unpriced"),
    )

    assert names(store, states=("done",)) == ["s2"]
    assert names(store, states=("done", "running")) == ["s2", "s1", "s0"]
    assert names(store, labels=(("team", "payments"),)) == ["s2", "s1"]
    assert names(store, labels=(("team", None), ("n", "0"))) == ["s0"]
    assert names(store, labels=(("absent", None),)) == []
    assert names(store, since_ms=1) == ["s2", "s1"]
    assert names(store, until_ms=1) == ["s0"]
    assert names(store, persona_id="writer", phase="write") == ["s2", "s1", "s0"]
    assert names(store, persona_id="writer", phase="check") == []
    assert names(store, contract_id="absent") == []
    assert names(store, waits_for="budget") == ["s1"]
    assert names(store, waits_for="budget", persona_id="reviewer") == []
    assert names(store, min_tokens=8) == ["s2"]
    assert names(store, min_cost_nano_usd=5) == ["s1"]
    assert names(store, min_cost_nano_usd=6) == []


def test_a_row_says_labels_cost_and_what_is_waited_for(store: Store) -> None:
    begin(store, "s1", 1, team="payments")
    change(store, "s1", "note", state="running", waits_for="call")
    change(store, "s1", "review", state="help_needed", waits_for="person")
    write(
        store,
        call(1, session="s1", cost_nano_usd=5, cost_basis="table"),
        call(2, session="s1", cost_basis="unpriced"),
        call(3, session="s1", cost_basis="unpriced", state="open"),
    )

    [row] = list_sessions(store).rows

    assert row.labels == {"team": "payments"}
    assert row.waits_for == ("call", "person")
    assert row.cost_nano_usd == 5
    assert row.unpriced_calls == 1


@settings(max_examples=15)
@given(
    instants=st.lists(st.integers(0, 5), min_size=1, max_size=9),
    limit=st.integers(1, 4),
    coins=st.lists(st.booleans(), min_size=24, max_size=24),
)
def test_pages_have_each_session_once_though_others_come_and_go(
    tmp_path_factory: pytest.TempPathFactory,
    instants: list[int],
    limit: int,
    coins: list[bool],
) -> None:
    """New ones come at the end of time; what is removed may be the very row of the cursor."""
    with Store.open(tmp_path_factory.mktemp("list") / "state") as store:
        for number, at_ms in enumerate(instants):
            begin(store, f"s{number}", at_ms)
        first = {f"s{number}" for number in range(len(instants))}
        removed: set[str] = set()
        seen: list[str] = []
        cursor: str | None = None
        more = True
        while more:
            page = list_sessions(store, limit=limit, cursor=cursor)
            seen += [row.session_id for row in page.rows]
            cursor, more = page.next_cursor, page.next_cursor is not None
            begin(store, f"new{len(seen)}", 6)
            if page.rows and coins.pop():
                _remove(store, page.rows[-1].session_id)
            if coins.pop():
                removed |= _removed_unseen(store, first - set(seen))

    assert len(seen) == len(set(seen))
    assert first - removed <= set(seen) <= first


def _remove(store: Store, session_id: str) -> None:
    done = msgspec.structs.replace(store.require_session(session_id), state="done")
    write(store, done)
    store.journal.remove(session_id).result()


def _removed_unseen(store: Store, unseen: set[str]) -> set[str]:
    chosen = {session_id for session_id in unseen if store.sessions.get(session_id)}
    for session_id in sorted(chosen)[:1]:
        _remove(store, session_id)
        return {session_id}
    return set()


def test_a_page_that_has_all_ends_the_list(store: Store) -> None:
    for number in range(2):
        begin(store, f"s{number}", number)

    assert list_sessions(store, limit=2).next_cursor is None
    assert list_sessions(store, limit=1).next_cursor is not None


@pytest.mark.parametrize("cursor", ["", "x", "AAAA", "c2V2ZW4gcw==", "=", "\N{SNOWMAN}"])
def test_what_is_no_cursor_is_refused(store: Store, cursor: str) -> None:
    with pytest.raises(CursorInvalid, match="a cursor must be one"):
        list_sessions(store, cursor=cursor)


def test_a_quarantined_session_is_left_out(tmp_path: Path, damage: Callable[..., None]) -> None:
    with Store.open(tmp_path / "state") as store:
        begin(store, "good", 1)
        begin(store, "bad", 2)
        damage(store, "bad")
    with Store.inspect(tmp_path / "state") as view:
        assert [row.session_id for row in list_sessions(view).rows] == ["good"]


@pytest.fixture
def damage() -> Callable[..., None]:
    def break_record(store: Store, session_id: str) -> None:
        environment = store._environment
        task = store.tasks.get(session_id, "note")
        assert task is not None
        with environment.env.begin(write=True) as txn:
            txn.put(task.key, b"damaged", db=environment.databases["tasks"])

    return break_record


def test_the_command_line_offers_everything_a_task_can_wait_for() -> None:
    assert get_args(Blocker) == BLOCKERS
