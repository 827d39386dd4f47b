"""A session with more tasks than any machine has threads."""

import threading
from pathlib import Path

from maestro_runtime import SessionOrder, open_runtime
from maestro_storage.records import EventRecord
from noop_session import team_of

TASKS = 10_000


def test_ten_thousand_tasks_finish_on_a_handful_of_threads(tmp_path: Path) -> None:
    # Those of other tests may be about to end.
    before = set(threading.enumerate())
    threads: set[int] = set()

    def count_threads(_event: EventRecord) -> None:
        threads.add(len({*threading.enumerate()} - before))

    with open_runtime(tmp_path / "state") as runtime:
        runtime.subscribe(count_threads)
        report = runtime.run(
            SessionOrder(team_of(TASKS, workers=500), "many", tmp_path / "output")
        ).result(250.0)

    assert report.state == "done"
    assert {task.state for task in report.tasks} == {"done"}
    # Actors, journal, engines: one each, and two for orders, however many tasks there are.
    assert 3 <= max(threads) <= 5
    assert set(threading.enumerate()) <= before
