"""Every order does the same in the process that has the state and through its socket."""

import os
import threading
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import msgspec
import pykka
import pytest

from daemon_team import TEAM
from lined import LineProxies
from maestro_actors.help.answer import Answer
from maestro_actors.ledger.budget import Budget
from maestro_actors.team import Persona, Team
from maestro_runtime import ForkOrder, Runtime, SessionOrder, open_runtime
from maestro_runtime.checkpoints import export, find_checkpoint
from maestro_runtime.config import ContextInvalid
from maestro_runtime.daemon._gate import RuntimeGate
from maestro_runtime.daemon._server import SocketServer
from maestro_runtime.errors import CheckpointNameInvalid
from maestro_runtime.given import Given
from maestro_runtime.proxies import Proxies
from maestro_runtime.top_up import TopUpOrder
from maestro_runtime.wire.errors import SessionsNotHosted
from maestro_runtime.wire.line import Line
from maestro_runtime.wire.orders import Accepted
from maestro_runtime.wire.session_order import fork_of, start_of
from maestro_storage.errors import BackupTargetNotEmpty, NotFound, StateDamaged

BOUND_SECONDS = 20.0

Serve = Callable[..., Proxies]
Asked = dict[str, Callable[[], pykka.Future[Accepted]]]


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[Runtime]:
    with open_runtime(tmp_path / "state") as runtime:
        yield runtime


@pytest.fixture
def serve(runtime: Runtime, tmp_path: Path) -> Iterator[Serve]:
    opened: list[SocketServer | Line] = []

    def start(*, hosts: bool) -> Proxies:
        path = tmp_path / f"socket-{len(opened)}"
        opened.append(SocketServer(path, RuntimeGate(runtime, hosts=hosts), (os.getuid(),)))
        line = Line(path)
        opened.append(line)
        return LineProxies(line)

    yield start
    for item in reversed(opened):
        item.close()


@pytest.fixture(params=["embedded", "socket"])
def proxies(request: pytest.FixtureRequest, runtime: Runtime, serve: Serve) -> Proxies:
    return runtime if request.param == "embedded" else serve(hosts=True)


def working(*script: str, **changes: object) -> Team:
    persona = Persona(persona_id="dev", script=script, **changes)  # type: ignore[arg-type]
    return msgspec.structs.replace(TEAM, personas={"dev": persona})


def ended(runtime: Runtime, proxies: Proxies, team: Team, tmp_path: Path) -> str:
    """Run a session by an order to its end and return its id."""
    order = SessionOrder(team, "s-1", base_dir=tmp_path)
    proxies.supervisor.carry_out(start_of(order)).get(timeout=BOUND_SECONDS)
    runtime.run(order).result(BOUND_SECONDS)
    return "s-1"


def test_a_session_is_started_where_its_client_is(
    runtime: Runtime, proxies: Proxies, tmp_path: Path
) -> None:
    order = SessionOrder(TEAM, base_dir=tmp_path / "here", labels={"of": "somebody"})

    started = proxies.supervisor.carry_out(start_of(order)).get(timeout=BOUND_SECONDS)
    again = proxies.supervisor.carry_out(start_of(order)).get(timeout=BOUND_SECONDS)

    assert started.session_id == again.session_id == order.resolved_id()
    runtime.resume(started.session_id).result(BOUND_SECONDS)
    record = runtime.store.require_session(started.session_id)
    assert record.output_dir == str(tmp_path / "here" / "maestro-output" / started.session_id)
    assert record.labels == {"of": "somebody"}


def test_an_order_with_everything_travels(
    runtime: Runtime, proxies: Proxies, tmp_path: Path
) -> None:
    order = SessionOrder(
        TEAM,
        "s-1",
        tmp_path / "out",
        context={"token_budget": 77},
        given=Given(context={"known": [1, None, "two"]}),
        idempotency_key="key",
    )

    started = proxies.supervisor.carry_out(start_of(order, run=False))
    accepted = started.get(timeout=BOUND_SECONDS)

    assert (accepted.session_id, accepted.rests) == ("s-1", True)
    # Embedded, the same order finds that very session: nothing got lost.
    assert runtime.create(order) == "s-1"
    assert runtime.store.require_session("s-1").state == "running"


