"""Help needed by a program that embeds the runtime."""

import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from maestro_actors.errors import HelpNotAwaited
from maestro_actors.help.answer import Answer
from maestro_actors.help.posting import Posting
from maestro_actors.identity import coordinator_address
from maestro_actors.kernel import ActorSystem, LaneActor, LaneFuture
from maestro_runtime import Runtime, RuntimeOptions, SessionOrder, open_runtime
from maestro_runtime.at_rest.answer import answer_at_rest
from maestro_runtime.errors import HelpNeeded
from maestro_runtime.running.help_watch import HelpWatch
from maestro_runtime.tickets import TicketNotDelivered
from maestro_storage import Store, _journal
from maestro_storage.errors import NotFound, StoreFailed
from maestro_storage.records import EventRecord
from maestro_storage.transition import Transition
from note_team import note_team

BOUND_SECONDS = 20.0

TEAM = note_team("pair", script=("permanent", "ok"), give_up_on_failure=False)


class DownSink:
    """A sink that delivers nothing."""

    name = "down"
    secrets: tuple[str, ...] = ()

    def post(self, posting: Posting) -> str:
        raise TicketNotDelivered(self.name, posting.posting_id, doubtful=False)


class BrokenSink(DownSink):
    """A sink whose answers break the help desk."""

    def post(self, posting: Posting) -> str:
        return 1  # type: ignore[return-value] # the point


@pytest.fixture
def order(tmp_path: Path) -> SessionOrder:
    return SessionOrder(TEAM, "s1", tmp_path / "out")


def test_a_task_after_a_skipped_one_waits_for_nothing_but_a_slot(
    tmp_path: Path, order: SessionOrder
) -> None:
    [note] = TEAM.contracts
    after = msgspec.structs.replace(note, id="after", after=("note",))
    team = msgspec.structs.replace(TEAM, contracts=(note, after))
    with open_runtime(tmp_path / "state") as runtime:
        session = runtime.run(replace(order, team=team))
        assert session.result(BOUND_SECONDS).tasks[1].waits_for == "contract"
        runtime.answer("s1", "note", Answer(decision="skip"))

        assert session.report().tasks[1].waits_for == "slot"


def test_a_program_that_requires_its_contracts_gets_an_error_with_the_ticket(
    tmp_path: Path, order: SessionOrder
) -> None:
    with open_runtime(tmp_path / "state") as runtime:
        session = runtime.run(order)
        session.result(BOUND_SECONDS)
        assert runtime.settle_tickets("s1", BOUND_SECONDS)
        with pytest.raises(HelpNeeded) as caught:
            session.require(BOUND_SECONDS)

    assert Path(caught.value.reference).is_file()
    assert (caught.value.session_id, caught.value.task_id) == ("s1", "note")


