import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from maestro_storage import Store, StoreOptions, StorePorts
from maestro_storage.records import SessionRecord, SessionState, TaskRecord
from maestro_storage.transition import Event, Transition


def _task_record(task_id: str, session_id: str, ordinal: int) -> TaskRecord:
    return TaskRecord(
        session_id=session_id,
        task_id=task_id,
        phase="phase",
        persona_id="persona",
        engine="rehearsal",
        state="running",
        waits_for="call",
        ordinal=ordinal,
    )


@pytest.fixture
def make_session() -> Callable[..., Transition]:
    """Return a function that starts a session: record, task, payload, event."""

    def make(
        session_id: str = "s-1",
        state: SessionState = "running",
        *,
        finished_ms: int | None = None,
        payload: bytes = b"team",
    ) -> Transition:
        transition = Transition()
        record = SessionRecord(
            session_id=session_id,
            state=state,
            team_name="team",
            team=transition.payload(session_id, payload),
            output_dir="/out",
            input_dir=None,
            created_ms=0,
            updated_ms=0,
            finished_ms=finished_ms,
        )
        transition.put(record)
        transition.put(_task_record("task-0", session_id, 0))
        transition.event(Event(session_id, "session_started", 0))
        return transition

    return make


@pytest.fixture
def make_task() -> Callable[..., Transition]:
    """Return a function that changes one task and says so in the history."""

    def make(number: int, session_id: str = "s-1") -> Transition:
        transition = Transition()
        transition.put(_task_record(f"task-{number:06}", session_id, number))
        transition.event(Event(session_id, "attempt_started", number, f"task-{number:06}"))
        return transition

    return make


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def open_store(state: Path) -> Iterator[Callable[..., Store]]:
    """Return a function that opens the store in `state`; closed after the test."""
    with contextlib.ExitStack() as opened:

        def open_one(options: StoreOptions | None = None, **ports: Any) -> Store:
            options = options or StoreOptions(ballast_bytes=64 << 10)
            return opened.enter_context(
                Store.open(state, options=options, ports=StorePorts(**ports))
            )

        yield open_one


@pytest.fixture
def start_child() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a Python program with arguments; its stdin and stdout are pipes. Killed at the end."""
    children: list[subprocess.Popen[str]] = []

    def start(program: str, *arguments: str) -> subprocess.Popen[str]:
        child = subprocess.Popen(
            [sys.executable, "-c", program, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        children.append(child)
        return child

    yield start
    for child in children:
        child.kill()
        child.communicate()
