"""Who has handed a transition in may write it, in place of the writer thread."""

import errno
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from handed_in import delivering, engine_error
from maestro_storage import Store, _journal, verify
from maestro_storage.errors import StorageError, StoreFailed
from maestro_storage.transition import Transition

WAIT_SECONDS = 20
"""Safety net; no test waits that long unless it fails."""


class Threads:
    """Notes which thread makes each commit; holds those back that are to wait."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.held: int | None = None
        self.reached = threading.Event()
        self.released = threading.Event()
        self.error: Exception | None = None
        self.moved = threading.Event()
        """Set by each commit, and when the writer thread begins to wait."""

    def before_commit(self, number: int) -> None:
        self.names.append(threading.current_thread().name)
        self.moved.set()
        if number == self.held:
            self.reached.set()
            assert self.released.wait(WAIT_SECONDS)
        if self.error is not None:
            raise self.error

    def after_commit(self, _number: int) -> None:
        pass


@pytest.fixture
def threads() -> Threads:
    return Threads()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take any commit for a quick one: the machine may be busy."""
    monkeypatch.setattr(_journal, "QUICK_SECONDS", WAIT_SECONDS)


@pytest.fixture
def opened(
    open_store: Callable[..., Store], make_task: Callable[..., Transition], threads: Threads
) -> Callable[..., Store]:
    """Return a function that opens a store whose thread has made one commit, and waits again."""

    def open_one(**ports: object) -> Store:
        store = open_store(observer=threads, **ports)
        arrived, waits = store.journal._arrived, threading.Event()
        wait = arrived.wait

        def note_and_wait(timeout: float | None = None) -> bool:
            # Under the lock: whoever has it next finds the thread waiting.
            waits.set()
            threads.moved.set()
            return wait(timeout)

        arrived.wait = note_and_wait  # type: ignore[method-assign] # seen from inside
        store.journal.commit(make_task(0)).result(WAIT_SECONDS)
        assert waits.wait(WAIT_SECONDS)
        return store

    return open_one


def test_what_is_written_here_is_durable_delivered_and_told_on_return(
    opened: Callable[..., Store], make_task: Callable[..., Transition], threads: Threads
) -> None:
    left: list[object] = []
    store = opened(
        deliver=lambda _, message: left.append(message),
        on_events=lambda events: left.append([event.sequence for event in events]),
    )
    store.journal.append(delivering(make_task(1), "one"), wake=False)
    before = list(left), store.tasks.count(), store.journal.is_idle

    store.journal.write_here()

    assert before == ([[1]], 1, False)
    assert left == [[1], b"one", [2]]
    assert threads.names == ["maestro-journal", threading.current_thread().name]
    assert store.tasks.count() == 2
    assert store.journal.is_idle


def test_all_that_is_queued_is_written_here_in_one_commit(
    opened: Callable[..., Store], make_task: Callable[..., Transition], threads: Threads
) -> None:
    delivered: list[str] = []
    store = opened(deliver=lambda _, message: delivered.append(message.decode()))
    for number in range(1, 6):
        store.journal.append(delivering(make_task(number), str(number)), wake=False)

    store.journal.write_here()

    assert delivered == ["1", "2", "3", "4", "5"]
    assert threads.names == ["maestro-journal", threading.current_thread().name]
    assert store.tasks.count() == 6


def test_what_does_not_go_into_the_batch_is_written_by_the_thread(
    opened: Callable[..., Store],
    make_task: Callable[..., Transition],
    threads: Threads,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_journal, "BATCH_TRANSITIONS_MAX", 2)
    store = opened()
    for number in range(1, 4):
        store.journal.append(make_task(number), wake=False)

    store.journal.write_here()

    store.journal.settle(WAIT_SECONDS)
    assert threads.names[1:3] == [threading.current_thread().name, "maestro-journal"]
    assert store.tasks.count() == 4


def test_what_nobody_was_woken_for_may_be_left_to_the_thread_after_all(
    opened: Callable[..., Store], make_task: Callable[..., Transition], threads: Threads
) -> None:
    delivered = threading.Event()
    store = opened(deliver=lambda _address, _message: delivered.set())
    store.journal.append(delivering(make_task(1), "one"), wake=False)

    store.journal.wake()

    assert delivered.wait(WAIT_SECONDS)
    assert threads.names == ["maestro-journal"] * 2


