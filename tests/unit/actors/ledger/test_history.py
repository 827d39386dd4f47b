"""The history of usage: cells that are forgotten, and calls that are in one of them each."""

from collections import Counter
from random import Random
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from ledger_rows import call
from maestro_actors.ledger import history
from maestro_actors.ledger.budget import HOUR_MS
from maestro_actors.ledger.history import History

if TYPE_CHECKING:
    from maestro_storage.records import CallRecord, UsageRecord

NOON_MS = 5_000 * HOUR_MS


class Disk:
    """Cells as they become durable, in their order and as late as can be, from start to start."""

    def __init__(self) -> None:
        self.cells: dict[bytes, UsageRecord] = {}
        self.booked: Counter[str] = Counter()
        """Calls by task, as far as they are durable."""
        self.now_ms = NOON_MS
        self.epoch = 0
        self._queue: list[tuple[CallRecord, UsageRecord]] = []
        self._number = 0
        self.start()

    def start(self) -> None:
        """Start a process: what was on its way is gone."""
        self._queue.clear()
        self.epoch += 1
        self.history = History()

    def book(self, task: str) -> None:
        """Close a call of a task."""
        self._number += 1
        closed = call(self._number, task=task, closed_ms=self.now_ms, input_tokens=7)
        self._queue.append((closed, self.history.add(closed, self.epoch)))

    def write(self, count: int) -> None:
        """Make the oldest of what is on its way durable, and hold all of it against plain sums."""
        for closed, cell in self._queue[:count]:
            self.cells[cell.key] = cell
            self.booked[closed.task_id] += 1
        del self._queue[:count]
        found: Counter[str] = Counter()
        for cell in self.cells.values():
            found[cell.task_id] += cell.calls
            assert cell.input_tokens == 7 * cell.calls
        assert found == self.booked


@pytest.mark.parametrize("seed", range(40))
def test_no_call_is_lost_or_counted_twice_whatever_is_forgotten_and_whenever_a_process_dies(
    monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(history, "CELLS_MAX", 2)
    random = Random(seed)  # noqa: S311 - no secret
    disk = Disk()
    for _ in range(400):
        match random.randrange(40):
            case 0:
                disk.now_ms += HOUR_MS
            case 1:
                # The next process may find the clock set back, or forward.
                disk.now_ms += random.randint(-1, 1) * HOUR_MS
                disk.start()
            case number if number < 12:
                disk.write(random.randint(1, 9))
            case _:
                disk.book(f"task-{random.randrange(6)}")
    disk.write(400)


def test_thousands_of_tasks_are_booked_through_a_few_cells() -> None:
    random = Random(1)  # noqa: S311 - no secret
    disk = Disk()
    for number in range(15_000):
        disk.book(f"task-{int(random.paretovariate(0.4)) % 3_000}")
        if number % 500 == 0:
            disk.write(random.randrange(1_000))
    disk.write(15_000)

    assert sum(disk.booked.values()) == 15_000
    assert len(disk.booked) > 1_000


def test_a_cell_that_is_needed_again_and_again_stays_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "CELLS_MAX", 3)
    disk = Disk()

    for number in range(100):
        disk.book("steady")
        disk.book(f"task-{number}")
    disk.write(200)

    (steady,) = (cell for cell in disk.cells.values() if cell.task_id == "steady")
    assert steady.calls == 100


def test_a_cell_that_was_forgotten_is_gone_on_with_in_another_part(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(history, "CELLS_MAX", 2)
    disk = Disk()

    for task in ("first", "a", "b", "c", "d", "first"):
        disk.book(task)
    disk.write(6)

    assert [cell.part for cell in disk.cells.values() if cell.task_id == "first"] == [1, 3]


def test_a_call_that_ended_before_the_newest_hour_counts_in_that_hour() -> None:
    disk = Disk()
    disk.book("task")
    disk.now_ms -= HOUR_MS
    disk.book("task")
    disk.write(2)

    (cell,) = disk.cells.values()
    assert (cell.hour_ms, cell.calls) == (NOON_MS, 2)


def test_cells_from_before_there_were_parts_keep_their_keys() -> None:
    cell = History().add(call(1, closed_ms=NOON_MS), epoch=1)
    old, older = (replace(cell, part=0, epoch=epoch) for epoch in (1, 2))

    assert cell.key != old.key
    assert older.key == old.key
