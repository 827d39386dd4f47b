"""A coordinator that fails by a bug is followed by another, which begins with the records."""

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from held_commits import HeldCommits
from maestro_actors.engine import CallOrder, Estimate
from maestro_actors.help.posting import posting_id_of_session
from maestro_actors.identity import coordinator_address, persona_address
from maestro_actors.kernel import VirtualClock
from maestro_actors.messages import Flushed, SuccessionRecorded
from maestro_actors.proxy import encoded
from maestro_actors.sessions.coordinator import SUPERVISION
from maestro_actors.sessions.succession import FAILURES_MAX, Tenure, noted, set_aside
from maestro_actors.tasks.persona_proxy import PersonaProxy
from maestro_actors.team import BreakerPolicy
from maestro_actors.verbs.wish import REASON_CHARS_MAX, Asked, wished
from maestro_runtime.ports.memory import StoreMemory
from maestro_storage.errors import RecordDamaged, StorageError, StoreFailed
from maestro_storage.records import SessionRecord, SessionState, TaskRecord, TaskState
from maestro_storage.transition import Transition
from staging import (
    BOUND_SECONDS,
    NO_WAIT,
    SESSION,
    TRANSIENT,
    Stage,
    changed_retry,
    contract,
    open_stage,
    team,
)

ADDRESS = coordinator_address(SESSION)
WANTED = team(contract("c1"), contract("c2", after=("c1",)))


@pytest.fixture
def supervised(stage: Stage) -> Stage:
    """A stage whose coordinator is followed by others, and whose calls are held."""
    stage.supervision = SUPERVISION
    stage.engines.held = True
    return stage


def fail(stage: Stage) -> None:
    """Have the coordinator fail in the middle of its work."""
    stage.system.deliver(ADDRESS, b"\xc1 is no message")


def take_back_the_pause(stage: Stage) -> None:
    session = stage.store.require_session(SESSION)
    _, draft = wished(session, Asked(wish="run"), stage.clock.now_ms(), stage.store.epoch)
    stage.store.journal.commit(draft).result(BOUND_SECONDS)


def test_what_is_in_flight_ends_as_after_a_crash_and_the_session_goes_on(
    supervised: Stage,
) -> None:
    stage = supervised
    stage.create(WANTED)
    stage.run(WANTED)
    stage.engines.wait_for_calls(1)
    stage.engines.held = False

    fail(stage)
    stage.advance_until("session_done")

    (told,) = stage.wait_for("coordinator_failed")
    assert told.data["failures"] == 1
    assert str(told.data["error"]).startswith("DecodeError: ")
    assert [row.state for row in stage.attempts()] == ["interrupted", "ok"]
    calls = {call.call_id: call.state for call in stage.store.calls.scan(SESSION)}
    assert sorted(calls.values()) == ["lost", "settled", "settled"]
    assert stage.escalations == []


def test_a_task_that_ends_as_its_persona_is_sent_away_has_ended(supervised: Stage) -> None:
    stage = supervised
    stage.create(WANTED)
    stage.run(WANTED)
    (call,) = stage.engines.wait_for_calls(1)
    persona = persona_address(SESSION, "c1")
    stage.system.control(persona, "suspend")
    # It has an answer to read first, and then its order to go.
    stage.engines.finish(call.call_id)
    stage.engines.held = False

    fail(stage)
    assert stage.coordinator.status().get(timeout=BOUND_SECONDS).in_flight == 0
    stage.system.control(persona, "resume")

    stage.wait_for("session_done")
    assert [row.state for row in stage.attempts()] == ["ok"]


def test_a_session_whose_coordinator_fails_each_time_is_set_aside_and_can_be_resumed(
    supervised: Stage,
) -> None:
    stage, wanted = supervised, changed_retry(WANTED, NO_WAIT)
    stage.create(wanted)
    stage.open_help_desk()
    stage.run(wanted)
    for count in range(1, FAILURES_MAX + 1):
        stage.engines.wait_for_calls(count)
        fail(stage)

    stage.wait_for("session_paused")

    session = stage.store.require_session(SESSION)
    assert (session.state, session.failures, session.set_aside) == ("paused", 0, True)
    (posting,) = stage.tickets.wait_for_postings(1)
    assert posting.ticket.evidence == (session.pause_reason,)
    assert posting.posting_id == posting_id_of_session(session)
    assert session.pause_reason.startswith(
        "set aside: its coordinator failed 3 times without progress: DecodeError: "
    )
    assert [event.data["failures"] for event in stage.wait_for("coordinator_failed")] == [1, 2, 3]
    # What was in flight is killed, and settled by who takes the session up.
    with pytest.raises(KeyError):
        stage.engines.finish(stage.engines.started[-1].call_id)
    assert [row.state for row in stage.attempts()] == ["interrupted", "interrupted", "open"]
    stage.system.stop(ADDRESS).get(timeout=BOUND_SECONDS)
    stage.engines.held = False
    take_back_the_pause(stage)
    assert not stage.store.require_session(SESSION).set_aside
    stage.coordinate(wanted)
    stage.advance_until("session_done")
    calls = [call.state for call in stage.store.calls.scan(SESSION)]
    assert sorted(calls) == ["lost", "lost", "lost", "settled", "settled"]


