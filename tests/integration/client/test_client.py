"""A client does what the runtime does that it is connected to."""

import asyncio
import inspect
import threading
from decimal import Decimal
from pathlib import Path

import msgspec
import pykka
import pytest

from daemon_team import TEAM
from hosted import BOUND_SECONDS, Hosted
from maestro_actors.engine import Usage
from maestro_actors.errors import VerbRefused
from maestro_actors.help.answer import Answer
from maestro_actors.ledger.budget import Budget
from maestro_actors.messages import CorrectCall, GetBreaker, encode
from maestro_actors.team import Persona, Phase, Team
from maestro_runtime import (
    AsyncClient,
    Client,
    ForkOrder,
    Runtime,
    SessionOrder,
    connect,
    connect_async,
)
from maestro_runtime.checkpoints import ImportOrder, export, find_checkpoint
from maestro_runtime.client import _link
from maestro_runtime.client._client import socket_path
from maestro_runtime.errors import HelpNeeded
from maestro_runtime.proxies import Proxies
from maestro_runtime.top_up import TopUpOrder
from maestro_runtime.wire.errors import (
    DaemonUnreachable,
    RemoteFailure,
    RequestInvalid,
    TooManyRequests,
)
from maestro_runtime.wire.news import NEWS_ADDRESS, SESSIONS_MAX, WhoRests
from maestro_storage.errors import NotFound

OWN = {"channel", "welcome", "session", "accepted", "phase_run"}
"""What only a client has: it can be told from a runtime."""


def slow_team(**personas: float) -> Team:
    """Return a team with a task for each persona that takes so many seconds."""
    (contract,) = TEAM.contracts
    return msgspec.structs.replace(
        TEAM,
        personas={
            name: Persona(persona_id=name, latency_seconds=seconds)
            for name, seconds in personas.items()
        },
        contracts=tuple(
            msgspec.structs.replace(contract, id=name, provider_persona_id=name)
            for name in personas
        ),
        max_parallel_workers=4,
    )


def test_a_session_is_run_and_its_result_is_that_of_the_runtime(
    hosted: Hosted, client: Client, tmp_path: Path
) -> None:
    order = SessionOrder(TEAM, "s-1", tmp_path / "out")

    report = client.run(order).result(BOUND_SECONDS)

    assert report.state == "done"
    assert report == hosted.runtime.run(order).report()
    assert client.submit(order).require(BOUND_SECONDS) == report
    assert client.session("s-1").rests in (True, False)


def test_a_session_is_awaited_without_blocking_the_loop(client: Client, tmp_path: Path) -> None:
    async def awaited() -> str:
        return (await client.run(SessionOrder(TEAM, "s-1", tmp_path / "out"))).state

    assert asyncio.run(awaited()) == "done"


def public(kind: type) -> set[str]:
    """Return the names that a class offers, but for the proxies that all have."""
    return {name for name in dir(kind) if not name.startswith("_")} - set(dir(Proxies))


def parameters(verb: object) -> list[inspect.Parameter]:
    """Return what a verb takes: names, kinds, defaults and types; none of what is no method."""
    return list(inspect.signature(verb).parameters.values()) if inspect.isfunction(verb) else []


def test_the_verbs_of_a_client_are_those_of_a_runtime() -> None:
    # An attribute of a runtime is not one of its class.
    assert public(Client) - public(Runtime) - {"store"} == OWN
    # A type variable is one of its module.
    for name in (public(Client) & public(Runtime)) - {"looked"}:
        ours, theirs = getattr(Client, name), getattr(Runtime, name)
        assert parameters(ours) == parameters(theirs), name


def test_the_verbs_of_an_async_client_are_those_of_a_client_that_draws_its_own_ids() -> None:
    # What a loop has no use for, because it would wait, or has no need of.
    assert public(Client) - public(AsyncClient) == {
        *("accepted", "channel", "close", "ended", "leave", "looked", "next_events", "phase_run"),
        *("settle_tickets", "store", "welcome"),
    }
    assert public(AsyncClient) <= public(Client)
    for name in public(AsyncClient):
        theirs = parameters(getattr(Client, name))
        expected = [item for item in theirs if item.name != "request_id"]
        assert parameters(getattr(AsyncClient, name)) == expected, name


