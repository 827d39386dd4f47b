import os
import signal
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from fork_child import WAIT_SECONDS, run_in_fork
from maestro_storage import Store
from maestro_storage._ownership import require_unowned
from maestro_storage.errors import StateOwned, StoreClosed
from maestro_storage.transition import Transition


def test_a_forked_child_cannot_use_the_store(
    state: Path, open_store: Callable[..., Store], make_task: Callable[..., Transition]
) -> None:
    store = open_store()

    def use() -> None:
        with pytest.raises(StoreClosed, match="this process is a fork of its owner"):
            store.journal.append(make_task(1))
        with pytest.raises(StoreClosed, match="this process is a fork of its owner"):
            store.tasks.get("s-1", "task-000001")

    assert run_in_fork(use) == 0
    store.journal.commit(make_task(2)).result(WAIT_SECONDS)
    assert store.tasks.count() == 1
    with pytest.raises(StateOwned):
        Store.open(state)


def test_a_forked_child_can_close_although_the_writer_was_busy_at_the_fork(
    open_store: Callable[..., Store],
) -> None:
    store = open_store()

    with store.journal._arrived:
        exit_code = run_in_fork(store.close)

    assert exit_code == 0


def test_a_forked_child_that_closes_leaves_what_its_parent_says_of_itself(
    state: Path, open_store: Callable[..., Store]
) -> None:
    store = open_store()
    store.stay_silent()

    exit_code = run_in_fork(store.close)

    with pytest.raises(StateOwned) as caught:
        require_unowned(state)
    assert (exit_code, caught.value.is_silent) == (0, True)


def test_a_forked_child_that_lives_on_does_not_keep_the_lock(
    state: Path, open_store: Callable[..., Store]
) -> None:
    store = open_store()
    read_end, write_end = os.pipe()
    running_read_end, running_write_end = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        os.close(write_end)
        signal.alarm(WAIT_SECONDS)
        os.write(running_write_end, b".")
        os.read(read_end, 1)
        os._exit(0)
    # A child drops the lock once it runs; until then it does keep it.
    assert os.read(running_read_end, 1) == b"."
    store.close()

    try:
        Store.open(state).close()
    finally:
        for end in (write_end, read_end, running_read_end, running_write_end):
            os.close(end)
        os.waitpid(child, 0)