def test_the_ticket_of_a_state_named_from_here_is_found_from_anywhere(
    tmp_path: Path, order: SessionOrder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with open_runtime("state") as runtime:
        monkeypatch.chdir("/")
        session = runtime.run(order)
        session.result(BOUND_SECONDS)
        assert runtime.settle_tickets("s1", BOUND_SECONDS)
        ticket = session.report().tasks[0].ticket

    assert ticket is not None
    assert Path(ticket.reference).parent == tmp_path / "state" / "tickets"


def test_an_answer_in_the_same_process_lets_the_session_be_resumed(
    tmp_path: Path, order: SessionOrder
) -> None:
    with open_runtime(tmp_path / "state") as runtime:
        runtime.run(order).result(BOUND_SECONDS)

        runtime.answer("s1", "note", Answer(decision="retry", note="again"))
        report = runtime.resume("s1").require(BOUND_SECONDS)

    assert report.state == "done"
    assert report.tasks[0].ticket is None


def test_a_session_is_resumed_even_while_its_last_coordinator_is_on_its_way_out(
    tmp_path: Path, order: SessionOrder, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = ActorSystem.stop
    late: list[str] = []

    def stop_late(system: ActorSystem, address: str) -> "LaneFuture[None]":
        if address == coordinator_address("s1") and not late:
            late.append(address)
            return LaneFuture()
        return stop(system, address)

    monkeypatch.setattr(ActorSystem, "stop", stop_late)
    with open_runtime(tmp_path / "state") as runtime:
        runtime.run(order).result(BOUND_SECONDS)
        runtime.answer("s1", "note", Answer(decision="retry"))

        assert runtime.resume("s1").require(BOUND_SECONDS).state == "done"

    assert late


def test_an_answer_that_cannot_be_is_refused(tmp_path: Path, order: SessionOrder) -> None:
    with open_runtime(tmp_path / "state") as runtime:
        runtime.run(order).result(BOUND_SECONDS)
        runtime.answer("s1", "note", Answer(decision="skip"))

        with pytest.raises(HelpNotAwaited):
            runtime.answer("s1", "note", Answer(decision="retry"))
        with pytest.raises(NotFound):
            runtime.answer("s9", "note", Answer(decision="retry"))


def test_a_session_goes_on_though_its_coordinator_is_still_on_its_way_out(
    tmp_path: Path, order: SessionOrder, monkeypatch: pytest.MonkeyPatch
) -> None:
    leaving, may_leave, asked = threading.Event(), threading.Event(), threading.Event()
    with open_runtime(tmp_path / "state") as runtime, ThreadPoolExecutor(1) as pool:
        remove, stop = runtime.system._directory.remove, runtime.system.stop

        def remove_late(address: str) -> list[tuple[str, object]]:
            if address == coordinator_address("s1"):
                leaving.set()
                assert may_leave.wait(BOUND_SECONDS)
            return remove(address)

        def note_and_stop(address: str) -> LaneFuture[None]:
            gone = stop(address)
            if leaving.is_set():
                asked.set()
            return gone

        monkeypatch.setattr(runtime.system._directory, "remove", remove_late)
        monkeypatch.setattr(runtime.system, "stop", note_and_stop)
        assert runtime.run(order).result(BOUND_SECONDS).state == "help_needed"
        assert leaving.wait(BOUND_SECONDS)

        resumed = pool.submit(runtime.resume, "s1")
        was_asked = asked.wait(BOUND_SECONDS)
        may_leave.set()

        assert resumed.result(BOUND_SECONDS).result(BOUND_SECONDS).state == "help_needed"
        assert was_asked


def test_an_end_that_is_told_late_is_not_that_of_the_next_start(
    tmp_path: Path, order: SessionOrder, monkeypatch: pytest.MonkeyPatch
) -> None:
    # So that the thread of the journal tells it, and the coordinator can go meanwhile.
    monkeypatch.setattr(_journal, "QUICK_SECONDS", -1.0)
    told, go_on, asked = threading.Event(), threading.Event(), threading.Event()

    def hold(event: EventRecord) -> None:
        if event.kind == "session_help_needed" and not told.is_set():
            told.set()
            assert go_on.wait(BOUND_SECONDS)

    with open_runtime(tmp_path / "state") as runtime, ThreadPoolExecutor(1) as pool:
        runtime.subscribe(hold)
        settle = runtime.store.journal.settle

        def note_and_settle(timeout_seconds: float) -> None:
            asked.set()
            settle(timeout_seconds)

        runtime.run(order)
        assert told.wait(BOUND_SECONDS)
        runtime.system.stop(coordinator_address("s1")).get(timeout=BOUND_SECONDS)
        monkeypatch.setattr(runtime.store.journal, "settle", note_and_settle)

        resumed = pool.submit(runtime.resume, "s1")
        waits = asked.wait(BOUND_SECONDS) and not resumed.done()
        go_on.set()

        assert resumed.result(BOUND_SECONDS).result(BOUND_SECONDS).state == "help_needed"
        assert waits


@pytest.mark.parametrize("sink", [DownSink(), BrokenSink()], ids=["down", "broken"])
def test_no_sink_can_change_a_verdict_or_stop_the_runtime(
    tmp_path: Path, order: SessionOrder, sink: DownSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("maestro_actors.help.help_desk.BACKOFF_SECONDS", 0.1)
    with open_runtime(tmp_path / "state", RuntimeOptions(tickets=sink)) as runtime:
        report = runtime.run(order).result(BOUND_SECONDS)
        assert report.state == "help_needed"

        assert not runtime.settle_tickets("s1", 0.5)
        runtime.answer("s1", "note", Answer(decision="retry"))
        assert runtime.resume("s1").require(BOUND_SECONDS).state == "done"

    assert _pending(tmp_path)


class Losing(LaneActor):
    """An actor that hears that the store has failed."""

    def on_receive(self, _message: object) -> None:
        raise StoreFailed("/state", "broken disk")


def test_nobody_waits_for_the_tickets_of_a_runtime_that_has_failed(
    tmp_path: Path, order: SessionOrder, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Tried again before the wait ends, and so worth waiting for; but not within the test.
    monkeypatch.setattr("maestro_actors.help.help_desk.BACKOFF_SECONDS", 2 * BOUND_SECONDS)
    options = RuntimeOptions(tickets=DownSink())
    with open_runtime(tmp_path / "state", options) as runtime, ThreadPoolExecutor() as threads:
        runtime.run(order).result(BOUND_SECONDS)
        settled = threads.submit(runtime.settle_tickets, "s1", 3 * BOUND_SECONDS)
        runtime.system.spawn(Losing, address="losing")
        runtime.system.deliver("losing", b"")

        with pytest.raises(StoreFailed):
            settled.result(BOUND_SECONDS)


def test_an_answer_that_can_no_longer_become_durable_is_not_waited_for() -> None:
    watch = HelpWatch()
    watch.fail(StoreFailed("/state", "broken disk"))

    with watch.expecting("s1", "note") as answered, pytest.raises(StoreFailed):
        answered(3 * BOUND_SECONDS)


def _pending(directory: Path) -> bool:
    """Whether the next start, with a sink that works, delivers what was left."""
    with open_runtime(directory / "state") as runtime:
        assert isinstance(runtime, Runtime)
        return runtime.settle_tickets("s1", BOUND_SECONDS)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (
            HelpNeeded("s1", "note", "OPS-1"),
            "task 'note' of session 's1' needs help: see ticket OPS-1",
        ),
        (
            HelpNeeded("s1", "note", ""),
            "task 'note' of session 's1' needs help: its ticket is pending",
        ),
    ],
)
def test_the_error_says_where_the_ticket_is_and_survives_pickling(
    error: HelpNeeded, text: str
) -> None:
    assert str(pickle.loads(pickle.dumps(error))) == text  # noqa: S301 - our own bytes


@pytest.mark.parametrize("recorded", [True, False])
def test_tokens_granted_while_nothing_runs_go_on_top_of_what_is_on_record_or_in_the_team(
    tmp_path: Path, order: SessionOrder, *, recorded: bool
) -> None:
    with open_runtime(tmp_path / "state") as runtime:
        runtime.run(order).result(BOUND_SECONDS)

    with Store.open(tmp_path / "state") as store:
        before = store.budgets.get("s1", "writer")
        assert before is not None
        if not recorded:
            draft = Transition()
            draft.delete(before)
            store.journal.commit(draft).result(BOUND_SECONDS)
        answer_at_rest(store, "s1", "note", Answer(decision="retry", add_tokens=5))
        after = store.budgets.get("s1", "writer")

    assert after is not None
    assert (after.limit_tokens, after.topped_up_tokens) == (before.limit_tokens + 5, 5)
    assert after.spent_tokens == (before.spent_tokens if recorded else 0)
