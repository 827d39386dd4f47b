"""The team engine phase by phase: for people, and for programs that have a DAG of their own."""

import asyncio
from collections.abc import Sequence

from maestro_actors.sessions.plan import plan_of
from maestro_runtime.given import Given
from maestro_runtime.team_engine.context import TeamExecutionContext
from maestro_runtime.team_engine.engine import TeamExecutionEngineV2
from maestro_storage.plan import Stretch


class TeamExecutionEngineV2SplitMode(TeamExecutionEngineV2):
    """Executes single phases, batches of them, and plans with stops.

    In all methods `requirement`, `session_id` and `given` are as in `execute`. `given` with files
    starts a new session at the first phase asked for, in place of all that come before it; for one
    that began otherwise it is a `SessionConflict`.
    """

    async def execute_phase(
        self,
        name: str,
        requirement: str | None = None,
        *,
        session_id: str | None = None,
        given: Given | None = None,
    ) -> TeamExecutionContext:
        """Execute one phase, and nothing else; one that is done is not executed again.

        Calls for different phases of a session may run beside each other, each ends with its phase.

        Raises:
            PhaseConflict: The phase runs already.
            PhaseNotReady: A phase before it is neither done nor about to be.
            PlanInvalid: The team has no such phase.
            GivenMissing: `given` lacks what an earlier phase owes.
            and as `Runtime.run`.
        """
        return await self.execute_batch([name], requirement, session_id=session_id, given=given)

    async def execute_batch(
        self,
        phases: Sequence[str],
        requirement: str | None = None,
        *,
        session_id: str | None = None,
        given: Given | None = None,
    ) -> TeamExecutionContext:
        """Execute a stretch of phases without a stop, in the order of their DAG.

        Raises: as `execute_phase`.
        """
        start_at = phases[0] if given and given.files and phases else None
        order = self._order(plan_of(phases), requirement, session_id, given, start_at)
        name = await asyncio.to_thread(self._created, order, as_it_is=not (requirement or given))
        run = await asyncio.to_thread(self._runtime.run_phases, name, phases)
        return await self._finished(name, run)

    async def execute_mixed(
        self,
        plan: Sequence[Stretch],
        requirement: str | None = None,
        *,
        session_id: str | None = None,
        given: Given | None = None,
    ) -> TeamExecutionContext:
        """Execute a plan up to its next stop; the context says in `stop` what is to be done there.

        `resume` goes on with the next stretch, also in another process: the plan is durable. After
        the last one it executes whatever is left.

        Raises: as `execute_phase`, and SessionConflict if the session runs by another plan.
        """
        whole = tuple(plan)
        first = whole[0].phases[0] if given and given.files and whole and whole[0].phases else None
        order = self._order(whole, requirement, session_id, given, first)
        name = await asyncio.to_thread(self._created, order, as_it_is=not (requirement or given))
        session = await asyncio.to_thread(self._resumed, name, whole)
        return await self._finished(name, session)
