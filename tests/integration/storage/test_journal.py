import errno
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager

import pytest

from handed_in import delivering, engine_error
from maestro_storage import RECORD_BYTES_MAX, Store, _journal, _writer
from maestro_storage._environment import _put_meta
from maestro_storage.errors import (
    OwnerFenced,
    RecordTooLarge,
    StorageError,
    StoreClosed,
    StoreFailed,
)
from maestro_storage.transition import Change, Event, Transition

WAIT_SECONDS = 20
"""Safety net; no test waits that long unless it fails."""


class Gate:
    """Holds commits back until it is opened."""

    def __init__(self) -> None:
        self.reached = threading.Semaphore(0)
        self.opened = threading.Event()
        self.committed: list[int] = []

    def before_commit(self, _number: int) -> None:
        self.reached.release()
        assert self.opened.wait(WAIT_SECONDS)

    def after_commit(self, number: int) -> None:
        self.committed.append(number)


class FailOnce:
    """Breaks one write transaction right before its commit."""

    def __init__(self, number: int, error: Exception) -> None:
        self.number = number
        self.error: Exception | None = error

    def before_commit(self, number: int) -> None:
        error = self.error
        if number == self.number and error is not None:
            self.error = None
            raise error

    def after_commit(self, number: int) -> None:
        pass


def test_nothing_leaves_before_the_commit_has_returned(
    open_store: Callable[..., Store], make_task: Callable[..., Transition]
) -> None:
    left: list[str] = []
    gate = Gate()
    store = open_store(
        deliver=lambda _, message: left.append(message.decode()),
        on_events=lambda events: left.extend(event.kind for event in events),
        observer=gate,
    )
    future = store.journal.commit(delivering(make_task(1), "one", "two"))
    future.add_done_callback(lambda _: left.append("acknowledged"))
    assert gate.reached.acquire(timeout=WAIT_SECONDS)
    seen_before = list(left), future.done(), store.tasks.count()

    gate.opened.set()
    future.result(WAIT_SECONDS)
    store.close()

    assert seen_before == ([], False, 0)
    assert left == ["one", "two", "acknowledged", "attempt_started"]


def test_what_arrives_during_a_commit_shares_the_next_one(
    open_store: Callable[..., Store], make_task: Callable[..., Transition]
) -> None:
    gate = Gate()
    store = open_store(observer=gate)
    store.journal.append(make_task(0))
    assert gate.reached.acquire(timeout=WAIT_SECONDS)
    futures = [store.journal.commit(make_task(number)) for number in range(1, 100)]

    gate.opened.set()
    wait(futures, WAIT_SECONDS)

    assert gate.committed == [1, 2]
    assert store.tasks.count() == 100


def test_deliveries_keep_the_order_of_the_appends(
    open_store: Callable[..., Store], make_task: Callable[..., Transition]
) -> None:
    received: list[bytes] = []
    store = open_store(deliver=lambda _, message: received.append(message))

    for number in range(3000):
        store.journal.append(delivering(make_task(number), str(number)))
    store.close()

    assert received == [str(number).encode() for number in range(3000)]


def test_deliveries_of_a_commit_are_gathered_and_the_acknowledgements_follow(
    open_store: Callable[..., Store], make_task: Callable[..., Transition]
) -> None:
    happened: list[str] = []
    over = threading.Event()

    def acknowledged(_: object) -> None:
        happened.append("acknowledged")
        over.set()

    @contextmanager
    def gathering() -> Iterator[None]:
        happened.append("begin")
        yield
        happened.append("end")

    store = open_store(
        deliver=lambda _, message: happened.append(message.decode()), gathering=gathering
    )
    future = store.journal.commit(delivering(make_task(1), "one", "two"))
    future.add_done_callback(acknowledged)
    assert over.wait(WAIT_SECONDS)
    store.close()

    assert happened == ["begin", "one", "two", "end", "acknowledged"]


def test_histories_are_gapless_under_concurrent_appenders_and_across_restarts(
    open_store: Callable[..., Store],
) -> None:
    def append(store: Store, session_id: str) -> None:
        for number in range(200):
            store.journal.append(Transition(events=[Event(session_id, "step", number)] * 2))

    for _ in range(2):
        store = open_store()
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(append, [store] * 4, ["a", "b", "a", "ab"]))
        store.close()

    store = open_store()
    sequences = {
        name: [event.sequence for event in store.events.scan(name)] for name in ("a", "b", "ab")
    }
    assert sequences == {
        "a": [*range(1, 1601)],
        "b": [*range(1, 801)],
        "ab": [*range(1, 801)],
    }


def test_histories_of_sessions_that_were_written_to_long_ago_go_on_without_a_gap(
    open_store: Callable[..., Store],
    make_session: Callable[..., Transition],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_writer, "SEQUENCES_MAX", 2)
    store = open_store()
    names = [f"s-{number}" for number in range(5)]
    for name in names * 3:
        store.journal.commit(make_session(name, "done", finished_ms=1)).result(WAIT_SECONDS)
    removed = store.journal.remove("s-0")
    again = store.journal.commit(make_session("s-0"))

    removed.result(WAIT_SECONDS)
    again.result(WAIT_SECONDS)
    sequences = {name: [event.sequence for event in store.events.scan(name)] for name in names}
    assert sequences == {"s-0": [1]} | {key: [1, 2, 3] for key in names[1:]}


