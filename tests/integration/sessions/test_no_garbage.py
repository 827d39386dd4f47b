"""What attempts leave to the garbage collector: nothing, so that it may look seldom."""

import gc
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from maestro_runtime import SessionOrder, open_runtime
from maestro_runtime.garbage import YOUNG_OBJECTS_MAX, collect_seldom
from noop_session import team_of

TASKS = 20


@pytest.fixture
def found() -> Iterator[Counter[str]]:
    """Types of the objects that only the garbage collector has freed, once the test is through."""
    kinds: Counter[str] = Counter()
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        yield kinds
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


def test_a_task_that_has_ended_leaves_no_circles(tmp_path: Path, found: Counter[str]) -> None:
    with open_runtime(tmp_path / "state") as runtime:
        report = runtime.run(
            SessionOrder(team_of(TASKS, workers=4), "idle", tmp_path / "output")
        ).result(30.0)
    gc.collect()
    found.update(type(item).__name__ for item in gc.garbage)

    assert report.state == "done"
    # What there is one of for a runtime may be a circle; nothing that there is one of for a task.
    assert [kind for kind in ("Persona", "Mailbox", "Seat", "Call") if found[kind] >= TASKS] == []


def test_a_process_of_our_own_looks_for_garbage_more_seldom() -> None:
    before = gc.get_threshold()
    try:
        collect_seldom()

        assert gc.get_threshold() == (YOUNG_OBJECTS_MAX, *before[1:])
    finally:
        gc.set_threshold(*before)
