"""Same seed, same history: time, chance and engines enter through ports, and nothing else does."""

from pathlib import Path

import msgspec
import pytest

from maestro_actors.team import Team
from maestro_runtime.engines import RateLimited, Transient
from maestro_runtime.testing import TrialRuntime, Work, open_trial, simple_team
from maestro_storage.records import EventRecord

Line = tuple[str, int, str, dict[str, str | int | float | bool | None]]


def team_of(seed: int, workers: int) -> Team:
    # Whoever fails alone: of failures and answers in the same moment the order would decide when
    # the breaker opens.
    team = simple_team({"one": tuple("abcd"), "two": ("e",)}, workers=workers)
    return msgspec.structs.replace(team, seed=seed)


def history(directory: Path, team: Team, *, dies_after: float = 0.0) -> list[Line]:
    """Return all that happened in a session, and when, perhaps with a crash in a pause."""
    with open_trial(directory) as trial:
        script(trial)
        if dies_after:
            trial.start(team)
            trial.pass_time(dies_after)
            trial.restart()
        assert trial.run(team).state == "failed"
        # When a ticket has arrived is for the world to say, and where to.
        return [line_of(event) for event in trial.events() if event.kind != "ticket_filed"]


def script(trial: TrialRuntime) -> None:
    """Have tasks fail in several ways, one of them for good."""
    trial.engine.script("a", *(Transient("reset"),) * 4)
    trial.engine.script("b", Work({}), RateLimited("later", None, 7.0))
    trial.engine.script("e", *(Transient("reset"),) * 6)


def line_of(event: EventRecord) -> Line:
    return event.kind, event.at_ms, event.task_id, event.data


def in_any_order(lines: list[Line]) -> list[str]:
    return sorted(map(str, lines))


@pytest.mark.parametrize("dies_after", [0.0, 3.0])
def test_the_same_seed_gives_the_same_history_to_the_millisecond(
    tmp_path: Path, dies_after: float
) -> None:
    first = history(tmp_path / "first", team_of(7, workers=1), dies_after=dies_after)

    assert history(tmp_path / "again", team_of(7, workers=1), dies_after=dies_after) == first
    assert history(tmp_path / "other", team_of(8, workers=1), dies_after=dies_after) != first


def test_of_tasks_at_work_at_once_only_the_order_within_a_moment_is_open(tmp_path: Path) -> None:
    first = in_any_order(history(tmp_path / "first", team_of(7, workers=4)))

    for place in ("again", "and again"):
        assert in_any_order(history(tmp_path / place, team_of(7, workers=4))) == first