def test_nobody_is_woken_for_nothing(opened: Callable[..., Store]) -> None:
    store = opened()

    store.journal.wake()

    assert store.journal.is_idle


def test_who_finds_the_queue_full_of_what_nobody_was_woken_for_wakes_the_thread(
    opened: Callable[..., Store],
    make_task: Callable[..., Transition],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_journal, "QUEUE_TRANSITIONS_MAX", 2)
    store = opened()

    for number in range(1, 9):
        store.journal.append(make_task(number), wake=False)

    store.journal.settle(WAIT_SECONDS)
    assert store.tasks.count() == 9


def test_after_a_slow_commit_the_writer_thread_writes(
    opened: Callable[..., Store],
    make_task: Callable[..., Transition],
    threads: Threads,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_journal, "QUICK_SECONDS", 0)
    store = opened()
    store.journal.append(make_task(1), wake=False)

    store.journal.write_here()

    store.journal.settle(WAIT_SECONDS)
    assert set(threads.names) == {"maestro-journal"}
    assert store.tasks.count() == 2
    assert not store.journal.is_quick


def test_the_disk_is_not_taken_for_quick_before_the_first_commit(
    open_store: Callable[..., Store], make_task: Callable[..., Transition]
) -> None:
    store = open_store()
    before = store.journal.is_quick

    store.journal.commit(make_task(1)).result(WAIT_SECONDS)

    assert not before
    assert store.journal.is_quick


def test_nothing_to_write_is_no_commit(opened: Callable[..., Store], threads: Threads) -> None:
    store = opened()

    store.journal.write_here()

    assert len(threads.names) == 1


def test_what_others_hand_in_meanwhile_is_written_by_the_thread_and_delivered_later(
    opened: Callable[..., Store], make_task: Callable[..., Transition], threads: Threads
) -> None:
    delivered: list[bytes] = []
    store = opened(deliver=lambda _, message: delivered.append(message))
    threads.held = 2
    store.journal.append(delivering(make_task(1), "first"), wake=False)
    with ThreadPoolExecutor(1, "stand-in") as pool:
        pool.submit(store.journal.write_here)
        assert threads.reached.wait(WAIT_SECONDS)
        seen = list(delivered), store.tasks.count(), store.journal.is_idle

        other = store.journal.commit(delivering(make_task(2), "second"))
        threads.released.set()
        other.result(WAIT_SECONDS)

    assert seen == ([], 1, False)
    assert delivered == [b"first", b"second"]
    assert threads.names == ["maestro-journal", "stand-in_0", "maestro-journal"]


@pytest.mark.parametrize("behind", [[], ["second"]])
def test_a_close_waits_for_a_stand_in_and_writes_what_is_queued_behind_it(
    opened: Callable[..., Store],
    make_task: Callable[..., Transition],
    threads: Threads,
    behind: list[str],
) -> None:
    delivered: list[str] = []

    def deliver(_address: str, message: bytes) -> None:
        if message == b"first":
            threads.reached.set()
            assert threads.released.wait(WAIT_SECONDS)
        delivered.append(message.decode())

    store = opened(deliver=deliver)
    store.journal.append(delivering(make_task(1), "first"), wake=False)
    with ThreadPoolExecutor(2, "other") as pool:
        written = pool.submit(store.journal.write_here)
        assert threads.reached.wait(WAIT_SECONDS)
        for message in behind:
            store.journal.append(delivering(make_task(2), message))
        threads.moved.clear()
        closed = pool.submit(store.journal.close)
        # The thread is woken by the close, and waits on.
        assert threads.moved.wait(WAIT_SECONDS)
        commits, ended = len(threads.names), closed.done()
        threads.released.set()
        written.result(WAIT_SECONDS)
        closed.result(WAIT_SECONDS)

    assert (commits, ended) == (2, False)
    assert delivered == ["first", *behind]


