"""A session with more tasks than any machine has threads."""

import threading
from pathlib import Path

from maestro_actors.team import Contract, Persona, Phase, Team
from maestro_runtime import SessionOrder, open_runtime
from maestro_storage.records import EventRecord

TASKS = 10_000


def test_ten_thousand_tasks_finish_on_a_handful_of_threads(
    tmp_path: Path, callable_name: str
) -> None:
    team = Team(
        name="many",
        requirement="nothing",
        personas={"dev": Persona(persona_id="dev", engine="python", callable=callable_name)},
        phases=(Phase(name="only"),),
        contracts=tuple(
            Contract(id=f"c{place}", name="c", phase="only", provider_persona_id="dev")
            for place in range(TASKS)
        ),
        max_parallel_workers=500,
    )
    threads_before = threading.active_count()
    threads: set[int] = set()

    def count_threads(_event: EventRecord) -> None:
        threads.add(threading.active_count())

    with open_runtime(tmp_path / "state") as runtime:
        runtime.subscribe(count_threads)
        report = runtime.run(SessionOrder(team, "many", tmp_path / "output")).result(100.0)

    assert report.state == "done"
    assert {task.state for task in report.tasks} == {"done"}
    # Actors, journal, engines: one each, and two for orders, however many tasks there are.
    assert max(threads) <= threads_before + 5
    assert threading.active_count() == threads_before