def test_failures_count_only_without_progress_in_between(supervised: Stage) -> None:
    stage = supervised
    chain = [
        contract("c0"),
        *(contract(f"c{n + 1}", after=(f"c{n}",)) for n in range(FAILURES_MAX)),
    ]
    wanted = changed_retry(team(*chain), NO_WAIT)
    stage.create(wanted)
    stage.run(wanted)
    for count in range(FAILURES_MAX):
        # The first, or what was begun again; then the one after it.
        stage.engines.finish(stage.engines.wait_for_calls(2 * count + 1)[-1].call_id)
        stage.engines.wait_for_calls(2 * count + 2)
        fail(stage)

    told = stage.wait_for("coordinator_failed", FAILURES_MAX)

    assert [event.data["failures"] for event in told] == [1] * FAILURES_MAX


def test_one_that_fails_at_its_start_is_followed_as_well(supervised: Stage) -> None:
    stage = supervised
    stage.create(WANTED)
    session = stage.store.require_session(SESSION)
    draft = Transition()
    draft.put(msgspec.structs.replace(session, rerun_from="nowhere"))
    stage.store.journal.commit(draft).result(BOUND_SECONDS)

    stage.run(WANTED)
    stage.wait_for("session_paused")

    told = stage.wait_for("coordinator_failed", FAILURES_MAX)
    assert {event.data["error"] for event in told} == {"NotFound: no such phase: 's-1/nowhere'"}
    assert stage.engines.started == []


def test_one_that_is_halted_when_it_fails_is_followed_by_one_that_begins_nothing(
    supervised: Stage,
) -> None:
    stage = supervised
    stage.create(WANTED)
    stage.run(WANTED)
    stage.engines.wait_for_calls(1)
    ref = stage.system.ref(ADDRESS)
    assert ref is not None

    stage.coordinator.halt().get(timeout=BOUND_SECONDS)
    fail(stage)

    assert ref.actor_stopped.wait(BOUND_SECONDS)
    stage.wait_for("coordinator_failed")
    assert len(stage.engines.started) == 1
    assert stage.store.require_session(SESSION).state == "running"


def test_orders_in_between_are_not_taken_but_it_says_where_it_stands(
    supervised: Stage,
) -> None:
    stage = supervised
    stage.create(WANTED)
    stage.run(WANTED)
    stage.engines.wait_for_calls(1)
    persona = persona_address(SESSION, "c1")
    # Its successor waits for this one to go.
    stage.system.control(persona, "suspend")
    fail(stage)
    coordinator = stage.coordinator

    asked = coordinator.wish(Asked(wish="pause")).get(timeout=BOUND_SECONDS)
    tried = coordinator.retry("c1").get(timeout=BOUND_SECONDS)
    ran = coordinator.run_phases(("build",)).get(timeout=BOUND_SECONDS)
    taken = coordinator.take_checkpoint("now").get(timeout=BOUND_SECONDS)
    status = coordinator.status().get(timeout=BOUND_SECONDS)
    halted = coordinator.halt().get(timeout=BOUND_SECONDS)
    ref = stage.system.ref(ADDRESS)
    assert ref is not None

    assert [order.taken for order in (asked, tried, ran, taken)] == [False] * 4
    assert (status.state, status.in_flight, status.tasks) == ("running", 0, ())
    assert halted == status
    stage.system.control(persona, "resume")
    stage.wait_for("coordinator_failed")
    assert stage.store.require_session(SESSION).wish == "run"
    # Halted as it is, it goes.
    assert ref.actor_stopped.wait(BOUND_SECONDS)


