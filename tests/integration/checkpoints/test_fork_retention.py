"""Retention beside forks: what is shared stays as long as anybody needs it."""

import threading
from pathlib import Path
from typing import Final, get_args

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger_rows import write
from maestro_runtime import ForkOrder, open_runtime
from maestro_runtime.checkpoints import checkpoint_report, find_checkpoint, fork
from maestro_storage import Store, StorePorts, verify
from maestro_storage.records import SESSION_FINAL, EventRecord, SessionState
from two_phases import BOUND_SECONDS, run_pair

LATE_MS = 1 << 50
"""A wall clock at which every finished session is too old."""

STATES: Final[tuple[SessionState, ...]] = get_args(SessionState)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with a state in which session `s1` is done; not to be changed."""
    directory = tmp_path_factory.mktemp("original")
    with open_runtime(directory / "state") as runtime:
        run_pair(runtime, directory)
        runtime.store.backup(directory / "copy")
    return directory


class Halves:
    """Sees every commit, and whether a session was there in part after it."""

    def __init__(self) -> None:
        self.store: Store | None = None
        self.sizes: dict[str, int] = {}
        """Rows of each session before anything was removed."""
        self.commits = 0

    def before_commit(self, _number: int) -> None: ...

    def after_commit(self, _number: int) -> None:
        self.commits += 1
        for session_id, rows in self.sizes.items():
            assert rows_of(self.store, session_id) in (0, rows), f"half of {session_id} is gone"


def rows_of(store: Store | None, session_id: str) -> int:
    """Return how many records a session has."""
    assert store is not None
    kinds = (store.sessions, store.tasks, store.attempts, store.calls, store.budgets)
    more = (store.events, store.checkpoints, store.outbox)
    return sum(kind.count(session_id) for kind in (*kinds, *more))


@settings(max_examples=15)
@given(states=st.lists(st.sampled_from(STATES), min_size=1, max_size=6))
def test_only_what_has_ended_goes_each_in_one_transition_and_nothing_that_is_shared(
    original: Path, tmp_path_factory: pytest.TempPathFactory, states: list[SessionState]
) -> None:
    state = tmp_path_factory.mktemp("forks")
    seen = Halves()
    with Store.open(original / "copy") as pristine:
        pristine.backup(state / "state")
    # A clock at the beginning of time: nothing is too old until the test says so.
    with Store.open(state / "state", ports=StorePorts(observer=seen, now_ms=lambda: 0)) as store:
        seen.store = store
        names = [
            fork(store, ForkOrder("s1", "write", output_dir=state / str(number)), 1)
            for number in range(len(states))
        ]
        for name, wanted in zip(names, states, strict=True):
            write(store, msgspec.structs.replace(store.require_session(name), state=wanted))
        live = [name for name, s in zip(names, states, strict=True) if s not in SESSION_FINAL]
        seen.sizes = {name: rows_of(store, name) for name in ("s1", *names)}

        removed = store.retain(LATE_MS)

        assert set(removed) == {"s1", *names} - set(live)
        assert {name: rows_of(store, name) for name in live} == {
            name: seen.sizes[name] for name in live
        }
        for name in live:
            report = checkpoint_report(store, find_checkpoint(store, name, None))
            assert [task.task_id for task in report.tasks] == ["note"]
        assert (store.info().counts["payloads"] == 0) == (not live)
    assert verify(state / "state").intact


def test_a_fork_that_runs_outlives_the_retention_of_its_original(tmp_path: Path) -> None:
    begun = threading.Event()
    go_on = threading.Event()

    def hear(event: EventRecord) -> None:
        if event.session_id == "f" and event.kind == "attempt_started":
            begun.set()
            # On the journal's thread: the fork cannot end before the removal is handed in.
            assert go_on.wait(BOUND_SECONDS)

    with open_runtime(tmp_path / "state") as runtime:
        run_pair(runtime, tmp_path)
        runtime.subscribe(hear)
        session = runtime.fork(ForkOrder("s1", "write", "f", tmp_path / "f"))
        assert begun.wait(BOUND_SECONDS)
        removal = runtime.store.journal.remove("s1")
        own = runtime.store.journal.remove("f")
        go_on.set()
        removal.result(BOUND_SECONDS)
        own.result(BOUND_SECONDS)

        assert runtime.store.sessions.get("s1") is None
        assert session.result(BOUND_SECONDS).state == "done"
    assert verify(tmp_path / "state").intact
