"""Checked by mypy, not run: what a program that uses the public names may rely on."""

from pathlib import Path
from typing import assert_type

import pykka

import maestro_runtime
import maestro_runtime.checkpoints
import maestro_runtime.client
import maestro_runtime.config
import maestro_runtime.daemon
import maestro_runtime.engines
import maestro_runtime.executors
import maestro_runtime.team_engine
import maestro_runtime.testing
import maestro_runtime.tickets
from maestro_actors.messages import BreakerChanged, BreakerStatus, SessionStatus, SessionUsage
from maestro_actors.team import Team
from maestro_runtime import (
    ForkOrder,
    Runtime,
    Session,
    SessionFilter,
    SessionOrder,
    SessionPage,
    list_sessions,
    open_runtime,
)
from maestro_runtime.policy import RuntimePolicy
from maestro_runtime.reports.session import SessionReport
from maestro_storage.records import BreakerState


def embeds(team: Team) -> None:
    """Open, run, wait, look."""
    with open_runtime(Path("state")) as runtime:
        assert_type(runtime, Runtime)
        session = runtime.run(SessionOrder(team))
        assert_type(session, Session)
        assert_type(session.result(), SessionReport)
        assert_type(runtime.fork(ForkOrder("s", "phase")), Session)
        assert_type(runtime.coordinator("s").status(), pykka.Future[SessionStatus])
        assert_type(runtime.accountant.usage("s").get(), SessionUsage)
        assert_type(runtime.breaker("rehearsal").status().get(), BreakerStatus)
        runtime.subscribe_breakers(hears)
        assert_type(runtime.resume("s", team=team, accept_changes=True), Session)
        assert_type(runtime.pause("s", reason="lunch"), Session)
        runtime.pause("s", because="lunch")  # type: ignore[call-arg] # verbs keep their types
        assert_type(runtime.policy, RuntimePolicy)
        wanted = SessionFilter(states=("running",), labels=(("team", None),))
        assert_type(list_sessions(runtime.store, wanted, limit=5), SessionPage)


def hears(change: BreakerChanged) -> None:
    """A change says which breaker, and what it does now."""
    assert_type((change.name, change.state), tuple[str, BreakerState])


async def awaits(session: Session) -> None:
    """A session is awaitable."""
    assert_type(await session, SessionReport)


def misspells() -> None:
    """A name that a package does not have is found, although the package loads its names late."""
    _ = maestro_runtime.open_runtme  # type: ignore[attr-defined] # misspelt
    _ = maestro_runtime.checkpoints.ForkOrdr  # type: ignore[attr-defined] # misspelt
    _ = maestro_runtime.client.Clint  # type: ignore[attr-defined] # misspelt
    _ = maestro_runtime.config.load_tam  # type: ignore[attr-defined] # misspelt
    _ = maestro_runtime.daemon.Damon  # type: ignore[attr-defined] # misspelt
    _ = maestro_runtime.engines.Engin  # type: ignore[attr-defined] # misspelt
    _ = maestro_runtime.executors.PersonaExecutor3  # type: ignore[attr-defined] # misspelt
    _ = maestro_runtime.team_engine.TeamEngine  # type: ignore[attr-defined] # misspelt
    _ = maestro_runtime.testing.Trial  # type: ignore[attr-defined] # misspelt
    _ = maestro_runtime.tickets.FileSnk  # type: ignore[attr-defined] # misspelt