def test_what_has_failed_is_retried_rerun_and_removed(
    runtime: Runtime, proxies: Proxies, tmp_path: Path
) -> None:
    ended(runtime, proxies, working("permanent"), tmp_path)
    supervisor = proxies.supervisor

    supervisor.retry_failed(session_id="s-1", task_id="c1").get(timeout=BOUND_SECONDS)
    supervisor.resume_session(session_id="s-1").get(timeout=BOUND_SECONDS)
    assert runtime.resume("s-1").result(BOUND_SECONDS).state == "done"
    rerun = supervisor.rerun_phase(session_id="s-1", phase="build").get(timeout=BOUND_SECONDS)
    assert rerun.tasks == ("c1",)
    supervisor.cancel_session(session_id="s-1", reason="enough").get(timeout=BOUND_SECONDS)
    runtime.cancel("s-1").result(BOUND_SECONDS)
    runtime.settle_tickets("s-1", BOUND_SECONDS)
    supervisor.remove_session(session_id="s-1").get(timeout=BOUND_SECONDS)

    assert runtime.store.sessions.get("s-1") is None


def test_a_task_is_answered_and_its_session_paused_and_checkpointed(
    runtime: Runtime, proxies: Proxies, tmp_path: Path
) -> None:
    ended(runtime, proxies, working("permanent", give_up_on_failure=False), tmp_path)
    supervisor = proxies.supervisor

    supervisor.answer_task(
        session_id="s-1", task_id="c1", answer=Answer(decision="retry", by="me")
    ).get(timeout=BOUND_SECONDS)
    supervisor.pause_session(session_id="s-1", reason="lunch").get(timeout=BOUND_SECONDS)
    taken = supervisor.name_checkpoint(session_id="s-1", name="now").get(timeout=BOUND_SECONDS)
    assert runtime.pause("s-1").result(BOUND_SECONDS).state == "paused"

    assert taken.number == [record.number for record in runtime.store.checkpoints.scan("s-1")][-1]
    begun = supervisor.begin_phases(session_id="s-1", phases=("build",))
    assert begun.get(timeout=BOUND_SECONDS).session_id == "s-1"
    assert runtime.resume("s-1").result(BOUND_SECONDS).state == "done"


def test_a_session_is_forked_exported_and_imported(
    runtime: Runtime, proxies: Proxies, tmp_path: Path
) -> None:
    ended(runtime, proxies, TEAM, tmp_path)
    supervisor = proxies.supervisor

    fork = fork_of(ForkOrder("s-1", base_dir=tmp_path))
    forked = supervisor.carry_out(fork).get(timeout=BOUND_SECONDS)
    assert forked.session_id == "s-1-fork-1"
    pruned = supervisor.prune_checkpoints(session_id="s-1").get(timeout=BOUND_SECONDS)
    assert pruned.kept
    bundle = tmp_path / "bundle.tar"
    export(runtime.store, find_checkpoint(runtime.store, "s-1", None), bundle)
    supervisor.remove_session(session_id="s-1").get(timeout=BOUND_SECONDS)
    imported = supervisor.import_bundle(path=str(bundle), base_dir=str(tmp_path / "elsewhere"))

    found = imported.get(timeout=BOUND_SECONDS)
    assert found.session_id == "s-1"
    assert found.output_dir == str(tmp_path / "elsewhere" / "maestro-output" / "s-1")


def test_a_budget_is_topped_up_and_the_task_it_has_stopped_goes_on(
    runtime: Runtime, proxies: Proxies, tmp_path: Path
) -> None:
    budget = Budget(id="small", limit=1, window="session", action="park")
    ended(runtime, proxies, msgspec.structs.replace(TEAM, budgets=(budget,)), tmp_path)
    assert runtime.store.require_session("s-1").state == "help_needed"
    order = TopUpOrder(budget_id="small", amount=Decimal(10**6), reason="go on", by="me")

    done = proxies.supervisor.top_up(order=order).get(timeout=BOUND_SECONDS)

    assert (done.limit, done.retried) == (10**6 + 1, (("s-1", "c1"),))
    proxies.supervisor.resume_session(session_id="s-1").get(timeout=BOUND_SECONDS)
    assert runtime.resume("s-1").result(BOUND_SECONDS).state == "done"


def test_a_breaker_is_opened_and_closed_also_when_nothing_uses_it_any_more(
    runtime: Runtime, proxies: Proxies, tmp_path: Path
) -> None:
    ended(runtime, proxies, TEAM, tmp_path)
    supervisor = proxies.supervisor

    opened = supervisor.open_breaker(name="rehearsal", by="me").get(timeout=BOUND_SECONDS)
    assert (opened.state, opened.changed_by) == ("open", "me")
    assert proxies.breaker("rehearsal").status().get(timeout=BOUND_SECONDS).state == "open"
    closed = supervisor.close_breaker(name="rehearsal", by="me").get(timeout=BOUND_SECONDS)
    assert closed.state == "closed"
    with pytest.raises(NotFound, match="no such breaker: 'nobody'"):
        supervisor.open_breaker(name="nobody").get(timeout=BOUND_SECONDS)


