"""A team from end to end, with a checkpoint after each phase."""

import asyncio
from collections.abc import Awaitable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from maestro_actors.team import Team
from maestro_runtime.checkpoints import export
from maestro_runtime.given import Given
from maestro_runtime.recorded import recorded_team
from maestro_runtime.session import Session, SessionOrder
from maestro_runtime.stream import EventStream
from maestro_runtime.team_engine.context import TeamExecutionContext, context_of
from maestro_storage.plan import Plan

if TYPE_CHECKING:
    from maestro_runtime.client import Client
    from maestro_runtime.runtime import Runtime

_WRITTEN: Final = frozenset({"session_started", "phase_finished", "checkpoint_taken"})
"""Events that come with a checkpoint."""


class TeamExecutionEngineV2:
    """Executes a team on a runtime, and returns contexts. One event loop at a time.

    Work that fails is in the context and never raised; what is raised is an order that cannot be
    followed, or a runtime that stopped. Everything a context says is durable.
    """

    def __init__(
        self,
        team: Team,
        runtime: "Runtime | Client",
        *,
        output_dir: Path | None = None,
        input_dir: Path | None = None,
        checkpoint_dir: Path | None = None,
        context: Mapping[str, Any] | None = None,
    ) -> None:
        """Prepare an engine; nothing is started.

        Args:
            team: What is executed.
            runtime: What executes it, here or in another process; open while the engine is used,
                and its owner's to close.
            output_dir: The workspace; None: `maestro-output/<session id>`.
            input_dir: The source tree to work on, if the team needs one.
            checkpoint_dir: Where `checkpoint_init.json` and `checkpoint_<phase>.json` are written,
                as soon as each checkpoint is durable; None: nowhere. They are copies: what counts
                are the records.
            context: What applies to every persona; see `SessionOrder`. A session that was started
                with one has a team with that context in it.
        """
        self._team: Final = team
        self._runtime: Final = runtime
        self._output_dir: Final = output_dir
        self._input_dir: Final = input_dir
        self._checkpoint_dir: Final = checkpoint_dir
        self._context: Final = context
        self._exported: set[tuple[str, int]] = set()
        self.session_id: str | None = None
        """The session of the last call, and of the next one that names none."""

    async def execute(
        self,
        requirement: str | None = None,
        *,
        session_id: str | None = None,
        given: Given | None = None,
    ) -> TeamExecutionContext:
        """Execute all phases that are left, without a stop; what has failed is tried again.

        Args:
            requirement: What to build, instead of the team's.
            session_id: The session, resumed if it exists; None: the one of the call before, else
                derived from team, requirement and directories.
            given: A context for all personas, if it has no files.

        Raises: as `Runtime.run`.
        """
        order = self._order((), requirement, session_id, given, None)
        name = await asyncio.to_thread(self._created, order, as_it_is=not (requirement or given))
        return await self._finished(name, await asyncio.to_thread(self._resumed, name, ()))

    async def resume(
        self, session_id: str, *, accept_changes: bool = False
    ) -> TeamExecutionContext:
        """Go on with a session after its last checkpoint: what is done is not executed again.

        One that came to a stop of its plan goes on to the next one. What has failed is tried again.
        With `accept_changes` one of another team goes on with that of this engine.

        Raises: as `Runtime.resume`; TeamChanged if it has another team, and that is not accepted.
        """
        team = None
        if accept_changes:
            team = await asyncio.to_thread(self._team_of, session_id)
        else:
            await asyncio.to_thread(self._require_team, session_id)
        self.session_id = session_id
        session = await asyncio.to_thread(self._resumed, session_id, None, team)
        return await self._finished(session_id, session)

    def _resumed(self, session_id: str, plan: Plan | None, team: Team | None = None) -> Session:
        """Resume a session, with another try for each of its tasks that has failed.

        With `team` it goes on with that.
        """
        for task in list(self._runtime.store.tasks.scan(session_id)):
            if task.state == "failed":
                self._runtime.retry(session_id, task.task_id)
        return self._runtime.resume(session_id, plan, team=team, accept_changes=team is not None)

    async def context(self, session_id: str | None = None) -> TeamExecutionContext:
        """Return where a session stands now.

        Raises:
            NotFound: There is no such session.
            SessionQuarantined: A record of it is damaged.
        """
        name = session_id or self.session_id or ""
        return await asyncio.to_thread(context_of, self._runtime.store, name)

    async def checkpoint(self, name: str, session_id: str | None = None) -> TeamExecutionContext:
        """Write down where a session stands, under a name, also while it runs.

        Raises: as `Runtime.checkpoint`.
        """
        session = session_id or self.session_id or ""
        await asyncio.to_thread(self._runtime.checkpoint, session, name)
        if self._checkpoint_dir is not None:
            await asyncio.to_thread(self._export, session, self._checkpoint_dir)
        return await self.context(session)

    def _order(
        self,
        plan: Plan,
        requirement: str | None,
        session_id: str | None,
        given: Given | None,
        start_at: str | None,
    ) -> SessionOrder:
        team = self._team
        if requirement is not None:
            team = msgspec.structs.replace(team, requirement=requirement)
        order = SessionOrder(
            team,
            session_id or self.session_id,
            self._output_dir,
            self._input_dir,
            start_at=start_at,
            given=given or Given(),
            plan=plan,
            context=self._context,
        )
        self.session_id = order.resolved_id()
        return order

    def _created(self, order: SessionOrder, *, as_it_is: bool) -> str:
        """Return the session of an order; one that exists is compared in what the order says."""
        session_id = order.resolved_id()
        if as_it_is and self._runtime.store.sessions.get(session_id) is not None:
            self._require_team(session_id)
            return session_id
        return self._runtime.create(order)

    def _require_team(self, session_id: str) -> None:
        """Refuse a session of another team."""
        self._runtime.create(SessionOrder(self._team_of(session_id), session_id))

    def _team_of(self, session_id: str) -> Team:
        """Return the team as a session has it: its requirement and its inputs are its own."""
        store = self._runtime.store
        stored = recorded_team(store, store.require_session(session_id))
        team = SessionOrder(self._team, context=self._context).effective_team
        return msgspec.structs.replace(team, requirement=stored.requirement, inputs=stored.inputs)

    async def _finished(self, session_id: str, run: Awaitable[Any]) -> TeamExecutionContext:
        """Wait for a run, and keep the exported checkpoints up to date meanwhile."""
        if self._checkpoint_dir is None:
            await run
        else:
            await self._exporting(session_id, run, self._checkpoint_dir)
        return await asyncio.to_thread(context_of, self._runtime.store, session_id)

    async def _exporting(self, session_id: str, run: Awaitable[Any], folder: Path) -> None:
        """Wait for a run, and write each checkpoint of its session as soon as it is there."""
        told = asyncio.Event()
        # Those that are there already.
        told.set()
        count = await asyncio.to_thread(self._runtime.store.events.count, session_id)
        waiting = asyncio.ensure_future(_outcome(run))
        listening = asyncio.ensure_future(self._listen(session_id, count + 1, told))
        for task in (waiting, listening):
            task.add_done_callback(lambda _: told.set())
        try:
            while True:
                await told.wait()
                told.clear()
                await asyncio.to_thread(self._export, session_id, folder)
                if waiting.done():
                    break
                if listening.done():
                    # It rests, or nothing can be heard of it.
                    listening.result()
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
        await waiting

    async def _listen(self, session_id: str, since: int, told: asyncio.Event) -> None:
        async for event in EventStream(self._runtime, session_id, since):
            if event.kind in _WRITTEN:
                told.set()

    def _export(self, session_id: str, folder: Path) -> None:
        """Write the checkpoints that this engine has not written yet."""
        folder.mkdir(parents=True, exist_ok=True)
        for record in self._runtime.store.checkpoints.scan(session_id):
            if (session_id, record.number) not in self._exported:
                export(self._runtime.store, record, folder / f"checkpoint_{record.phase}.json")
                self._exported.add((session_id, record.number))


async def _outcome(run: Awaitable[Any]) -> None:
    await run
