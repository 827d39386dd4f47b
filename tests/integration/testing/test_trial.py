"""The test kit: what a test says happens, and nothing else."""

import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from maestro_actors.engine import Usage
from maestro_actors.team import RetryPolicy
from maestro_runtime.engines import EngineResult, Permanent, RateLimited, Transient
from maestro_runtime.testing import (
    Hold,
    NeverStill,
    NothingHeld,
    NothingMoves,
    RuntimeDied,
    ScriptedEngine,
    TooFewCalls,
    TrialError,
    TrialRuntime,
    Work,
    open_trial,
    scripted,
    simple_team,
)

BOUND_SECONDS = 20.0

pytest_plugins = ["maestro_runtime.testing.fixtures"]

LINE = simple_team({"a": ("a1",), "b": ("b1",)})
TWO = simple_team({"a": ("a1", "a2"), "b": ("b1",)})


def test_a_script_is_used_up_in_order_and_what_is_asked_is_recorded(trial: TrialRuntime) -> None:
    usage = EngineResult(usage=Usage(input_tokens=7, output_tokens=1))
    trial.engine.script("dev", Transient("first"), Work({"note.md": "second"}, usage))

    report = trial.run(simple_team())

    assert [attempt.state for attempt in report.tasks[0].attempts] == ["failed", "ok"]
    assert (trial.directory / "s-1" / "note.md").read_text() == "second"
    assert report.tokens_used == 8
    assert [order.attempt for order in trial.engine.orders] == [1, 2]
    assert "engine failed: first" in trial.engine.orders[1].feedback


class Seen(threading.Condition):
    """The lock of an engine; notes what others may see each time it is given back."""

    def __init__(self, engine: ScriptedEngine) -> None:
        super().__init__()
        self.begun_and_held: set[tuple[int, int]] = set()
        self._engine = engine

    def __exit__(self, *args: object) -> None:
        fields = vars(self._engine)
        self.begun_and_held.add((len(fields["_orders"]), len(fields["_held"])))
        super().__exit__(*args)  # type: ignore[arg-type] # what it is given


def test_a_call_that_has_begun_for_all_to_see_can_be_released(trial: TrialRuntime) -> None:
    engine = trial.engine
    seen = vars(engine)["_changed"] = Seen(engine)
    engine.otherwise = Hold()
    trial.start(simple_team({"a": ("a1", "a2", "a3")}, workers=3))

    engine.wait_for_calls(3)

    assert seen.begun_and_held <= {(number, number) for number in range(4)}


def test_the_script_of_a_task_goes_before_that_of_its_persona(trial: TrialRuntime) -> None:
    trial.engine.script("dev", Permanent("persona"))
    trial.engine.script("a2", Permanent("task"))

    report = trial.run(simple_team({"a": ("a1", "a2")}, workers=1))

    assert [task.attempts[0].evidence[0] for task in report.tasks] == [
        "call cannot succeed: persona",
        "call cannot succeed: task",
    ]


def test_hours_of_back_off_pass_without_waiting(trial: TrialRuntime) -> None:
    trial.engine.script("note", *[RateLimited("later", None, 3600.0)] * 2)

    assert trial.run(simple_team()).state == "done"
    assert 7200 <= trial.clock.monotonic() < 8000


def test_time_passes_by_as_much_as_is_said(trial: TrialRuntime) -> None:
    trial.engine.script("note", Transient("once"))
    trial.start(simple_team(retry=RetryPolicy(backoff_seconds=60.0, backoff_max_seconds=60.0)))

    trial.pass_time(20)
    assert len(trial.engine.orders) == 1
    trial.pass_time(60)

    assert len(trial.engine.orders) == 2
    assert trial.clock.monotonic() == 80


def test_a_held_call_is_in_flight_until_it_is_released(trial: TrialRuntime) -> None:
    trial.engine.otherwise = Hold()
    trial.start(TWO)
    trial.rest()
    assert {order.task_id for order in trial.engine.held} == {"a1", "a2"}

    trial.engine.release("a2")
    trial.rest()
    assert [task.state for task in trial.report().tasks] == ["running", "done", "queued"]
    trial.engine.release(trial.engine.held[0].call_id)
    trial.rest()
    trial.engine.release()

    assert trial.finish().state == "done"
    assert trial.events()[-1].kind == "session_done"


