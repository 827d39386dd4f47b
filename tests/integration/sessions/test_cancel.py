"""Cancelling a session: while its tasks run, while they wait, while nobody runs it."""

import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import msgspec
import pytest

from held_work import BOUND_SECONDS, called, gated_team, kinds, states
from maestro_actors.checks import Command
from maestro_actors.errors import HelpNotAwaited, VerbRefused
from maestro_actors.help.answer import Answer
from maestro_actors.identity import coordinator_address
from maestro_actors.team import CommandSpec, RetryPolicy
from maestro_actors.verbs.wish import Asked, wished
from maestro_runtime import Runtime, RuntimeOptions, SessionOrder, open_runtime
from maestro_runtime.engines.driver import Driver
from maestro_runtime.testing import Hold, ScriptedEngine, Work
from maestro_runtime.verbs import SessionVerbs
from maestro_storage import Store, _journal
from maestro_storage.errors import NotFound
from maestro_storage.records import EventRecord

STUBBORN = """
import json, os, signal, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
report = {"usage": {"input_tokens": 70, "output_tokens": 5}}
with open(os.environ["MAESTRO_RESULT"], "w") as file:
    json.dump(report, file)
open(sys.argv[1], "w").close()
while True:
    signal.pause()
"""


def hold_end(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> tuple[threading.Event, threading.Event]:
    """Hold whoever tells that a session is cancelled; return what says so, and what lets go."""
    # So that the thread of the journal tells it, and the coordinator can go meanwhile.
    monkeypatch.setattr(_journal, "QUICK_SECONDS", -1.0)
    told, go_on = threading.Event(), threading.Event()

    def hold(event: EventRecord) -> None:
        if event.kind == "session_cancelled":
            told.set()
            assert go_on.wait(BOUND_SECONDS)

    runtime.subscribe(hold)
    return told, go_on


def test_engines_in_flight_are_stopped_and_all_that_has_not_ended_is_cancelled(
    runtime: Runtime, gated: SessionOrder, gate: ScriptedEngine
) -> None:
    runtime.run(gated)
    gate.wait_for_calls(1)
    gate.release()
    gate.wait_for_calls(2)

    report = runtime.cancel("s-1", reason="wrong team").result(BOUND_SECONDS)

    assert (report.state, report.wish) == ("cancelled", "run")
    assert states(report) == ["done", "cancelled", "cancelled", "cancelled"]
    assert [attempt.state for attempt in report.tasks[1].attempts] == ["interrupted"]
    assert {task.waits_for for task in report.tasks} == {"nothing"}
    assert all(call.state != "open" for call in runtime.store.calls.scan("s-1"))
    assert not list(runtime.store.outbox.scan("s-1")), "nobody is to be asked for help"
    before = kinds(runtime)
    assert before[-1] == "session_cancelled"
    assert runtime.cancel("s-1").result(BOUND_SECONDS).state == "cancelled"
    assert runtime.resume("s-1").result(BOUND_SECONDS).state == "cancelled"
    assert kinds(runtime) == before
    with pytest.raises(VerbRefused, match="cannot pause session 's-1'"):
        runtime.pause("s-1")


def test_an_engine_that_does_not_stop_is_waited_for_until_the_earlier_of_two_deadlines(
    runtime: Runtime, gated: SessionOrder, gate: ScriptedEngine
) -> None:
    gate.otherwise = Hold(deaf=True)
    runtime.run(gated)
    gate.wait_for_calls(1)

    session = runtime.cancel("s-1", deadline_seconds=500.0)
    first = runtime.store.require_session("s-1").wish_deadline_ms
    runtime.cancel("s-1", deadline_seconds=900.0)
    assert runtime.store.require_session("s-1").wish_deadline_ms == first
    with pytest.raises(VerbRefused, match="about to be cancelled"):
        runtime.pause("s-1")
    runtime.cancel("s-1", deadline_seconds=0.0)
    report = session.result(BOUND_SECONDS)

    assert report.state == "cancelled"
    assert report.tasks[0].attempts[0].state == "interrupted"
    assert "did not stop when it was to" in " ".join(report.tasks[0].attempts[0].evidence)
    gate.stop()


@pytest.fixture
def lasting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs have for ever to end, unless a deadline says otherwise."""
    lasting = partial(Driver, grace_seconds=2 * BOUND_SECONDS)
    monkeypatch.setattr("maestro_runtime.engines.registry.Driver", lasting)


@pytest.mark.usefixtures("lasting")
def test_a_program_that_ignores_its_end_is_killed_at_the_deadline_and_what_it_used_is_booked(
    runtime: Runtime, tmp_path: Path
) -> None:
    program = tmp_path / "stubborn.py"
    program.write_text(STUBBORN)
    begun = tmp_path / "begun"
    os.mkfifo(begun)
    command = CommandSpec(argv=(sys.executable, str(program), str(begun)))
    team = gated_team(engine="command", command=command)
    runtime.run(SessionOrder(team, "s-1", tmp_path / "out"))
    # Ends when the program opens it.
    begun.read_bytes()

    report = runtime.cancel("s-1", deadline_seconds=0.2).result(BOUND_SECONDS)

    assert report.state == "cancelled"
    (call,) = runtime.store.calls.scan("s-1")
    assert (call.state, call.input_tokens, call.output_tokens) == ("settled", 70, 5)
    assert not Path(f"/proc/{call.pid}").exists()


def test_a_session_that_is_removed_while_somebody_goes_on_with_it_is_gone_and_no_other(
    runtime: Runtime, gated: SessionOrder, gate: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, go_on = hold_end(runtime, monkeypatch)
    runtime.run(gated)
    gate.wait_for_calls(1)
    with ThreadPoolExecutor(1) as pool:
        runtime.remove("s-1", cancel=True)
        assert told.wait(BOUND_SECONDS)
        runtime.system.stop(coordinator_address("s-1")).get(timeout=BOUND_SECONDS)
        # As one who has looked at its record before that was final.
        started = pool.submit(runtime.part(SessionVerbs).start, "s-1", gated.team)
        go_on.set()
        error = started.exception(BOUND_SECONDS)

    assert isinstance(error, NotFound)
    gate.otherwise = Work()
    again = runtime.run(replace(gated, session_id="s-2"))
    assert again.result(BOUND_SECONDS).state == "done"


def test_an_end_that_is_not_told_yet_is_waited_for_with_the_removal_that_follows_it(
    runtime: Runtime, gated: SessionOrder, gate: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, go_on = hold_end(runtime, monkeypatch)
    runtime.run(gated)
    gate.wait_for_calls(1)
    runtime.remove("s-1", cancel=True)
    assert told.wait(BOUND_SECONDS)

    session = runtime.cancel("s-1")
    seen = session.report().state, session.rests
    go_on.set()

    assert seen == ("cancelled", False)
    with pytest.raises(NotFound):
        session.result(BOUND_SECONDS)


def test_whoever_opens_a_copy_of_the_state_leaves_the_programs_of_the_original_alone(
    runtime: Runtime, tmp_path: Path
) -> None:
    begun = tmp_path / "begun"
    os.mkfifo(begun)
    program = 'echo $$ > "$0"; exec sleep 1000'
    team = gated_team(
        engine="command", command=CommandSpec(argv=("/bin/sh", "-c", program, str(begun)))
    )
    runtime.run(SessionOrder(team, "s-1", tmp_path / "out"))
    pid = int(begun.read_text())
    runtime.store.backup(tmp_path / "copy")

    open_runtime(tmp_path / "copy").close()

    # A zombie has no descriptors any more.
    assert list(Path(f"/proc/{pid}/fd").iterdir())
    assert runtime.cancel("s-1", deadline_seconds=0.2).result(BOUND_SECONDS).state == "cancelled"


POLITE = """
import json, os, signal, sys
def end(*_):
    open(sys.argv[2]).close()
    with open(os.environ["MAESTRO_RESULT"], "w") as file:
        json.dump({"usage": {"input_tokens": 70}}, file)
    sys.exit()
signal.signal(signal.SIGTERM, end)
open(sys.argv[1], "w").close()
while True:
    signal.pause()
"""

CHECKING = """
import os, signal, sys
def end(*_):
    open(sys.argv[2]).close()
    open(sys.argv[3], "w").close()
    sys.exit()
signal.signal(signal.SIGTERM, end)
with open(sys.argv[1], "w") as begun:
    begun.write(str(os.getpid()))
while True:
    signal.pause()
"""


@pytest.mark.parametrize(("deadline_seconds", "ends"), [(20.0, True), (0.0, False)])
def test_a_program_has_until_the_deadline_to_come_to_its_own_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, deadline_seconds: float, ends: bool
) -> None:
    # What a program has by itself must not be what saves it here.
    monkeypatch.setattr("maestro_runtime.engines.registry.Driver", partial(Driver, grace_seconds=0))
    program = tmp_path / "polite.py"
    program.write_text(POLITE)
    begun, may_end = tmp_path / "begun", tmp_path / "may_end"
    os.mkfifo(begun)
    os.mkfifo(may_end)
    command = CommandSpec(argv=(sys.executable, str(program), str(begun), str(may_end)))
    team = gated_team(engine="command", command=command)

    with open_runtime(tmp_path / "state") as runtime:
        runtime.run(SessionOrder(team, "s-1", tmp_path / "out"))
        begun.read_bytes()
        session = runtime.cancel("s-1", deadline_seconds=deadline_seconds)
        if ends:
            may_end.write_bytes(b"")
        report = session.result(BOUND_SECONDS)
        (call,) = runtime.store.calls.scan("s-1")

    assert report.state == "cancelled"
    # What it reports as its last deed, or else an estimate.
    assert (call.input_tokens == 70) == ends


@pytest.mark.parametrize(("deadline_seconds", "ends"), [(20.0, True), (0.0, False)])
def test_the_program_of_a_check_has_until_the_deadline_too(
    tmp_path: Path, runtime: Runtime, deadline_seconds: float, ends: bool
) -> None:
    program = tmp_path / "check.py"
    program.write_text(CHECKING)
    begun, may_end, ended = (tmp_path / name for name in ("begun", "may_end", "ended"))
    os.mkfifo(begun)
    os.mkfifo(may_end)
    check = Command(argv=(sys.executable, str(program), *map(str, (begun, may_end, ended))))
    team = gated_team()
    contracts = tuple(msgspec.structs.replace(item, checks=(check,)) for item in team.contracts)
    team = msgspec.structs.replace(team, contracts=contracts)
    runtime.run(SessionOrder(team, "s-1", tmp_path / "out"))
    pid = int(begun.read_text())

    session = runtime.cancel("s-1", deadline_seconds=deadline_seconds)
    if ends:
        may_end.write_bytes(b"")
    report = session.result(BOUND_SECONDS)

    assert report.state == "cancelled"
    assert not Path(f"/proc/{pid}").exists()
    assert ended.exists() == ends


def test_a_deadline_has_a_bound(runtime: Runtime, gated: SessionOrder) -> None:
    runtime.create(gated)
    before_ms = runtime.system.clock.now_ms()

    runtime.cancel("s-1", deadline_seconds=float("inf")).result(BOUND_SECONDS)

    (asked,) = [e for e in runtime.store.events.scan("s-1") if e.kind == "cancel_asked"]
    assert 0 <= int(asked.data["deadline_ms"] or 0) - before_ms - 86_400_000 < BOUND_SECONDS * 1000


def test_a_session_that_waits_or_is_paused_is_cancelled_at_once(
    runtime: Runtime, tmp_path: Path, gate: ScriptedEngine
) -> None:
    retry = RetryPolicy(max_attempts=3, backoff_seconds=600.0, backoff_max_seconds=600.0)
    team = gated_team(retry=retry, workers=2)
    runtime.run(SessionOrder(team, "s-1", tmp_path / "out"))
    gate.wait_for_calls(2)
    # Both first: which of the two calls began first, and so goes first, is not known.
    for name in ("a1", "a2"):
        (tmp_path / "out" / f"{name}.md").mkdir()
    for _ in range(2):
        gate.release()
    runtime.pause("s-1").result(BOUND_SECONDS)

    report = runtime.cancel("s-1").result(BOUND_SECONDS)

    assert (report.state, report.pause_reason) == ("cancelled", "")
    assert states(report) == ["cancelled"] * 4
    assert {task.deadline_ms for task in report.tasks} == {None}


def test_a_session_that_waits_for_a_person_is_cancelled_and_takes_no_answer(
    runtime: Runtime, tmp_path: Path, gate: ScriptedEngine
) -> None:
    team = gated_team(give_up_on_failure=False)
    session = runtime.run(SessionOrder(team, "s-1", tmp_path / "out"))
    gate.wait_for_calls(1)
    (tmp_path / "out" / "a1.md").mkdir()
    gate.release()
    gate.wait_for_calls(2)
    gate.release()
    assert session.result(BOUND_SECONDS).state == "help_needed"

    report = runtime.cancel("s-1").result(BOUND_SECONDS)

    assert report.state == "cancelled"
    assert states(report) == ["cancelled", "done", "cancelled", "cancelled"]
    with pytest.raises(HelpNotAwaited, match="it is 'cancelled'"):
        runtime.answer("s-1", "a1", Answer(decision="retry"))


def test_a_wish_that_was_durable_before_a_crash_is_granted_instead_of_going_on(
    tmp_path: Path, options: RuntimeOptions, gated: SessionOrder, gate: ScriptedEngine
) -> None:
    with open_runtime(tmp_path / "state", options) as runtime:
        runtime.run(gated)
        gate.wait_for_calls(1)
    with Store.open(tmp_path / "state") as store:
        _, draft = wished(store.require_session("s-1"), Asked(wish="cancel"), 1, store.epoch)
        store.journal.commit(draft).result()

    with open_runtime(tmp_path / "state", options) as runtime:
        report = runtime.resume("s-1").result(BOUND_SECONDS)

    assert report.state == "cancelled"
    assert len(called(gate)) == 1
