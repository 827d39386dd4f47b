"""Level 2: rounds of attempts behind a circuit breaker, and a person when they are used up."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from maestro_runtime.executors._shared import shared_runtime
from maestro_runtime.executors.persona_executor import PersonaExecutor
from maestro_runtime.executors.persona_executor_v2 import own_contract
from maestro_runtime.executors.result import PersonaResult, persona_result
from maestro_runtime.recorded import recorded_team
from maestro_runtime.session import Session
from maestro_storage.records import BreakerState

TICKET_SECONDS: Final = 5.0
"""How long a final failure waits for its ticket before it is told without the reference."""


class SafetyRetryWrapper:
    """Gives a persona more rounds than level 1 has. Any event loop.

    `config.retry` of the executor says how many, and with which pauses; `config.breaker` when its
    engine is left alone for a while. A task that has failed for good waits for a person, unless
    `give_up_on_failure` is set: after the answer the same call goes on.

    Args:
        executor: Whose work it is.
    """

    def __init__(self, executor: PersonaExecutor) -> None:
        self.executor = executor
        waiting = {"give_up_on_failure": False, **executor.crew.persona_config}
        self._crew = replace(executor.crew, persona_config=waiting)

    @property
    def circuit_state(self) -> BreakerState:
        """What the breaker of its last session's engine does: "closed", "open" or "half_open"."""
        store = shared_runtime(self.executor.persistence.state_dir).store
        session = store.sessions.get(self.executor.session_id)
        if session is None:
            return "closed"
        team = recorded_team(store, session)
        record = store.breakers.get(team.personas[self.executor.persona_id].breaker)
        return "closed" if record is None else record.state

    async def execute(
        self,
        requirement: str,
        contract: Mapping[str, Any],
        context: Mapping[str, Any] | None = None,
    ) -> PersonaResult:
        """Fulfil a contract in as many rounds as there are; durable on return.

        The same call after a crash goes on where it was, in the middle of a pause with what is left
        of it; after the end it answers from the records. A final failure files one ticket.

        Args:
            requirement: What to build.
            contract: A contract as a team file has it; its persona may be left out.
            context: See `PersonaExecutorV2.execute`.

        Returns:
            What was done; without `success` only if somebody has stopped the session.

        Raises:
            HelpNeeded: It has failed for good, or waits for a person.
            ContractNotOwn, TeamFileInvalid, ContextInvalid: What was given breaks rules.
            RuntimeStopped, StorageError: As `PersonaExecutorV2.execute`.
        """
        own = own_contract(self.executor.persona_id, contract)
        order = self._crew.order(requirement, [own], context)
        return await self._judged(await self.executor.start(order))

    async def restore_latest(self) -> PersonaResult | None:
        """Wait for what was interrupted when the executor was made; None if nothing was.

        Raises:
            HelpNeeded, RuntimeStopped, StorageError: As `execute`.
        """
        session = self.executor.interrupted
        return None if session is None else await self._judged(session)

    async def _judged(self, session: Session) -> PersonaResult:
        result = persona_result(await session, self.executor.persona_id)
        if not result.success:
            runtime = shared_runtime(self.executor.persistence.state_dir)
            await asyncio.to_thread(runtime.settle_tickets, session.session_id, TICKET_SECONDS)
            session.require()
        return result