def test_a_session_that_only_a_test_can_bring_on_is_said_to_stand_still(
    trial: TrialRuntime,
) -> None:
    trial.engine.otherwise = Hold()
    trial.start(simple_team())

    with pytest.raises(NothingMoves, match="'note' waits for attempt 1 of round 1, in flight"):
        trial.finish()


def test_a_deaf_call_keeps_nobody_waiting_at_the_end(trial: TrialRuntime) -> None:
    trial.engine.otherwise = Hold(deaf=True)
    trial.start(simple_team())
    trial.rest()
    trial.runtime.pause("s-1", interrupt=True)
    trial.rest()

    assert trial.engine.held
    trial.restart()
    trial.engine.otherwise = Work()

    trial.runtime.resume("s-1")
    assert trial.finish().state == "done"


def test_a_call_that_was_told_to_stop_is_waited_for_though_its_loop_has_not_looked(
    trial: TrialRuntime,
) -> None:
    trial.engine.otherwise = Hold()
    trial.start(simple_team())
    trial.rest()
    looks = threading.Event()
    host = vars(trial.runtime)["_engines"].host
    vars(host)["_loop"].call_soon_threadsafe(looks.wait, BOUND_SECONDS)

    trial.runtime.cancel("s-1")
    with ThreadPoolExecutor(1) as other:
        rested = other.submit(trial.rest)
        with pytest.raises(TimeoutError):
            rested.result(0.2)
        looks.set()
        rested.result(BOUND_SECONDS)

    assert trial.report().state == "cancelled"


def test_a_crash_loses_calls_in_flight_and_keeps_what_was_durable(trial: TrialRuntime) -> None:
    trial.engine.script("a2", Hold())
    trial.start(TWO)
    trial.rest()
    epoch = trial.runtime.store.epoch

    trial.restart()
    assert trial.engine.held == []
    report = trial.run(TWO)

    assert trial.runtime.store.epoch == epoch + 1
    assert [len(task.attempts) for task in report.tasks] == [1, 2, 1]
    assert report.tasks[1].attempts[0].state == "interrupted"


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_crash_at_any_commit_repeats_only_what_was_in_flight(tmp_path: Path, when: str) -> None:
    for commit in range(1, 40):
        with open_trial(tmp_path / str(commit)) as trial:
            if not trial.crashes_at(commit, lambda: trial.run(LINE), when):  # type: ignore[arg-type]
                break
            done = {
                task.task_id
                for task in trial.runtime.store.tasks.scan("s-1")
                if task.state == "done"
            }
            asked = len(trial.engine.orders)
            assert trial.run(LINE).state == "done"
            assert done.isdisjoint(order.task_id for order in trial.engine.orders[asked:])
    assert 8 < commit < 40


def test_who_died_is_not_waited_for(trial: TrialRuntime) -> None:
    trial.death.arm(3)

    with pytest.raises(RuntimeDied):
        trial.run(TWO)


def test_what_is_not_there_is_named(trial: TrialRuntime, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NothingHeld, match="no call of 'note' is held"):
        trial.engine.release("note")
    monkeypatch.setattr(scripted, "BOUND_SECONDS", 0.01)
    with pytest.raises(TooFewCalls):
        ScriptedEngine().wait_for_calls(1)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (TooFewCalls(2, 1), "calls begun must come to 2 in time, got 1"),
        (NothingHeld(None), "no call is held"),
        (NothingHeld("note"), "no call of 'note' is held"),
        (NothingMoves("s-1", ("a", "b")), "session 's-1' does not move on: a; b"),
        (NeverStill(20.0), "the runtime must come to rest within 20 s"),
        (RuntimeDied(3), "the runtime has died at commit 3"),
    ],
)
def test_an_error_says_what_it_is_about_and_survives_pickling(error: TrialError, text: str) -> None:
    assert str(error) == str(pickle.loads(pickle.dumps(error))) == text  # noqa: S301 - our own