def test_a_probe_whose_answer_finds_nobody_is_given_back(
    supervised: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = supervised
    stage.engines.held = False
    stage.engines.outcomes.append(TRANSIENT)
    # The first call uses 10 tokens of these: the breaker admits the second, the budget does not.
    wanted = team(token_budget=105)
    stage.create(wanted)
    session = stage.store.require_session(SESSION)
    draft = Transition()
    draft.put(msgspec.structs.replace(session, failures=FAILURES_MAX - 1))
    stage.store.journal.commit(draft).result(BOUND_SECONDS)
    stage.run(wanted, BreakerPolicy(failures_max=1))
    stage.advance_until("task_waiting")
    estimate = stage.engines.estimate

    def fails_meanwhile(order: CallOrder) -> Estimate:
        fail(stage)
        return estimate(order)

    monkeypatch.setattr(stage.engines, "estimate", fails_meanwhile)

    stage.advance_until("session_paused")

    # Half open it would refuse every call of every session, for ever.
    assert stage.breaker.status().get(timeout=BOUND_SECONDS).state == "open"


def test_a_call_that_is_taken_over_ends_by_the_deadline_of_the_cancel(supervised: Stage) -> None:
    stage = supervised
    stage.engines.clinging = True
    stage.create(WANTED)
    stage.run(WANTED)
    (call,) = stage.engines.wait_for_calls(1)
    deadline_ms = stage.clock.now_ms() + 60_000
    # Before it can tell anybody: that it is wished is on record, and nothing else is done about it.
    stage.system.control(ADDRESS, "suspend")
    session = stage.store.require_session(SESSION)
    asked = Asked(wish="cancel", deadline_ms=deadline_ms)
    _, draft = wished(session, asked, stage.clock.now_ms(), stage.store.epoch)
    stage.store.journal.commit(draft).result(BOUND_SECONDS)
    fail(stage)
    stage.system.control(ADDRESS, "resume")
    stage.wait_for("coordinator_failed")
    settle(stage)

    assert stage.engines.cancelled == [(call.call_id, deadline_ms)]
    stage.clock.advance(59)
    settle(stage)
    assert stage.store.require_session(SESSION).state == "running"
    stage.clock.advance(1)

    stage.wait_for("session_cancelled")


def test_a_call_that_is_taken_over_keeps_its_slot_until_it_has_stopped(supervised: Stage) -> None:
    stage, wanted = supervised, team(contract("c1"), contract("c2"))
    wanted = msgspec.structs.replace(wanted, max_parallel_workers=1)
    stage.engines.clinging = True
    stage.create(wanted)
    stage.run(wanted)
    (call,) = stage.engines.wait_for_calls(1)
    fail(stage)
    stage.wait_for("coordinator_failed")
    settle(stage)
    stage.store.journal.settle(BOUND_SECONDS)

    assert stage.coordinator.status().get(timeout=BOUND_SECONDS).in_flight == 1
    assert [order.task_id for order in stage.engines.started] == ["c1"]

    stage.engines.finish(call.call_id)
    _, after = stage.engines.wait_for_calls(2)
    assert after.task_id == "c2"


def settle(stage: Stage) -> None:
    """Wait until all that coordinator and persona have been told is done."""
    stage.coordinator.status().get(timeout=BOUND_SECONDS)
    PersonaProxy(stage.ports.channel, SESSION, "c1").status().get(timeout=BOUND_SECONDS)


class Hasty:
    """A journal that has the coordinator fail while the end of its session is on its way.

    The end becomes durable together with what is handed in next.
    """

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._journal = stage.ports.journal
        self._held: list[Transition] = []

    def append(self, transition: Transition) -> None:
        if any(event.kind == "session_done" for event in transition.events):
            fail(self._stage)
            self._held.append(transition)
            return
        while self._held:
            self._journal.append(self._held.pop())
        self._journal.append(transition)


def test_an_end_that_is_on_its_way_when_the_coordinator_fails_is_the_end(
    supervised: Stage,
) -> None:
    stage = supervised
    stage.engines.held = False
    stage.ports = replace(stage.ports, journal=Hasty(stage))
    stage.create(WANTED)

    stage.run(WANTED)
    stage.wait_for("session_done")
    stage.system.stop(ADDRESS).get(timeout=BOUND_SECONDS)

    assert stage.store.require_session(SESSION).state == "done"
    assert "coordinator_failed" not in {event.kind for event in stage.events}


@pytest.mark.parametrize(
    "error", [StoreFailed("state", "no disk"), RecordDamaged(SESSION, "tasks", "00", "torn")]
)
def test_what_another_coordinator_would_not_mend_is_escalated_at_once(
    supervised: Stage, error: StorageError
) -> None:
    class Broken(StoreMemory):
        def tasks(self, _session_id: str) -> list[TaskRecord]:
            raise error

    stage = supervised
    stage.create(WANTED)
    stage.ports = replace(stage.ports, memory=Broken(stage.store))

    stage.run(WANTED)
    # Answered when it is gone.
    stage.system.stop(ADDRESS).get(timeout=BOUND_SECONDS)

    assert stage.escalations == [error]


def test_a_succession_that_fails_itself_comes_to_an_end(supervised: Stage) -> None:
    class Broken(StoreMemory):
        def tasks(self, _session_id: str) -> list[TaskRecord]:
            raise RuntimeError("a bug")

    stage = supervised
    stage.create(WANTED)
    stage.ports = replace(stage.ports, memory=Broken(stage.store))

    stage.run(WANTED)
    stage.system.stop(ADDRESS).get(timeout=BOUND_SECONDS)

    assert [str(error) for error in stage.escalations] == ["a bug"]


def records(*states: TaskState) -> tuple[SessionRecord, list[TaskRecord]]:
    session = SessionRecord(
        session_id=SESSION,
        state="running",
        team_name="t",
        team=b"",
        output_dir="",
        input_dir=None,
        created_ms=0,
        updated_ms=0,
    )
    tasks = [
        TaskRecord(
            session_id=SESSION,
            task_id=f"c{number}",
            phase="build",
            persona_id="dev",
            engine="scripted",
            state=state,
            waits_for="nothing",
        )
        for number, state in enumerate(states)
    ]
    return session, tasks


def test_a_task_that_needs_a_person_counts_as_progress() -> None:
    session, tasks = records("running", "running")
    first, _ = noted(session, tasks, "bug", 1, 1)
    second, _ = noted(first, tasks, "bug", 2, 1)
    _, tasks = records("running", "help_needed")

    third, _ = noted(second, tasks, "bug", 3, 1)

    assert [record.failures for record in (first, second, third)] == [1, 2, 1]


@pytest.mark.parametrize(
    ("task", "state"), [("waiting", "cancelled"), ("running", "paused")], ids=["at-rest", "open"]
)
def test_one_that_is_to_be_cancelled_is_unless_a_call_is_open(
    task: TaskState, state: SessionState
) -> None:
    session, tasks = records("done", task)
    session = msgspec.structs.replace(session, wish="cancel", failures=FAILURES_MAX)

    draft = set_aside(session, tasks, "bug", 1, 1)

    kinds = [event.kind for event in draft.events]
    assert kinds[-1] == f"session_{state}"
    written = [change.database for change in draft.changes]
    assert ("outbox" in written) == (state == "paused")


def test_a_reason_is_one_line_of_bounded_length() -> None:
    tenure = Tenure()

    tenure.failed(ValueError("two\nlines " + "x" * 1000))

    assert tenure.failure.startswith("ValueError: two lines xxx")
    assert len(tenure.failure) == REASON_CHARS_MAX


@pytest.mark.parametrize(
    ("address", "late"),
    [
        (ADDRESS, SuccessionRecorded(restarts=0)),
        (ADDRESS, Flushed(restarts=0)),
        (persona_address(SESSION, "c1"), Flushed(restarts=0)),
    ],
    ids=["coordinator", "barrier of a coordinator", "persona"],
)
def test_a_word_to_an_instance_before_is_none_for_the_one_that_has_failed_since(
    tmp_path: Path, address: str, late: SuccessionRecorded | Flushed
) -> None:
    commits = HeldCommits()
    stage = open_stage(tmp_path / "state", VirtualClock(1_000_000), observer=commits)
    stage.supervision = SUPERVISION
    with ExitStack() as at_the_end:
        at_the_end.callback(stage.close)
        at_the_end.callback(commits.let_go)
        stage.create(WANTED)
        commits.hold()
        stage.run(WANTED)
        # A call is being opened, of which the records know nothing yet.
        commits.wait_for_one()
        stage.system.deliver(address, b"\xc1 is no message")
        # Its successor waits for the persona first.
        while address == ADDRESS and stage.system.ref(persona_address(SESSION, "c1")):
            stage.coordinator.status().get(timeout=BOUND_SECONDS)

        stage.system.deliver(address, encoded(late))
        stage.coordinator.status().get(timeout=BOUND_SECONDS)
        assert stage.escalations == []
        commits.let_go()

        stage.advance_until("session_done")
        assert [row.state for row in stage.attempts()] == ["interrupted", "ok"]
        told = [event.data["failures"] for event in stage.events if "coordinator" in event.kind]
        assert told == ([1] if address == ADDRESS else [])
