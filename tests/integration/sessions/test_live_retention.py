"""Sessions that are not to be kept any more go while the runtime works."""

from dataclasses import replace
from pathlib import Path

import pytest

from held_work import BOUND_SECONDS, gated_team
from maestro_runtime import Runtime, RuntimeOptions, SessionOrder
from maestro_runtime.testing import ScriptedEngine, Work
from maestro_runtime.verbs import _hosting
from maestro_storage import RetentionPolicy, StoreOptions


@pytest.fixture
def options(options: RuntimeOptions) -> RuntimeOptions:
    return replace(options, store=StoreOptions(retention=RetentionPolicy(sessions_max=1)))


def ended(runtime: Runtime, tmp_path: Path, *names: str) -> None:
    """Run sessions to their end, one after the other."""
    for name in names:
        runtime.run(SessionOrder(gated_team(), name, tmp_path / name)).result(BOUND_SECONDS)


def on_record(runtime: Runtime) -> set[str]:
    return {record.session_id for record in runtime.store.sessions.scan()}


def test_the_oldest_sessions_that_have_ended_go_and_what_runs_stays(
    runtime: Runtime, gate: ScriptedEngine, tmp_path: Path
) -> None:
    running = runtime.run(SessionOrder(gated_team(), "running", tmp_path / "running"))
    gate.wait_for_calls(1)
    gate.otherwise = Work()
    ended(runtime, tmp_path, "a", "b", "c")

    assert runtime.hosting.retain() == ["a", "b"]

    assert on_record(runtime) == {"running", "c"}
    assert (tmp_path / "a" / "a1.md").exists()
    gate.release()
    assert running.result(BOUND_SECONDS).state == "done"


def test_what_is_not_kept_is_left_for_later_when_the_runtime_is_to_end(
    runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_hosting, "DROPPED_AT_ONCE", 1)
    ended(runtime, tmp_path, "a", "b", "c")
    asked = iter((True, False))

    assert runtime.hosting.retain(lambda: next(asked)) == ["a"]

    assert on_record(runtime) == {"b", "c"}


def test_a_name_that_is_free_again_can_be_given_again(tmp_path: Path, runtime: Runtime) -> None:
    ended(runtime, tmp_path, "a", "b")
    runtime.hosting.retain()

    ended(runtime, tmp_path, "a")

    assert on_record(runtime) == {"a", "b"}
