"""An order with an id is done once, whatever happens to its answer."""

import signal
import threading
from pathlib import Path

import msgspec
import pykka
import pytest

import forked
from daemon_team import TEAM
from maestro_actors.errors import PhaseConflict
from maestro_actors.ledger.budget import DAY_MS, Budget
from maestro_actors.team import Persona, Phase, Team
from maestro_runtime import Runtime, SessionOrder, receipts
from maestro_runtime.errors import RequestIdInvalid
from maestro_runtime.receipts import new_request_id, receipt_of
from maestro_runtime.supervisor import Supervisor
from maestro_runtime.wire.orders import NameCheckpoint
from maestro_storage.errors import NotFound
from maestro_storage.plan import Stretch
from maestro_storage.records import RequestRecord, SessionRecord
from maestro_storage.transition import Transition
from resent import BOUND_SECONDS, ORDERS, SESSION, main, opened

ONCE = new_request_id()


def team_for(order: str) -> Team:
    """Return a team whose session ends so that the order can be given."""
    script = () if order in ("rerun", "remove", "checkpoint", "fork", "raise") else ("permanent",)
    persona = Persona(persona_id="dev", script=script, give_up_on_failure=order != "answer")
    budgets = (Budget(id="small", limit=1, window="session", action="park"),)
    return msgspec.structs.replace(
        TEAM, personas={"dev": persona}, budgets=budgets if order == "raise" else ()
    )


def standing(runtime: Runtime) -> object:
    """Return all that an order could have changed, but for when and by whom."""
    store = runtime.store
    return (
        [(row.session_id, row.state) for row in store.sessions.scan()],
        [(row.task_id, row.state, row.round) for row in store.tasks.scan()],
        [(row.number, row.phase) for row in store.checkpoints.scan()],
        [(row.limit, row.spent) for row in store.counters.scan()],
        [(row.persona_id, row.limit_tokens) for row in store.budgets.scan()],
        [(row.session_id, row.kind) for row in store.events.scan() if "session" not in row.kind],
    )


@pytest.mark.parametrize("order", [order for order in ORDERS if order != "resume"])
def test_an_order_resent_to_the_next_owner_is_not_done_again(tmp_path: Path, order: str) -> None:
    """The process is killed right after the commit, so that nobody has heard of it."""
    state = tmp_path / "state"
    with opened(state) as runtime:
        runtime.run(SessionOrder(team_for(order), SESSION, tmp_path / "out")).result(BOUND_SECONDS)
        assert runtime.settle_tickets(SESSION, BOUND_SECONDS)

    assert forked.run(main, state, order, ONCE) == -signal.SIGKILL

    with opened(state) as runtime:
        row = runtime.store.requests.get(ONCE)
        assert row is not None
        after = standing(runtime)
        first = ORDERS[order](runtime, ONCE).get(timeout=BOUND_SECONDS)
        if order == "fork":
            # It goes on; the kill came before it could begin.
            assert first.session_id == "s-1-fork-1"
            assert [row.session_id for row in runtime.store.sessions.scan()] == [
                "s-1",
                "s-1-fork-1",
            ]
            return
        assert standing(runtime) == after
        assert ORDERS[order](runtime, ONCE).get(timeout=BOUND_SECONDS) == first
        assert not row.reply or msgspec.msgpack.decode(row.reply, type=type(first)) == first


@pytest.mark.parametrize("running", [False, True])
def test_a_resumption_sent_again_goes_on_with_no_further_stretch(
    tmp_path: Path, *, running: bool
) -> None:
    """The next owner has come to the end of the stretch before the order comes again."""
    state = tmp_path / "state"
    names = ("one", "two", "three")
    (contract,) = TEAM.contracts
    team = msgspec.structs.replace(
        TEAM,
        phases=tuple(Phase(name=name, after=names[:at][-1:]) for at, name in enumerate(names)),
        contracts=tuple(msgspec.structs.replace(contract, id=name, phase=name) for name in names),
    )
    plan = tuple(Stretch(phases=(name,)) for name in names)
    order = SessionOrder(team, SESSION, tmp_path / "out", plan=plan)
    with opened(state) as runtime:
        if running:
            runtime.create(order)
        else:
            runtime.run(order).result(BOUND_SECONDS)

    assert forked.run(main, state, "resume", ONCE) == -signal.SIGKILL

    with opened(state) as runtime:
        assert runtime.store.requests.get(ONCE) is not None
        runtime.take_up(SESSION).result(BOUND_SECONDS)
        done = [row.phase for row in runtime.store.checkpoints.scan(SESSION)][1:]
        again = ORDERS["resume"](runtime, ONCE).get(timeout=BOUND_SECONDS)
        assert again.rests
        assert [row.phase for row in runtime.store.checkpoints.scan(SESSION)][1:] == done
        assert len(done) == (1 if running else 2)