def test_the_events_of_a_session_come_in_order_and_end_with_it(
    hosted: Hosted, client: Client, tmp_path: Path
) -> None:
    session = client.run(SessionOrder(TEAM, "s-1", tmp_path / "out"))

    events = list(session.events())

    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert "session_done" in [event.kind for event in events]
    assert list(session.events(since=3)) == events[2:]
    assert list(hosted.runtime.run(SessionOrder(TEAM, "s-1")).events()) == events
    assert list(session.events(since=10_000)) == []


def test_the_events_of_a_session_that_is_not_there_are_not_found(client: Client) -> None:
    with pytest.raises(NotFound, match="no such session: 'nobody'"):
        next(iter(client.session("nobody").events()))


def test_a_session_is_cancelled_by_its_handle(client: Client, tmp_path: Path) -> None:
    session = client.run(SessionOrder(slow_team(dev=600.0), "s-1", tmp_path / "out"))

    session.cancel(deadline_seconds=0.0)

    assert session.result(BOUND_SECONDS).state == "cancelled"


def test_the_verbs_do_what_they_do_in_the_runtime(client: Client, tmp_path: Path) -> None:
    persona = Persona(persona_id="dev", script=("permanent", "permanent"))
    team = msgspec.structs.replace(TEAM, personas={"dev": persona})
    client.run(SessionOrder(team, "s-1", tmp_path / "out")).result(BOUND_SECONDS)
    client.retry("s-1", "c1")
    with pytest.raises(HelpNeeded):
        client.resume("s-1").require(BOUND_SECONDS)
    assert client.rerun("s-1", "build").tasks == ("c1",)
    assert client.checkpoint("s-1", "mine") == 2
    assert client.run_phases("s-1", ["build"]).result(BOUND_SECONDS).state == "done"
    fork = client.fork(ForkOrder("s-1", base_dir=tmp_path))
    assert fork.result(BOUND_SECONDS).state == "done"
    client.prune("s-1")
    export(client.store, find_checkpoint(client.store, "s-1", None), tmp_path / "b.tar")
    client.remove("s-1-fork-1")
    with pytest.raises(VerbRefused):
        client.pause("s-1")
    assert client.open_breaker("rehearsal").state == "open"
    assert client.close_breaker("rehearsal").state == "closed"
    client.keep_values({"name": b"1"})
    assert [record.value for record in client.store.values.scan()] == [b"1"]


def test_an_answer_and_a_top_up_let_tasks_go_on(client: Client, tmp_path: Path) -> None:
    persona = Persona(persona_id="dev", script=("permanent",), give_up_on_failure=False)
    budget = Budget(id="small", limit=1, window="session", action="park")
    asking = msgspec.structs.replace(TEAM, personas={"dev": persona})
    poor = msgspec.structs.replace(TEAM, budgets=(budget,))
    for name, team in (("s-1", asking), ("s-2", poor)):
        session = client.run(SessionOrder(team, name, tmp_path / name))
        assert session.result(BOUND_SECONDS).state == "help_needed"

    client.answer("s-1", "c1", Answer(decision="retry"))
    done = client.top_up(TopUpOrder(budget_id="small", amount=Decimal(10**6), reason="more"))

    assert done.retried == (("s-2", "c1"),)
    for name in ("s-1", "s-2"):
        assert client.resume(name).result(BOUND_SECONDS).state == "done"


def test_the_ends_of_many_sessions_take_one_request(client: Client, tmp_path: Path) -> None:
    """They outnumber by far what a connection may have under way."""
    sessions = [
        client.run(SessionOrder(TEAM, f"s-{number}", tmp_path / str(number)))
        for number in range(100)
    ]
    sessions.append(
        client.run(SessionOrder(slow_team(dev=600.0), "slow", tmp_path / "slow")),
    )
    sessions[-1].events()

    assert {session.result(BOUND_SECONDS).state for session in sessions[:-1]} == {"done"}
    with pytest.raises(pykka.Timeout):
        sessions[-1].result(0.01)
    client.cancel("slow", deadline_seconds=0.0)
    assert sessions[-1].result(BOUND_SECONDS).state == "cancelled"