def test_values_of_a_program_are_kept_and_deleted(runtime: Runtime, proxies: Proxies) -> None:
    kept = proxies.supervisor.keep_values(values={"a": b"1", "b": b"2"})
    kept.get(timeout=BOUND_SECONDS)
    proxies.supervisor.keep_values(values={"a": None}).get(timeout=BOUND_SECONDS)

    assert [record.name for record in runtime.store.values.scan()] == ["b"]


def test_the_state_is_described_verified_and_backed_up(
    runtime: Runtime, proxies: Proxies, tmp_path: Path
) -> None:
    ended(runtime, proxies, TEAM, tmp_path)
    custodian = proxies.custodian

    assert custodian.info().get(timeout=BOUND_SECONDS).state_id == runtime.store.state_id
    verified = custodian.verify().get(timeout=BOUND_SECONDS)
    assert verified.intact
    assert verified.records["sessions"] == 1
    copy = str(tmp_path / "copy")
    assert custodian.back_up(destination=copy).get(timeout=BOUND_SECONDS).path == copy
    with pytest.raises(BackupTargetNotEmpty):
        custodian.back_up(destination=copy).get(timeout=BOUND_SECONDS)


def test_damage_is_found_while_the_state_is_open(runtime: Runtime, tmp_path: Path) -> None:
    runtime.run(SessionOrder(TEAM, "s-1", tmp_path / "out")).result(BOUND_SECONDS)
    environment = runtime.store._environment
    with environment.env.begin(write=True) as txn:
        txn.put(b"s-1\0", b"nothing", db=environment.databases["sessions"])

    verified = runtime.custodian.verify().get(timeout=BOUND_SECONDS)

    assert [damage.database for damage in verified.damaged] == ["sessions"]
    with pytest.raises(StateDamaged):
        runtime.store.backup(tmp_path / "copy")


def test_a_persona_says_what_its_task_waits_for(
    runtime: Runtime, proxies: Proxies, tmp_path: Path
) -> None:
    started = threading.Event()
    runtime.subscribe(lambda event: started.set() if event.kind == "attempt_started" else None)
    runtime.run(SessionOrder(working(latency_seconds=600.0), "s-1", tmp_path / "out"))
    assert started.wait(BOUND_SECONDS)

    status = proxies.persona("s-1", "c1").status().get(timeout=BOUND_SECONDS)

    assert (status.task_id, status.round, status.attempt) == ("c1", 1, 1)
    assert status.waits_for == "call"
    with pytest.raises(pykka.ActorDeadError):
        proxies.persona("s-1", "nobody").status().get(timeout=BOUND_SECONDS)


def test_an_order_that_is_refused_raises_what_its_verb_does(
    runtime: Runtime, proxies: Proxies, tmp_path: Path
) -> None:
    ended(runtime, proxies, TEAM, tmp_path)

    with pytest.raises(CheckpointNameInvalid) as refused:
        proxies.supervisor.name_checkpoint(session_id="s-1", name="build").get(
            timeout=BOUND_SECONDS
        )

    assert refused.value.args[0] == "build"
    with pytest.raises(ContextInvalid):
        start_of(SessionOrder(TEAM, context={"personas": 7}))


@pytest.mark.parametrize("verb", ["start", "resume", "fork", "begin"])
def test_a_process_that_only_runs_its_own_starts_nothing_for_others(
    runtime: Runtime, serve: Serve, tmp_path: Path, verb: str
) -> None:
    ended(runtime, runtime, TEAM, tmp_path)
    supervisor = serve(hosts=False).supervisor
    asked: Asked = {
        "start": lambda: supervisor.carry_out(start_of(SessionOrder(TEAM))),
        "resume": lambda: supervisor.resume_session(session_id="s-1"),
        "fork": lambda: supervisor.fork_session(session_id="s-1", base_dir=str(tmp_path)),
        "begin": lambda: supervisor.begin_phases(session_id="s-1", phases=("build",)),
    }

    with pytest.raises(SessionsNotHosted, match="`maestro-runtime serve`"):
        asked[verb]().get(timeout=BOUND_SECONDS)

    assert [record.session_id for record in runtime.store.sessions.scan()] == ["s-1"]


def test_who_connects_is_told_whether_sessions_are_hosted(runtime: Runtime) -> None:
    assert RuntimeGate(runtime, hosts=True).welcome().hosts
    assert not RuntimeGate(runtime).welcome().hosts
