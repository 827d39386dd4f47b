"""What is logged in the middle of a session says of which session, task, attempt and call."""

import logging
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from daemon_team import TEAM
from maestro_actors.whereabouts import whereabouts
from maestro_runtime import Runtime, SessionOrder
from maestro_runtime.engines import Task

PLACES: list[tuple[str, dict[str, str | int]]] = []


class Places(logging.Handler):
    """Notes where a record was made, as the formatter of the logs does."""

    def emit(self, record: logging.LogRecord) -> None:
        PLACES.append((record.name, whereabouts()))


@pytest.fixture(autouse=True)
def places() -> Iterator[None]:
    handler = Places()
    logging.getLogger().addHandler(handler)
    yield
    logging.getLogger().removeHandler(handler)
    PLACES.clear()


def work(task: Task) -> None:
    """Log something in a thread of the engine, then do the work."""
    logging.getLogger("persona").warning("at work")
    Path(task.workspace, "note.md").write_text("done", encoding="utf-8")


def test_a_persona_that_logs_says_which_call_it_works_on(runtime: Runtime, tmp_path: Path) -> None:
    persona = msgspec.structs.replace(
        TEAM.personas["dev"], engine="python", callable=f"{__name__}:work"
    )
    runtime.registry.get("python")
    team = msgspec.structs.replace(TEAM, personas={"dev": persona})

    session = runtime.run(SessionOrder(team, "s-1", tmp_path / "out"))
    session.result(20)

    (attempt,) = runtime.store.attempts.scan("s-1")
    assert ("persona", place_of(attempt.call_id)) in PLACES


def test_a_bug_in_a_persona_is_logged_with_its_task(
    runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_once(monkeypatch)

    session = runtime.run(SessionOrder(TEAM, "s-1", tmp_path / "out"))
    session.result(20)

    (place,) = [place for name, place in PLACES if name == "maestro_actors.kernel._actor"]
    attempt = next(runtime.store.attempts.scan("s-1"))
    assert place == place_of(attempt.call_id)


def place_of(call_id: bytes) -> dict[str, str | int]:
    return {
        "session_id": "s-1",
        "task_id": "c1",
        "round": 1,
        "attempt": 1,
        "call_id": call_id.hex(),
    }


def fail_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the persona raise when its first attempt is closed."""
    from maestro_actors.tasks.persona import Persona  # noqa: PLC0415 - patched here alone

    close = Persona._close

    def failing(_self: Persona, _outcome: object) -> None:
        monkeypatch.setattr(Persona, "_close", close)
        raise RuntimeError("a bug")

    monkeypatch.setattr(Persona, "_close", failing)
