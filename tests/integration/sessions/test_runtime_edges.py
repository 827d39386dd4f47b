"""The runtime at its edges: foreign code that fails, callers at once, an end that hangs."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

import msgspec
import pykka
import pytest

from maestro_actors.kernel import LaneActor
from maestro_actors.sessions.coordinator_proxy import CoordinatorProxy
from maestro_actors.sessions.session import NewSession, opening_transition
from maestro_actors.team import Contract, Deliverable, Persona, Phase, Team
from maestro_runtime import RuntimeOptions, SessionOrder, open_runtime, runtime
from maestro_runtime.errors import RuntimeStopped
from maestro_runtime.reports.session import session_report
from maestro_runtime.testing import ScriptedEngine
from maestro_storage import Store
from maestro_storage._ownership import require_unowned
from maestro_storage.errors import StateOwned, StoreFailed
from maestro_storage.records import AttemptRecord, EventRecord
from maestro_storage.transition import Transition

BOUND_SECONDS = 20.0
CONTRACT = Contract(
    id="c1",
    name="c1",
    phase="build",
    provider_persona_id="dev",
    deliverables=(Deliverable(name="note", artifacts=("note.md",)),),
)


def team(*contracts: Contract, **persona: object) -> Team:
    """Return a team whose one persona rehearses."""
    dev = Persona(persona_id="dev", **persona)  # type: ignore[arg-type] # the test names the fields
    return Team(
        name="t",
        requirement="r",
        personas={"dev": dev},
        phases=(Phase(name="build"),),
        contracts=contracts or (CONTRACT,),
    )


@pytest.fixture
def order(tmp_path: Path) -> SessionOrder:
    return SessionOrder(team(), "s-1", tmp_path / "output")


class FarewellEngine(ScriptedEngine):
    """Looks at its runtime's state as others do, while the runtime comes to its end."""

    def __init__(self, state: Path) -> None:
        super().__init__()
        self._state = state
        self.seen: StateOwned | None = None

    async def close(self) -> None:
        """See `Engine.close`."""
        with pytest.raises(StateOwned) as caught:
            require_unowned(self._state)
        self.seen = caught.value
        await super().close()


def test_a_runtime_that_comes_to_its_end_is_waited_for(tmp_path: Path, order: SessionOrder) -> None:
    engine = FarewellEngine(tmp_path / "state")
    scripted = SessionOrder(team(engine="scripted"), "s-1", order.output_dir)
    with open_runtime(tmp_path / "state", RuntimeOptions(engines=(engine,))) as opened:
        with pytest.raises(StateOwned) as caught:
            require_unowned(tmp_path / "state")
        opened.run(scripted).result(BOUND_SECONDS)

    assert caught.value.is_silent
    assert engine.seen is not None
    assert not engine.seen.is_silent