@pytest.mark.parametrize("taken_up", [False, True])
def test_a_removal_sent_again_goes_on_until_the_session_is_gone(
    tmp_path: Path, *, taken_up: bool
) -> None:
    """The process is killed when that it is to be cancelled and removed is on record, and no more.

    Also if nobody else takes the session up.
    """
    state = tmp_path / "state"
    with opened(state) as runtime:
        runtime.create(SessionOrder(TEAM, SESSION, tmp_path / "out"))

    assert forked.run(main, state, "remove", ONCE) == -signal.SIGKILL

    with opened(state) as runtime:
        assert runtime.store.require_session(SESSION).removal
        if taken_up:
            runtime.take_up(SESSION)
        with pytest.raises(NotFound):
            runtime.remove(SESSION, cancel=True, request_id=ONCE).result(BOUND_SECONDS)
        assert runtime.store.sessions.get(SESSION) is None


@pytest.mark.parametrize("order", ["checkpoint", "retry"])
def test_an_order_to_a_session_that_runs_is_not_done_again(tmp_path: Path, order: str) -> None:
    team = team_for(order)
    slow = Persona(persona_id="slow", latency_seconds=600.0)
    other = msgspec.structs.replace(TEAM.contracts[0], id="c2", provider_persona_id="slow")
    team = msgspec.structs.replace(
        team,
        personas={**team.personas, "slow": slow},
        contracts=(*team.contracts, other),
        max_parallel_workers=2,
    )
    over = threading.Event()
    with opened(tmp_path / "state") as runtime:
        runtime.subscribe(
            lambda event: over.set() if event.kind in ("task_failed", "task_done") else None
        )
        runtime.run(SessionOrder(team, SESSION, tmp_path / "out"))
        assert over.wait(BOUND_SECONDS)
        first = ORDERS[order](runtime, ONCE).get(timeout=BOUND_SECONDS)
        again = ORDERS[order](runtime, ONCE).get(timeout=BOUND_SECONDS)

        assert first == again
        kind = {"checkpoint": "checkpoint_taken", "retry": "task_retried"}[order]
        kinds = [event.kind for event in runtime.store.events.scan(SESSION)]
        assert kinds.count(kind) == 1, kinds


def test_the_id_of_another_order_is_refused(tmp_path: Path) -> None:
    with opened(tmp_path / "state") as runtime:
        runtime.run(SessionOrder(TEAM, SESSION, tmp_path / "out")).result(BOUND_SECONDS)
        runtime.checkpoint(SESSION, "mine", request_id=ONCE)

        with pytest.raises(RequestIdInvalid, match="must be of one order, a checkpoint; got a "):
            runtime.rerun(SESSION, "build", request_id=ONCE)


def test_an_id_of_which_nothing_would_be_known_any_more_is_refused() -> None:
    two_days_ms = 2 * 24 * 60 * 60 * 1000
    old_ms = int.from_bytes(new_request_id()[:6], "big") - two_days_ms

    with pytest.raises(RequestIdInvalid, match="must have been drawn within the last day"):
        receipt_of(old_ms.to_bytes(6, "big") + bytes(10), "retry")


def test_an_id_has_16_bytes() -> None:
    with pytest.raises(RequestIdInvalid, match="request id '00' must have 16 bytes"):
        receipt_of(b"\0", "retry")
    assert len(new_request_id()) == 16
    assert new_request_id() != new_request_id()


