"""The client for programs on an asyncio loop: the same verbs, awaited."""

import asyncio
import threading
from collections.abc import AsyncIterator, Generator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from maestro_actors.help.answer import Answer
from maestro_actors.messages import CorrectCall, Request, ToppedUp
from maestro_actors.proxy import ReplyT
from maestro_actors.team import Team
from maestro_actors.verbs.rework import Rerun
from maestro_runtime.checkpoints import ForkOrder, Imported, ImportOrder, Pruned
from maestro_runtime.client._client import Client, ClientOptions, connect
from maestro_runtime.phases import PhaseRun
from maestro_runtime.proxies import Proxies
from maestro_runtime.reports.breakers import BreakerReport
from maestro_runtime.reports.session import SessionReport
from maestro_runtime.session import CANCEL_SECONDS, Session, SessionOrder
from maestro_runtime.stream import EventStream
from maestro_runtime.top_up import TopUpOrder
from maestro_runtime.wire.orders import (
    Accepted,
    AnswerTask,
    BeginPhases,
    CancelSession,
    CloseBreaker,
    CorrectBooking,
    KeepValues,
    NameCheckpoint,
    OpenBreaker,
    PauseSession,
    PruneCheckpoints,
    RemoveSession,
    RerunPhase,
    ResumeSession,
    RetryFailed,
    TopUpBudget,
)
from maestro_runtime.wire.session_order import fork_of, import_of, start_of
from maestro_storage.plan import Plan


class AsyncSession:
    """The handle of a session, for a loop; `await` it for its result."""

    def __init__(self, session: Session) -> None:
        """Wrap a handle of a `Client`."""
        self._session = session
        self.session_id = session.session_id

    def __await__(self) -> Generator[Any, None, SessionReport]:
        """Wait until nothing more can run in the session, and return its report."""
        return self._session.__await__()

    async def result(self, timeout: float | None = None) -> SessionReport:  # noqa: ASYNC109 - as `Session.result`
        """Wait as `await`, for so many seconds at most.

        Raises:
            TimeoutError: It still runs after `timeout` seconds.
            DaemonUnreachable: Nobody has answered for longer than the client's patience.
        """
        async with asyncio.timeout(timeout):
            return await self._session

    async def require(self, timeout: float | None = None) -> SessionReport:  # noqa: ASYNC109 - as `Session.require`
        """Wait as `result`, and return the report only if no task needs help.

        Raises:
            HelpNeeded: As `Session.require`.
            TimeoutError, DaemonUnreachable: As `result`.
        """
        await self.result(timeout)
        return await asyncio.to_thread(self._session.require)

    async def report(self) -> SessionReport:
        """Return where the session stands now, as far as it is durable."""
        return await asyncio.to_thread(self._session.report)

    async def cancel(self, *, deadline_seconds: float = CANCEL_SECONDS, reason: str = "") -> None:
        """End it for good; see `Runtime.cancel`. The result follows."""
        await asyncio.to_thread(
            self._session.cancel, deadline_seconds=deadline_seconds, reason=reason
        )

    def events(self, since: int = 1) -> EventStream:
        """Return its events for `async for`; see `Session.events`."""
        return self._session.events(since)


