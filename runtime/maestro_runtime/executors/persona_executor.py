"""Level 1: a persona tries, a few times, with pauses in between."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from maestro_runtime.executors._crew import Crew
from maestro_runtime.executors._shared import shared_runtime, started
from maestro_runtime.executors._work import Work, import_dir_of, reference_of
from maestro_runtime.executors.config import ExecutionConfig
from maestro_runtime.executors.errors import UnrecoverableError
from maestro_runtime.executors.persona_executor_v2 import own_contract
from maestro_runtime.executors.result import PersonaResult, persona_result
from maestro_runtime.executors.state_persistence import StatePersistence
from maestro_runtime.session import Session, SessionOrder


class PersonaExecutor:
    """Has one persona work in a directory, in one round of attempts. Any event loop.

    Making one opens the state directory and, unless the configuration says otherwise, goes on with
    what this persona was doing here when an earlier process ended: in the background, from where it
    was. Then `execute` with what it was doing, or `restore_latest`, waits for it.

    Args:
        persona_id: Who works.
        output_dir: The workspace; made when it is needed. Relative to the current directory.
        work: A function of a module, called once for each attempt by the `python` engine; it raises
            `RecoverableError` or `UnrecoverableError` to say what has failed. None: the engine is
            that of `persona_config`, else that of `MAESTRO_ENGINE`, else `rehearsal`.
        config: How it tries, and where its state is.
        persona_config: Keys of a persona in a team file, over those of `config.retry`.

    Raises:
        WorkNotImportable: `work` is not found under its name.
        StateOwned, StateNotWritable, StorageError: The state directory cannot be used.
        EngineNotReady, CheckNotReady, DirectoryUnusable: What was interrupted cannot go on here.
    """

    def __init__(
        self,
        persona_id: str,
        output_dir: Path | str,
        work: Work | None = None,
        *,
        config: ExecutionConfig | None = None,
        persona_config: Mapping[str, Any] | None = None,
    ) -> None:
        self.persona_id = persona_id
        self.output_dir = Path(output_dir)
        self.config = config or ExecutionConfig()
        persona = {**msgspec.to_builtins(self.config.retry), **(persona_config or {})}
        if work is not None:
            persona |= {"engine": "python", "callable": reference_of(work)}
        self.crew = Crew(
            name=persona_id,
            output_dir=self.output_dir,
            persona_config=persona,
            breaker=msgspec.to_builtins(self.config.breaker),
            base_dir=None if work is None else import_dir_of(work),
        )
        self.persistence = StatePersistence(self.config.state.state_dir)
        self.state_manager = self.persistence.state_manager
        self.session_id = ""
        """Of what it did last, in this process or an earlier one; empty if nothing."""
        self.interrupted = self._load_state()
        """What an earlier process was doing, which goes on in the background."""

    @property
    def attempts(self) -> int:
        """Attempts begun in its last session, as they are on record."""
        store = shared_runtime(self.persistence.state_dir).store
        return sum(task.ordinal for task in store.tasks.scan(self.session_id))

    @property
    def final_status(self) -> str:
        """How its last session ended: "done", "failed", "help_needed" ...; empty if it has not."""
        record = shared_runtime(self.persistence.state_dir).store.sessions.get(self.session_id)
        return "" if record is None or record.state in ("queued", "running") else record.state

    async def execute(
        self,
        requirement: str,
        contract: Mapping[str, Any],
        context: Mapping[str, Any] | None = None,
    ) -> PersonaResult:
        """Fulfil a contract in one round of attempts; durable on return.

        The same call after a crash goes on where it was; after the end it answers from the records.
        Used alone, its last failure is final for the runtime too, which files a ticket of it.

        Args:
            requirement: What to build.
            contract: A contract as a team file has it; its persona may be left out.
            context: See `PersonaExecutorV2.execute`; `retry.max_rounds` is 1, whatever it says.

        Returns:
            What was done; without `success` only if somebody has stopped the session.

        Raises:
            UnrecoverableError: The attempts are used up, or no further one could help; its `result`
                tells what there was.
            ContractNotOwn, TeamFileInvalid, ContextInvalid: What was given breaks rules.
            RuntimeStopped, StorageError: As `PersonaExecutorV2.execute`.
        """
        given = dict(context or {})
        given["retry"] = {**given.get("retry", {}), "max_rounds": 1}
        order = self.crew.order(requirement, [own_contract(self.persona_id, contract)], given)
        return await self._judged(await self.start(order))

    async def restore_latest(self) -> PersonaResult | None:
        """Wait for what was interrupted when this executor was made; None if nothing was.

        Raises:
            UnrecoverableError, RuntimeStopped, StorageError: As `execute`.
        """
        return None if self.interrupted is None else await self._judged(self.interrupted)

    async def start(self, order: SessionOrder) -> Session:
        """Start or take up a session of this persona, whose end is for the caller to judge."""
        session = await started(order, self.persistence.state_dir)
        self.session_id = session.session_id
        return session

    async def _judged(self, session: Session) -> PersonaResult:
        result = persona_result(await session, self.persona_id)
        # Who pauses or cancels a session has not heard of a failure, and must not.
        if result.success or result.state not in {"failed", "help_needed"}:
            return result
        reasons = "; ".join(result.errors)
        detail = f"session {result.session_id!r} failed, attempts: {result.attempts}: {reasons}"
        error = UnrecoverableError(detail)
        error.result = result
        raise error

    def _load_state(self) -> Session | None:
        """Find what it did last, and take it up if it was interrupted."""
        record = self.persistence.latest(team=self.persona_id, output_dir=self.output_dir)
        if record is None:
            return None
        self.session_id = record.session_id
        if not self.config.state.auto_resume:
            return None
        return self.persistence.restore_latest(team=self.persona_id, output_dir=self.output_dir)