def test_an_aborted_batch_leaves_no_gap_and_no_record(
    open_store: Callable[..., Store], make_task: Callable[..., Transition]
) -> None:
    told: list[int] = []
    store = open_store(
        observer=FailOnce(2, engine_error(errno.ENOSPC)),
        on_events=lambda events: told.extend(event.sequence for event in events),
    )
    store.journal.commit(make_task(1)).result(WAIT_SECONDS)

    store.journal.commit(make_task(2)).result(WAIT_SECONDS)
    store.close()

    assert told == [1, 2]
    assert [event.sequence for event in open_store().events.scan("s-1")] == [1, 2]


def test_any_other_error_stops_the_journal_without_a_retry(
    open_store: Callable[..., Store], make_task: Callable[..., Transition]
) -> None:
    delivered: list[str] = []
    failures: list[StorageError] = []
    store = open_store(
        deliver=lambda address, _: delivered.append(address),
        on_failure=failures.append,
        observer=FailOnce(2, engine_error(errno.EIO)),
    )
    store.journal.commit(make_task(1)).result(WAIT_SECONDS)

    failed = store.journal.commit(delivering(make_task(2), "never"))

    with pytest.raises(StoreFailed, match="Input/output error"):
        failed.result(WAIT_SECONDS)
    with pytest.raises(StoreFailed, match="Input/output error"):
        store.journal.append(make_task(3))
    store.close()
    assert failures == [failed.exception()]
    assert delivered == []
    assert open_store().tasks.count() == 1


def test_transitions_queued_behind_a_failure_fail_with_it(
    open_store: Callable[..., Store], make_task: Callable[..., Transition]
) -> None:
    class FailGated(Gate):
        def before_commit(self, number: int) -> None:
            super().before_commit(number)
            raise engine_error(errno.EIO)

    gate = FailGated()
    store = open_store(observer=gate)
    store.journal.append(make_task(1))
    assert gate.reached.acquire(timeout=WAIT_SECONDS)
    queued = store.journal.commit(make_task(2))

    gate.opened.set()

    with pytest.raises(StoreFailed):
        queued.result(WAIT_SECONDS)


def test_an_exception_in_a_port_stops_the_store(
    open_store: Callable[..., Store], make_task: Callable[..., Transition]
) -> None:
    failures: list[StorageError] = []
    store = open_store(on_failure=failures.append)

    future = store.journal.commit(delivering(make_task(1), "nobody listens"))

    with pytest.raises(StorageError, match="no such address: 'actor'"):
        future.result(WAIT_SECONDS)
    store.close()
    assert failures == [future.exception()]


def test_a_fenced_owner_writes_nothing(
    open_store: Callable[..., Store], make_task: Callable[..., Transition]
) -> None:
    failures: list[StorageError] = []
    store = open_store(on_failure=failures.append)
    environment = store._environment
    with environment.env.begin(write=True) as txn:
        _put_meta(txn, environment.databases["meta"], "epoch", "2")

    with pytest.raises(OwnerFenced) as caught:
        store.journal.commit(make_task(1)).result(WAIT_SECONDS)

    store.close()
    assert (caught.value.own_epoch, caught.value.found_epoch) == (1, 2)
    assert len(failures) == 1
    assert open_store().tasks.count() == 0


def test_a_bad_transition_is_refused_and_spoils_nothing(
    open_store: Callable[..., Store], make_task: Callable[..., Transition]
) -> None:
    store = open_store()
    bad = Transition(changes=[Change("tasks", b"k", 1, bytes(RECORD_BYTES_MAX))])

    with pytest.raises(RecordTooLarge):
        store.journal.append(bad)
    with pytest.raises(RecordTooLarge):
        store.journal.commit(bad)

    store.journal.commit(make_task(1)).result(WAIT_SECONDS)
    assert store.tasks.count() == 1


def test_an_appender_waits_while_the_queue_is_full(
    open_store: Callable[..., Store],
    make_task: Callable[..., Transition],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_journal, "QUEUE_TRANSITIONS_MAX", 2)
    gate = Gate()
    store = open_store(observer=gate)
    store.journal.append(make_task(0))
    assert gate.reached.acquire(timeout=WAIT_SECONDS)
    store.journal.append(make_task(1))
    store.journal.append(make_task(2))
    waiting, appended = threading.Event(), threading.Event()
    wait_for_room = store.journal._drained.wait

    def note_and_wait(timeout: float | None = None) -> bool:
        waiting.set()
        return wait_for_room(timeout)

    monkeypatch.setattr(store.journal._drained, "wait", note_and_wait)

    def append() -> None:
        store.journal.append(make_task(3))
        appended.set()

    appender = threading.Thread(target=append)
    appender.start()
    assert waiting.wait(WAIT_SECONDS)
    entered_early = appended.is_set()
    gate.opened.set()
    appender.join(WAIT_SECONDS)
    store.close()

    assert not entered_early
    assert appended.is_set()
    assert open_store().tasks.count() == 4


def test_a_commit_cannot_be_cancelled(
    open_store: Callable[..., Store], make_task: Callable[..., Transition]
) -> None:
    gate = Gate()
    store = open_store(observer=gate)
    future = store.journal.commit(make_task(1))

    cancelled = future.cancel()
    gate.opened.set()

    future.result(WAIT_SECONDS)
    assert not cancelled
    assert store.tasks.count() == 1


def test_close_writes_what_is_queued_and_refuses_the_rest(
    open_store: Callable[..., Store], make_task: Callable[..., Transition]
) -> None:
    store = open_store()
    for number in range(500):
        store.journal.append(make_task(number))

    store.close()
    store.close()

    with pytest.raises(StoreClosed, match="it has been closed"):
        store.journal.append(make_task(500))
    with pytest.raises(StoreClosed, match="it has been closed"):
        store.tasks.get("s-1", "task-000001")
    assert open_store().tasks.count() == 500