def test_a_listener_that_raises_stops_neither_the_session_nor_the_others(
    tmp_path: Path, order: SessionOrder, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[str] = []
    calls: list[EventRecord] = []

    def broken(event: EventRecord) -> None:
        calls.append(event)
        raise BrokenPipeError

    with open_runtime(tmp_path / "state") as opened:
        opened.subscribe(broken)
        opened.subscribe(lambda event: heard.append(event.kind))
        report = opened.run(order).result(BOUND_SECONDS)

    assert report.state == "done"
    assert heard[-1] == "session_done"
    assert len(calls) == 1
    assert "a listener failed" in caplog.text


def test_a_team_with_dates_in_its_options_can_be_run_again(tmp_path: Path) -> None:
    # What is stored has no dates, only their text.
    dated = SessionOrder(team(options={"day": date(2024, 5, 1)}), "s-1", tmp_path / "output")
    with open_runtime(tmp_path / "state") as opened:
        opened.run(dated).result(BOUND_SECONDS)

        assert opened.run(dated).result(BOUND_SECONDS).state == "done"


def test_a_session_that_many_callers_start_at_once_is_created_once(
    tmp_path: Path, order: SessionOrder
) -> None:
    callers = 8
    barrier = threading.Barrier(callers)

    with (
        open_runtime(tmp_path / "state") as opened,
        ThreadPoolExecutor(callers) as pool,
    ):

        def run() -> str:
            barrier.wait(BOUND_SECONDS)
            return opened.run(order).result(BOUND_SECONDS).state

        states = [future.result() for future in [pool.submit(run) for _ in range(callers)]]
        kinds = [event.kind for event in opened.store.events.scan("s-1")]

    assert set(states) == {"done"}
    assert kinds.count("session_started") == 1
    assert kinds.count("attempt_started") == 1


def test_a_session_that_ends_just_before_the_runtime_closes_is_no_error(
    tmp_path: Path, order: SessionOrder, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = SessionOrder(team(latency_seconds=30.0), "s-1", order.output_dir)
    opened = open_runtime(tmp_path / "state", RuntimeOptions(stop_grace_seconds=0.1))
    opened.run(slow)
    halt = CoordinatorProxy.halt

    def late_halt(proxy: CoordinatorProxy) -> object:
        opened.system.stop(proxy.address).get(timeout=BOUND_SECONDS)
        return halt(proxy)

    monkeypatch.setattr(CoordinatorProxy, "halt", late_halt)

    opened.close()

    with Store.inspect(tmp_path / "state") as store:
        assert store.require_session("s-1").state == "running"


class Clinging(LaneActor):
    """An actor that does not come to its end."""

    async def on_stop(self) -> None:  # type: ignore[override] # lanes allow it
        await asyncio.Event().wait()


def test_an_actor_that_hangs_at_the_end_does_not_keep_the_state_locked(
    tmp_path: Path, order: SessionOrder
) -> None:
    opened = open_runtime(tmp_path / "state", RuntimeOptions(stop_grace_seconds=0.1))
    session = opened.run(SessionOrder(team(latency_seconds=30.0), "s-1", order.output_dir))
    opened.system.spawn(Clinging, address="clinging")

    with pytest.raises(pykka.Timeout):
        opened.close()

    with pytest.raises(RuntimeStopped):
        session.result(BOUND_SECONDS)
    Store.inspect(tmp_path / "state").close()


@pytest.mark.parametrize("step", ["kill_recorded", "ticket_desk"])
def test_a_start_that_fails_leaves_neither_a_lock_nor_a_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def fails(*_: object) -> None:
        raise PermissionError("/proc")

    monkeypatch.setattr(runtime, step, fails)
    before = set(threading.enumerate())

    with pytest.raises(PermissionError):
        open_runtime(tmp_path / "state")

    assert set(threading.enumerate()) <= before
    Store.inspect(tmp_path / "state").close()


class Writing(LaneActor):
    """An actor that hears first that the store has failed."""

    def on_receive(self, _message: object) -> None:
        raise StoreFailed("/state", "broken disk")


def test_a_storage_failure_that_an_actor_meets_first_is_still_a_storage_failure(
    tmp_path: Path, order: SessionOrder
) -> None:
    with open_runtime(tmp_path / "state") as opened:
        slow = SessionOrder(team(latency_seconds=30.0), "s-1", order.output_dir)
        session = opened.run(slow)
        opened.system.spawn(Writing, address="writing")
        opened.system.deliver("writing", b"")

        with pytest.raises(StoreFailed):
            session.result(BOUND_SECONDS)
        with pytest.raises(StoreFailed):
            opened.run(SessionOrder(team(), "s-2", order.output_dir)).result(BOUND_SECONDS)
        assert list(opened.store.attempts.scan("s-2")) == []


@pytest.fixture
def stored(tmp_path: Path) -> Iterator[Store]:
    """A state with a session of two tasks, c2 after c1, that nobody runs."""
    last = msgspec.structs.replace(CONTRACT, id="c2", after=("c1",))
    new = NewSession(session_id="s-1", team=team(CONTRACT, last), output_dir=str(tmp_path))
    opening = opening_transition(new, 0, 1)
    with Store.open(tmp_path / "state") as store:
        store.journal.commit(opening).result(BOUND_SECONDS)
        yield store


def change(store: Store, task_id: str, *attempts: AttemptRecord, **fields: object) -> None:
    """Rewrite the record of a task."""
    record = store.tasks.get("s-1", task_id)
    assert record is not None
    transition = Transition()
    transition.put(msgspec.structs.replace(record, **fields))
    for attempt in attempts:
        transition.put(attempt)
    store.journal.commit(transition).result(BOUND_SECONDS)


def test_a_report_tells_a_task_that_waits_for_a_slot_from_one_that_waits_for_another(
    stored: Store,
) -> None:
    waits_for = [task.waits_for for task in session_report(stored, "s-1").tasks]
    assert waits_for == ["slot", "contract"]

    change(stored, "c1", state="done", waits_for="nothing")

    waits_for = [task.waits_for for task in session_report(stored, "s-1").tasks]
    assert waits_for == ["nothing", "slot"]


def test_only_an_attempt_that_the_budget_could_not_pay_is_over_budget(stored: Store) -> None:
    change(stored, "c1", state="failed", failure="limit")
    assert session_report(stored, "s-1").over_budget

    # The workspace of this attempt had too many files.
    attempt = AttemptRecord(
        session_id="s-1",
        task_id="c1",
        ordinal=1,
        round=1,
        attempt=1,
        call_id=bytes(16),
        state="failed",
        failure="limit",
    )
    change(stored, "c1", attempt, ordinal=1)

    assert not session_report(stored, "s-1").over_budget


def test_a_session_that_has_ended_since_somebody_looked_is_not_started(
    tmp_path: Path, order: SessionOrder
) -> None:
    with open_runtime(tmp_path / "state") as opened:
        opened.run(order).result(BOUND_SECONDS)
        before = opened.store.require_session("s-1"), list(opened.store.events.scan("s-1"))

        ended = opened._planner._running.start(opened._planner._ports, "s-1", order.team)

        ended.get(timeout=BOUND_SECONDS)
        assert not opened._planner._running.is_running("s-1")
        after = opened.store.require_session("s-1"), list(opened.store.events.scan("s-1"))
        assert after == before
