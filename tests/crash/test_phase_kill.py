"""Phases executed one by one by processes that are killed: what is done is never done again."""

import json
import signal
from collections import Counter
from pathlib import Path

import forked
import phase_run
from maestro_storage import Store

COMMITS_MAX = 40
"""More than two phases need; reaching it would mean that they do not end."""


def run(directory: Path, how: str = "phases", kill: str = "", number: int = 0) -> int:
    code = forked.run(phase_run.main, str(directory), how, kill, str(number))
    assert code in (0, -signal.SIGKILL)
    return code


def test_a_failure_in_design_is_resumed_without_the_requirements(tmp_path: Path) -> None:
    """The recovery flow: requirements done, the process dies in design, resume goes on there."""
    killed = run(tmp_path, kill="design")
    before = phase_run.exported_in(tmp_path)

    assert killed == -signal.SIGKILL
    assert phase_run.calls_in(tmp_path) == ["requirements", "design"]
    assert sorted(before) == ["checkpoint_init.json", "checkpoint_requirements.json"]
    with Store.inspect(tmp_path / "state") as store:
        assert [row.phase for row in store.checkpoints.scan("s")] == ["init", "requirements"]

    assert run(tmp_path, how="resume", kill="design") == 0

    context = phase_run.context_in(tmp_path)
    assert context.state == "done"
    assert Counter(phase_run.calls_in(tmp_path)) == {"requirements": 1, "design": 2}
    assert [file.path for file in context.artifacts] == ["design.md", "requirements.md"]
    after = phase_run.exported_in(tmp_path)
    assert sorted(after) == [*sorted(["checkpoint_design.json"]), *sorted(before)]
    assert {name: after[name] for name in before} == before


def test_a_kill_after_any_commit_repeats_at_most_the_call_in_flight(tmp_path: Path) -> None:
    for number in range(1, COMMITS_MAX):
        directory = tmp_path / str(number)
        directory.mkdir()
        if run(directory, number=number) == 0:
            break
        calls_before = Counter(phase_run.calls_in(directory))
        with Store.inspect(directory / "state") as store:
            done = {row.task_id for row in store.tasks.scan("s") if row.state == "done"}

        assert run(directory) == 0

        context = phase_run.context_in(directory)
        assert (context.state, set(context.phase_results)) == ("done", set(phase_run.PAIR))
        again = Counter(phase_run.calls_in(directory)) - calls_before
        assert not done & set(again), "a finished task has run again"
        assert set(again.values()) <= {1}
        with Store.inspect(directory / "state") as store:
            kinds = [event.kind for event in store.events.scan("s")]
        assert kinds.count("phase_finished") == len(phase_run.PAIR)

    assert 8 < number < COMMITS_MAX
    assert json.loads((directory / "context.json").read_text())["state"] == "done"
