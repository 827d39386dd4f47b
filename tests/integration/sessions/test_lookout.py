"""Who looks again and again at sessions sees what a first look sees."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from maestro_actors.help.answer import Answer
from maestro_actors.team import Team
from maestro_runtime import Runtime, SessionOrder, open_runtime
from maestro_runtime.config import Flags, load_team, resolve_settings
from maestro_runtime.reports.lookout import Lookout
from maestro_runtime.reports.overview import Overview, overview
from maestro_storage import Records
from maestro_storage.records import EventRecord
from maestro_storage.rows import Row, Rows

BOUND_SECONDS = 20.0

TEAM = """
[team]
name = "t"
requirement = "r"
[defaults]
backoff_seconds = 0.001
backoff_max_seconds = 0.001
round_backoff_seconds = [0.001]
[personas.calm]
[personas.shaky]
script = ["transient", "ok"]
[personas.poor]
script = ["permanent", "ok"]
give_up_on_failure = false
[[phases]]
name = "first"
[[phases]]
name = "second"
after = ["first"]
"""

CONTRACT = """
[[contracts]]
id = "{name}"
name = "{name}"
phase = "{phase}"
provider_persona_id = "{persona}"
deliverables = [{{ name = "n", artifacts = ["{name}.md"] }}]
"""


def team_of(directory: Path, contracts: list[tuple[str, str, str]]) -> Team:
    path = directory / "team.toml"
    made = [CONTRACT.format(name=name, phase=at, persona=who) for name, at, who in contracts]
    path.write_text(TEAM + "".join(made))
    return load_team(path, settings=resolve_settings(Flags(), {})).team


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[Runtime]:
    with open_runtime(tmp_path / "state") as runtime:
        yield runtime


class Onlooker:
    """Looks at the state after each event, on the thread that has just committed it."""

    def __init__(self, runtime: Runtime) -> None:
        self.looks = 0
        self.wrong: list[tuple[str, Overview, Overview]] = []
        self._store = runtime.store
        self._lookout = Lookout()
        runtime.subscribe(self._look)

    def _look(self, event: EventRecord) -> None:
        now_ms = time.time_ns() // 1_000_000
        again = overview(self._store, now_ms, self._lookout)
        first = overview(self._store, now_ms)
        self.looks += 1
        if again != first:
            self.wrong.append((event.kind, again, first))


def test_after_each_event_all_is_seen_as_at_a_first_look(runtime: Runtime, tmp_path: Path) -> None:
    contracts = [(f"calm{number}", "first", "calm") for number in range(60)]
    contracts += [("shaky", "first", "shaky"), ("poor", "first", "poor"), ("end", "second", "calm")]
    team = team_of(tmp_path, contracts)
    onlooker = Onlooker(runtime)

    first = runtime.run(SessionOrder(team, "s1", tmp_path / "one"))
    assert first.result(BOUND_SECONDS).state == "help_needed"
    runtime.answer("s1", "poor", Answer(decision="retry"))
    # All tasks at once, by one event that names none.
    runtime.rerun("s1", "first")
    runtime.cancel("s1").result(BOUND_SECONDS)
    runtime.remove("s1")
    again = runtime.run(SessionOrder(team, "s1", tmp_path / "two"))
    assert again.result(BOUND_SECONDS).state == "help_needed"
    runtime.cancel("s1").result(BOUND_SECONDS)

    assert onlooker.looks > 3 * 126
    assert onlooker.wrong == []


class Counted:
    """Rows of a state, which are counted as they are read."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self.rows = 0

    def get(self, database: str, key: bytes) -> bytes | None:
        self.rows += 1
        return self._rows.get(database, key)

    def page(self, database: str, prefix: bytes, position: bytes, limit: int) -> list[Row]:
        found = self._rows.page(database, prefix, position, limit)
        self.rows += len(found)
        return found

    def count(self, database: str, prefix: bytes) -> int:
        return self._rows.count(database, prefix)


def test_a_look_reads_nothing_of_tasks_that_have_not_changed(
    runtime: Runtime, tmp_path: Path
) -> None:
    contracts = [(f"calm{number}", "first", "calm") for number in range(200)]
    team = team_of(tmp_path, [*contracts, ("poor", "first", "poor")])
    runtime.run(SessionOrder(team, "s1", tmp_path / "one")).result(BOUND_SECONDS)
    counted = Counted(runtime.store.rows)
    records = Records(counted, epoch=1, quarantined={})
    lookout = Lookout()

    def rows(look: Callable[[], Overview]) -> int:
        before = counted.rows
        assert look().tasks == {"done": 200, "help_needed": 1}
        return counted.rows - before

    first = rows(lambda: overview(records, 0, lookout))
    second = rows(lambda: overview(records, 0, lookout))

    assert first > 400
    assert second < 20