def test_the_phases_of_a_session_end_one_by_one(client: Client, tmp_path: Path) -> None:
    (contract,) = TEAM.contracts
    team = msgspec.structs.replace(
        TEAM,
        phases=(Phase(name="build"), Phase(name="ship", after=("build",))),
        contracts=(contract, msgspec.structs.replace(contract, id="c2", phase="ship")),
    )
    name = client.create(SessionOrder(team, "s-1", tmp_path / "out"))

    first = client.run_phases(name, ["build"]).result(BOUND_SECONDS)
    second = client.run_phases(name, ["ship"]).result(BOUND_SECONDS)

    assert (first.state, second.state) == ("paused", "done")


def test_more_streams_than_a_connection_can_have_are_refused(
    client: Client, tmp_path: Path
) -> None:
    client.run(SessionOrder(slow_team(dev=600.0), "s-1", tmp_path / "out"))
    waiting = [client.next_events("s-1", 10_000) for _ in range(_link.WAITS_MAX)]

    with pytest.raises(TooManyRequests, match="may have 24 requests under way"):
        client.next_events("s-1", 10_000)

    client.leave(waiting[0])
    assert not client.next_events("s-1", 10_000).is_done
    client.cancel("s-1", deadline_seconds=0.0)
    assert all(future.get(timeout=BOUND_SECONDS).over is not None for future in waiting[1:])


def test_streams_crowd_out_neither_results_nor_other_requests(
    client: Client, tmp_path: Path
) -> None:
    client.run(SessionOrder(slow_team(dev=600.0), "s-1", tmp_path / "out"))
    waiting = [client.next_events("s-1", 10_000) for _ in range(_link.WAITS_MAX)]

    quick = client.run(SessionOrder(TEAM, "s-2", tmp_path / "other"))

    assert quick.result(BOUND_SECONDS).state == "done"
    phases = client.run_phases("s-2", ["build"])
    assert client.store.require_session("s-1").state == "running"
    with pytest.raises(TooManyRequests):
        phases.result(BOUND_SECONDS)
    assert not any(future.is_done for future in waiting)


def test_a_full_queue_refuses_the_next_request(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_link, "IN_FLIGHT_MAX", 0)
    monkeypatch.setattr(_link, "QUEUE_MAX", 2)
    for _ in range(2):
        client.channel.ask("urn:maestro:breaker/x", encode(GetBreaker()))

    with pytest.raises(TooManyRequests, match="may have 2 requests under way"):
        client.channel.ask("urn:maestro:breaker/x", encode(GetBreaker()))