def test_what_nobody_was_woken_for_is_written_by_the_close(
    opened: Callable[..., Store],
    make_task: Callable[..., Transition],
    threads: Threads,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_journal, "BATCH_TRANSITIONS_MAX", 1)
    store = opened()
    threads.held = 2
    store.journal.append(make_task(1), wake=False)
    store.journal.append(make_task(2), wake=False)
    with ThreadPoolExecutor(1, "other") as pool:
        closed = pool.submit(store.journal.close)
        assert threads.reached.wait(WAIT_SECONDS)

        # The thread is at it: nobody else is to begin.
        store.journal.write_here()

        threads.released.set()
        closed.result(WAIT_SECONDS)

    assert set(threads.names) == {"maestro-journal"}
    assert store.tasks.count() == 3


def test_a_failure_of_a_stand_in_stops_the_journal_for_all(
    opened: Callable[..., Store], make_task: Callable[..., Transition], threads: Threads
) -> None:
    delivered: list[str] = []
    failures: list[StorageError] = []
    store = opened(deliver=lambda address, _: delivered.append(address), on_failure=failures.append)
    threads.error = engine_error(errno.EIO)
    store.journal.append(delivering(make_task(1), "never"), wake=False)

    store.journal.write_here()

    with pytest.raises(StoreFailed, match="Input/output error"):
        store.journal.append(make_task(2))
    store.journal.write_here()
    store.journal._thread.join(WAIT_SECONDS)
    assert not store.journal._thread.is_alive()
    assert len(failures) == 1
    assert delivered == []
    assert threads.names == ["maestro-journal", threading.current_thread().name]


@pytest.mark.parametrize("wakes", [False, True], ids=["a stand-in writes", "the thread writes"])
def test_a_delivery_may_append_although_the_queue_is_full(
    opened: Callable[..., Store],
    make_task: Callable[..., Transition],
    monkeypatch: pytest.MonkeyPatch,
    *,
    wakes: bool,
) -> None:
    monkeypatch.setattr(_journal, "QUEUE_TRANSITIONS_MAX", 1)
    done: Future[None] = Future()

    def deliver(_address: str, message: bytes) -> None:
        if message == b"first":
            store.journal.append(make_task(2))
            store.journal.append(delivering(make_task(3), "last"))
        else:
            done.set_result(None)

    store = opened(deliver=deliver)
    store.journal.append(delivering(make_task(1), "first"), wake=wakes)

    if not wakes:
        store.journal.write_here()

    done.result(WAIT_SECONDS)
    assert store.tasks.count() == 4


KILLED = """
import os, signal, sys, threading
from maestro_storage import Store, StoreOptions, StorePorts, _journal
from maestro_storage.transition import Event, Transition

_journal.QUICK_SECONDS = 20

class Kill:
    stand_ins = 0

    def look(self, side):
        if threading.current_thread() is threading.main_thread():
            self.stand_ins += side == "before"
            if self.stand_ins == 3 and side == sys.argv[2]:
                os.kill(os.getpid(), signal.SIGKILL)

    def before_commit(self, number):
        self.look("before")

    def after_commit(self, number):
        self.look("after")

ports = StorePorts(deliver=lambda address, _: print(address), observer=Kill())
store = Store.open(sys.argv[1], options=StoreOptions(ballast_bytes=4096), ports=ports)
number = 0
while True:
    number += 1
    transition = Transition(events=[Event("s-1", "step", number)])
    transition.then(str(number), b"")
    store.journal.append(transition, wake=False)
    store.journal.write_here()
    while not store.journal.is_idle:
        os.sched_yield()
"""


@pytest.mark.parametrize("side", ["before", "after"])
def test_a_kill_at_the_commit_of_a_stand_in_loses_nothing_acknowledged(
    state: Path, start_child: Callable[..., subprocess.Popen[str]], side: str
) -> None:
    child = start_child(KILLED, str(state), side)

    output, _ = child.communicate(timeout=WAIT_SECONDS)

    acknowledged = [int(line) for line in output.split()]
    assert child.returncode == -9
    assert verify(state).intact
    with Store.open(state) as store:
        durable = [event.at_ms for event in store.events.scan("s-1")]
    last = len(acknowledged) + (side == "after")
    assert acknowledged == [*range(1, len(acknowledged) + 1)]
    assert durable == [*range(1, last + 1)]