class AsyncClient(Proxies):
    """A runtime in another process, for a loop; made by `connect_async`.

    What it raises, and how it comes back after a break, is as with `Client`. The proxies return
    futures that can be awaited.
    """

    def __init__(self, client: Client, options: ClientOptions) -> None:
        """Used by `connect_async`."""
        super().__init__(client.channel)
        self._client = client
        self._options = options

    async def run(self, order: SessionOrder) -> AsyncSession:
        """See `Runtime.run`. Directories are those of this process."""
        return self._handle(await self._done(start_of(order)))

    submit = run

    async def create(self, order: SessionOrder) -> str:
        """See `Runtime.create`."""
        return (await self._done(start_of(order, run=False))).session_id

    async def resume(
        self,
        session_id: str,
        plan: Plan | None = None,
        *,
        team: Team | None = None,
        accept_changes: bool = False,
    ) -> AsyncSession:
        """See `Runtime.resume`."""
        order = ResumeSession(
            session_id=session_id, plan=plan, team=team, accept_changes=accept_changes
        )
        return self._handle(await self._once(order))

    async def fork(self, order: ForkOrder) -> AsyncSession:
        """See `Runtime.fork`."""
        return self._handle(await self._once(fork_of(order)))

    async def pause(
        self, session_id: str, *, reason: str = "asked for", interrupt: bool = False
    ) -> AsyncSession:
        """See `Runtime.pause`."""
        order = PauseSession(session_id=session_id, reason=reason, interrupt=interrupt)
        return self._handle(await self._done(order))

    async def cancel(
        self, session_id: str, *, deadline_seconds: float = CANCEL_SECONDS, reason: str = ""
    ) -> AsyncSession:
        """See `Runtime.cancel`."""
        order = CancelSession(
            session_id=session_id, deadline_seconds=deadline_seconds, reason=reason
        )
        return self._handle(await self._done(order))

    async def retry(self, session_id: str, task_id: str) -> None:
        """See `Runtime.retry`."""
        await self._once(RetryFailed(session_id=session_id, task_id=task_id))

    async def rerun(self, session_id: str, phase: str, *, interrupt: bool = False) -> Rerun:
        """See `Runtime.rerun`."""
        order = RerunPhase(session_id=session_id, phase=phase, interrupt=interrupt)
        return await self._once(order)

    async def remove(
        self, session_id: str, *, cancel: bool = False, deadline_seconds: float = CANCEL_SECONDS
    ) -> AsyncSession:
        """See `Runtime.remove`."""
        order = RemoveSession(
            session_id=session_id, cancel=cancel, deadline_seconds=deadline_seconds
        )
        return self._handle(await self._once(order))

    async def answer(self, session_id: str, task_id: str, answer: Answer) -> None:
        """See `Runtime.answer`."""
        await self._once(AnswerTask(session_id=session_id, task_id=task_id, answer=answer))

    async def checkpoint(self, session_id: str, name: str) -> int:
        """See `Runtime.checkpoint`."""
        return (await self._once(NameCheckpoint(session_id=session_id, name=name))).number

    async def top_up(self, order: TopUpOrder) -> ToppedUp:
        """See `Runtime.top_up`."""
        return await self._once(TopUpBudget(order=order))

    async def correct(self, order: CorrectCall) -> None:
        """See `Runtime.correct`."""
        await self._done(CorrectBooking(order=order))

    async def prune(self, session_id: str) -> Pruned:
        """See `Runtime.prune`."""
        return await self._done(PruneCheckpoints(session_id=session_id))

    async def import_bundle(self, order: ImportOrder) -> Imported:
        """See `Runtime.import_bundle`. Paths are those of this process."""
        return await self._once(import_of(order))

    async def run_phases(self, session_id: str, phases: Sequence[str]) -> PhaseRun:
        """See `Runtime.run_phases`; await what this returns for the result."""
        names = tuple(dict.fromkeys(phases))
        await self._once(BeginPhases(session_id=session_id, phases=names))
        return self._client.phase_run(session_id, names)

    async def keep_values(self, values: Mapping[str, bytes | None]) -> None:
        """See `Runtime.keep_values`."""
        await self._done(KeepValues(values=dict(values)))

    async def open_breaker(self, name: str, *, by: str = "") -> BreakerReport:
        """See `Runtime.open_breaker`."""
        return await self._done(OpenBreaker(name=name, by=by))

    async def close_breaker(self, name: str, *, by: str = "") -> BreakerReport:
        """See `Runtime.close_breaker`."""
        return await self._done(CloseBreaker(name=name, by=by))

    def session(self, session_id: str) -> AsyncSession:
        """Return the handle of a session that was started somewhere; nothing is asked."""
        return AsyncSession(self._client.session(session_id))

    async def _done(self, order: Request[ReplyT]) -> ReplyT:
        return await self.supervisor.carry_out(order)

    async def _once(self, order: Request[ReplyT]) -> ReplyT:
        once = msgspec.structs.replace(order, request_id=self._options.request_ids())
        return await self._done(once)

    def _handle(self, accepted: Accepted) -> AsyncSession:
        return AsyncSession(self._client.accepted(accepted))


@asynccontextmanager
async def connect_async(
    socket: Path | str | None = None,
    state_dir: Path | str | None = None,
    options: ClientOptions | None = None,
) -> AsyncIterator[AsyncClient]:
    """Connect for the time of an `async with`; see `connect`."""
    chosen = options or ClientOptions()
    made: list[Client] = []
    over = threading.Event()

    def begin() -> Client:
        made.append(connect(socket, state_dir, chosen))
        if over.is_set():
            # Who wanted it was cancelled meanwhile, and this thread was not.
            made[0].close()
        return made[0]

    try:
        # It waits for the daemon, which the loop must not.
        client = await asyncio.to_thread(begin)
        yield AsyncClient(client, chosen)
    finally:
        over.set()
        for client in made:
            await asyncio.to_thread(client.close)