def test_many_threads_share_one_connection_and_each_gets_its_own_answer(
    hosted: Hosted, client: Client
) -> None:
    hosted.runtime.keep_values({f"name-{number}": b"%d" % number for number in range(200)})
    wrong = []

    def read(number: int) -> None:
        record = client.store.values.get(f"name-{number}")
        if record is None or record.value != b"%d" % number:
            wrong.append(number)

    threads = [threading.Thread(target=read, args=(number,)) for number in range(200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(BOUND_SECONDS)

    assert not wrong


def test_nobody_answers_where_no_daemon_is(tmp_path: Path) -> None:
    with pytest.raises(DaemonUnreachable, match="no daemon answers at socket"):
        connect(state_dir=tmp_path)


def test_a_closed_client_fails_what_waits_and_refuses_what_comes(
    hosted: Hosted, tmp_path: Path
) -> None:
    with hosted.client() as client:
        session = client.run(SessionOrder(slow_team(dev=600.0), "s-1", tmp_path / "out"))
        waiting = client.next_events("s-1", 10_000)

    with pytest.raises(DaemonUnreachable, match="the client was closed"):
        waiting.get(timeout=BOUND_SECONDS)
    with pytest.raises(DaemonUnreachable, match="the client is closed"):
        session.report()


def test_the_verbs_can_be_awaited(hosted: Hosted, tmp_path: Path) -> None:
    async def program() -> None:
        async with connect_async(hosted.socket) as client:
            session = await client.submit(SessionOrder(TEAM, "s-1", tmp_path / "out"))
            kinds = [event.kind async for event in session.events()]
            assert "session_done" in kinds
            assert (await session.require(BOUND_SECONDS)).state == "done"
            assert await session == await session.report()
            assert await client.checkpoint("s-1", "mine") == 3
            assert (await client.rerun("s-1", "build")).tasks == ("c1",)
            paused = await client.pause("s-1")
            assert (await paused).state == "paused"
            assert (await (await client.resume("s-1"))).state == "done"
            assert (await client.open_breaker("rehearsal")).state == "open"
            assert (await client.close_breaker("rehearsal")).state == "closed"
            await client.keep_values({"name": b"1"})
            assert (await client.prune("s-1")).kept
            correction = CorrectCall(
                session_id="s-1",
                call_id=bytes(16),
                correction_id="n1",
                usage=Usage(),
                reason="",
                at_ms=0,
            )
            with pytest.raises(NotFound):
                await client.correct(correction)
            status = await client.breaker("rehearsal").status()
            assert status.state == "closed"
            slow = await client.run(SessionOrder(slow_team(dev=600.0), "slow", tmp_path / "slow"))
            with pytest.raises(TimeoutError):
                await slow.result(0.01)
            phases = await client.run_phases("s-1", ["build"])
            assert (await phases).state == "done"
            await slow.cancel(deadline_seconds=0.0)
            assert (await slow).state == "cancelled"
            store = hosted.runtime.store
            bundle, _ = export(
                store, find_checkpoint(store, "s-1", None), tmp_path / "bundle"
            ).paths
            await client.remove("s-1")
            imported = await client.import_bundle(ImportOrder(Path(bundle), tmp_path / "again"))
            assert imported.session_id == "s-1"

    asyncio.run(asyncio.wait_for(program(), BOUND_SECONDS))


def test_the_socket_is_the_one_that_is_named_or_that_of_the_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAESTRO_STATE_DIR", str(tmp_path / "env"))
    monkeypatch.delenv("MAESTRO_SOCKET", raising=False)
    assert socket_path() == tmp_path / "env" / "maestro.sock"
    monkeypatch.setenv("MAESTRO_SOCKET", "/run/maestro")
    assert socket_path() == Path("/run/maestro")
    assert socket_path(state_dir=tmp_path / "state") == tmp_path / "state" / "maestro.sock"
    assert socket_path("/run/mine") == Path("/run/mine")


def test_a_question_about_too_many_sessions_is_refused(client: Client) -> None:
    asked = WhoRests(sessions=("s",) * (SESSIONS_MAX + 1))

    with pytest.raises(RequestInvalid, match="at most 4096 sessions"):
        client.channel.ask(NEWS_ADDRESS, encode(asked)).get(timeout=BOUND_SECONDS)


def test_the_result_after_a_cancel_is_that_of_the_cancel_and_not_an_earlier_one(
    client: Client, tmp_path: Path
) -> None:
    failing = msgspec.structs.replace(
        TEAM,
        personas={
            name: msgspec.structs.replace(persona, script=("permanent",))
            for name, persona in TEAM.personas.items()
        },
    )
    session = client.run(SessionOrder(failing, "s-1", tmp_path / "out"))
    assert session.result(BOUND_SECONDS).state == "failed"
    client.retry("s-1", TEAM.contracts[0].id)

    session.cancel()

    assert session.result(BOUND_SECONDS).state == "cancelled"


@pytest.mark.parametrize("error", [FileNotFoundError(2, "no such file"), TimeoutError("in time")])
def test_an_error_of_the_system_is_an_answer_and_not_a_break(
    hosted: Hosted, client: Client, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    """A connection that breaks has the order sent again, and again."""

    def refused(_values: object) -> None:
        raise error

    monkeypatch.setattr(hosted.runtime, "keep_values", refused)

    with pytest.raises(RemoteFailure, match=type(error).__name__):
        client.supervisor.keep_values(values={}).get(timeout=BOUND_SECONDS)


def test_who_waits_for_a_damaged_session_disturbs_nobody(
    hosted: Hosted, client: Client, tmp_path: Path
) -> None:
    whole = client.run(SessionOrder(slow_team(dev=600.0), "whole", tmp_path / "whole"))
    waiting = client.ended("whole")
    hosted.runtime.store.quarantined["damaged"] = ("sessions/damaged",)

    client.ended("damaged").get(timeout=BOUND_SECONDS)

    assert not waiting.is_done
    whole.cancel(deadline_seconds=0.0)
    waiting.get(timeout=BOUND_SECONDS)
