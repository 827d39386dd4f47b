"""The acceptance table and the gaps of the unified execution: start a process, kill it, run again.

Each test names what it answers. AC-n are the rows of the table, G-n the findings and remedies.
"""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

import compat_run
import forked
from maestro_hive.unified_execution import DEFAULT_STATE_PATH, StateConfig, StateManager
from maestro_runtime.executors import close_shared_runtimes
from maestro_runtime.reports.session import session_report
from maestro_runtime.testing import end_of
from maestro_runtime.tickets.file import DIRECTORY as TICKET_DIRECTORY
from maestro_storage import Store


def killed(directory: Path, level: str, attempt: int, fails: str, failures_max: str = "50") -> None:
    """Execute in a process, and kill it when the attempt has begun."""
    pipe = compat_run.held(directory, attempt)
    process = forked.start(compat_run.main, str(directory), level, fails, failures_max)
    assert pipe.read_text() == "here"
    process.kill()
    assert end_of(process) == -signal.SIGKILL
    pipe.unlink()


def executed(directory: Path, level: str, fails: str, failures_max: str = "50") -> dict[str, Any]:
    """Execute in another process, to the end; return what it found and what came of it."""
    assert forked.run(compat_run.main, str(directory), level, fails, failures_max) == 0
    outcome: dict[str, Any] = json.loads((directory / "outcome.json").read_text())
    return outcome


def test_state_is_kept_where_the_configuration_says_and_survives_a_kill(tmp_path: Path) -> None:
    """AC-1, G-1 (nothing was persisted), G-3 (the configuration was ignored)."""
    assert str(DEFAULT_STATE_PATH) == "/var/maestro/state"

    killed(tmp_path, "1", attempt=2, fails="1")

    with Store.inspect(tmp_path / "state") as store:
        (session,) = store.sessions.scan()
        first, second = store.attempts.scan(session.session_id)
    assert session.state == "running"
    assert (first.state, first.evidence[0]) == ("failed", "work failed: rehearsed in attempt 1")
    assert second.state == "open"


def test_the_default_state_path_is_that_of_the_documents(monkeypatch: pytest.MonkeyPatch) -> None:
    """AC-1."""
    monkeypatch.delenv("MAESTRO_STATE_DIR", raising=False)

    assert StateConfig().state_dir == DEFAULT_STATE_PATH.resolve()


def test_a_new_executor_goes_on_with_what_was_interrupted(tmp_path: Path) -> None:
    """AC-2, G-2 (every start began from scratch): nobody tells it what it was doing."""
    killed(tmp_path, "1", attempt=2, fails="1")

    outcome = executed(tmp_path, "1-restore", fails="1")

    assert outcome["found"] == outcome["session_id"]
    assert outcome["found_attempts"] >= 2
    assert outcome["found_status"] == ""
    assert outcome["success"]
    assert outcome["artifacts"] == ["src/api.py"]
    assert compat_run.attempts(tmp_path) == [1, 2, 3]


def test_the_same_call_resumes_and_counts_the_attempts_made_before_the_kill(
    tmp_path: Path,
) -> None:
    """AC-4 level 1, G-5 (start, kill, see the second run resume): 3 attempts, not 3 and 3 more."""
    killed(tmp_path, "1", attempt=2, fails="1 3")

    outcome = executed(tmp_path, "1", fails="1 3")

    assert outcome["raised"] == "UnrecoverableError"
    assert outcome["attempts"] == 3
    assert compat_run.attempts(tmp_path) == [1, 2, 3]


def test_a_run_after_the_end_acknowledges_the_end(tmp_path: Path) -> None:
    """G-5: it neither tries nor pays again."""
    first = executed(tmp_path, "1", fails="1 2 3")

    second = executed(tmp_path, "1", fails="1 2 3")

    assert second["found_status"] == "failed"
    assert (second["raised"], second["text"]) == ("UnrecoverableError", first["text"])
    assert compat_run.attempts(tmp_path) == [1, 2, 3]


def test_two_levels_of_retry_hold_across_a_kill_and_end_in_one_ticket(tmp_path: Path) -> None:
    """AC-4: two rounds of three attempts, then a person."""
    killed(tmp_path, "2", attempt=4, fails="1 2 3 5 6")

    outcome = executed(tmp_path, "2", fails="1 2 3 5 6")

    assert outcome["raised"] == "HelpNeeded"
    assert outcome["attempts"] == 6
    assert compat_run.attempts(tmp_path) == [1, 2, 3, 4, 5, 6]
    (ticket,) = (tmp_path / "state" / TICKET_DIRECTORY).iterdir()
    assert str(ticket) in outcome["text"]
    with Store.inspect(tmp_path / "state") as store:
        (task,) = session_report(store, outcome["found"]).tasks
    assert task.state == "help_needed"
    assert [(row.round, row.attempt) for row in task.attempts] == [
        (1, 1),
        (1, 2),
        (1, 3),
        (2, 1),
        (2, 2),
        (2, 3),
    ]


def test_an_open_circuit_breaker_is_still_open_after_a_kill(tmp_path: Path) -> None:
    """G-4 (the breaker of the wrapper was kept nowhere)."""
    pipe = tmp_path / "breaker"
    os.mkfifo(pipe)
    process = forked.start(compat_run.main, str(tmp_path), "2", "1", "1")
    assert pipe.read_text() == "open"
    process.kill()
    assert end_of(process) == -signal.SIGKILL
    pipe.unlink()

    outcome = executed(tmp_path, "look", fails="1", failures_max="1")

    assert outcome["circuit"] == "open"
    assert compat_run.attempts(tmp_path) == [1]


def test_a_value_that_was_set_survives_a_kill(tmp_path: Path) -> None:
    """AC-1, G-1: `set_state` is durable when it returns."""
    process = forked.start(compat_run.set_and_die, str(tmp_path))

    assert end_of(process) == -signal.SIGKILL
    assert StateManager(tmp_path / "state").get_state("progress") == {"done": [1, 2]}
    close_shared_runtimes()