def test_what_is_known_of_an_order_goes_after_a_day(tmp_path: Path) -> None:
    def row(at_ms: int) -> RequestRecord:
        return RequestRecord(
            request_id=at_ms.to_bytes(6, "big") + bytes(10), kind="retry", reply=b"", at_ms=at_ms
        )

    day_ms = 24 * 60 * 60 * 1000
    now_ms = 1_800_000_000_000
    with opened(tmp_path / "state") as runtime:
        draft = Transition()
        for at_ms in (now_ms - day_ms - 1, now_ms - day_ms, now_ms):
            draft.put(row(at_ms))
        runtime.store.journal.commit(draft).result(BOUND_SECONDS)

        runtime.store.tidy_all(now_ms)

        kept = [record.at_ms for record in runtime.store.requests.scan()]
        assert kept == [now_ms - day_ms, now_ms]


def test_a_session_that_is_live_again_keeps_its_records_and_the_order_stays_unknown(
    tmp_path: Path,
) -> None:
    with opened(tmp_path / "state") as runtime:
        runtime.run(SessionOrder(TEAM, SESSION, tmp_path / "out")).result(BOUND_SECONDS)
        record = runtime.store.require_session(SESSION)
        draft, along = Transition(), Transition()
        draft.put(msgspec.structs.replace(record, state="running"))
        along.put(RequestRecord(request_id=ONCE, kind="removal", reply=b"", at_ms=0))
        runtime.store.journal.append(draft)

        runtime.store.journal.remove(SESSION, along).result(BOUND_SECONDS)

        found: SessionRecord = runtime.store.require_session(SESSION)
        assert found.state == "running"
        assert runtime.store.requests.get(ONCE) is None


def test_single_phases_that_are_asked_for_again_are_still_those(tmp_path: Path) -> None:
    """Without its id, the second order would be told that the first one has them."""
    slow = Persona(persona_id="dev", latency_seconds=600.0)
    team = msgspec.structs.replace(TEAM, personas={"dev": slow})
    with opened(tmp_path / "state") as runtime:
        runtime.create(SessionOrder(team, SESSION, tmp_path / "out"))
        ask = runtime.supervisor.begin_phases
        first = ask(session_id=SESSION, phases=("build",), request_id=ONCE)

        again = ask(session_id=SESSION, phases=("build",), request_id=ONCE)

        assert first.get(timeout=BOUND_SECONDS) == again.get(timeout=BOUND_SECONDS)
        with pytest.raises(PhaseConflict):
            ask(session_id=SESSION, phases=("build",), request_id=new_request_id()).get(
                timeout=BOUND_SECONDS
            )


def test_an_order_of_which_nobody_knows_whether_it_was_done_is_not_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path / "state") as runtime:
        runtime.run(SessionOrder(TEAM, SESSION, tmp_path / "out")).result(BOUND_SECONDS)
        calls = []

        def never_durable(*_: object, **__: object) -> int:
            calls.append(1)
            raise pykka.Timeout("not durable")

        monkeypatch.setattr(runtime, "checkpoint", never_durable)
        for text in ("not durable", "it still may become so"):
            with pytest.raises(pykka.Timeout, match=text):
                ORDERS["checkpoint"](runtime, ONCE).get(timeout=BOUND_SECONDS)

        assert len(calls) == 1


def test_of_orders_that_are_in_doubt_only_those_of_the_last_day_are_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path / "state") as runtime:
        runtime.run(SessionOrder(TEAM, SESSION, tmp_path / "out")).result(BOUND_SECONDS)

        def never_durable(*_: object, **__: object) -> int:
            raise pykka.Timeout("not durable")

        monkeypatch.setattr(runtime, "checkpoint", never_durable)
        supervisor = Supervisor(runtime)
        old = new_request_id()
        yesterday_ms = receipts._now_ms()
        for age_ms in (0, DAY_MS + 60_000):
            monkeypatch.setattr(receipts, "_now_ms", lambda age_ms=age_ms: yesterday_ms + age_ms)
            request_id = new_request_id() if age_ms else old
            with pytest.raises(pykka.Timeout):
                supervisor.handle(
                    NameCheckpoint(session_id=SESSION, name="mine", request_id=request_id)
                )

    assert supervisor._doubtful == {request_id}
