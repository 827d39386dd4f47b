"""Several personas, many contracts: run side by side as far as the contracts allow."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from maestro_runtime.executors._crew import Crew
from maestro_runtime.executors._shared import resolved_state_dir, shared_runtime, started
from maestro_runtime.executors.result import ParallelResult, parallel_result

TEAM_NAME: Final = "parallel"
"""Of the teams that a coordinator makes."""


class ParallelCoordinatorV2:
    """Has personas fulfil contracts together in one directory. Any thread, any event loop.

    Args:
        output_dir: The workspace of all; made when it is needed. Relative to the current directory.
        max_parallel_workers: Most contracts in work at the same time.
        persona_config: Keys of a persona in a team file, for every persona; otherwise as that of
            `PersonaExecutorV2`.
        personas: The same by persona id, over those of every persona.
        state_dir: None: `MAESTRO_STATE_DIR`, else `/var/maestro/state`.

    Raises:
        SettingInvalid: `MAESTRO_STATE_DIR` does not name a directory.
    """

    def __init__(
        self,
        output_dir: Path | str,
        max_parallel_workers: int = 4,
        *,
        persona_config: Mapping[str, Any] | None = None,
        personas: Mapping[str, Mapping[str, Any]] | None = None,
        state_dir: Path | str | None = None,
    ) -> None:
        self.output_dir = Path(output_dir)
        self.max_parallel_workers = max_parallel_workers
        self.state_dir = resolved_state_dir(state_dir)
        self._crew = Crew(
            name=TEAM_NAME,
            output_dir=self.output_dir,
            persona_config=persona_config or {},
            personas=personas or {},
            max_parallel_workers=max_parallel_workers,
        )

    async def execute_parallel(
        self,
        requirement: str,
        contracts: Iterable[Mapping[str, Any]],
        context: Mapping[str, Any] | None = None,
    ) -> ParallelResult:
        """Fulfil all contracts, or as many as can be; durable on return.

        A contract begins when those in its `after`, or `depends_on`, are done; what depends on a
        failed one is left undone. Contracts that name phases are taken phase by phase, in the order
        in which the phases are first named.

        The same call after a crash goes on where it was, by the `session_id` of the context if it
        has one; after the end it answers from the records and spends nothing.

        Args:
            requirement: What to build.
            contracts: As a team file has them, each with its `provider_persona_id`.
            context: See `PersonaExecutorV2.execute`; it goes for every persona.

        Returns:
            What was done. Work that fails, or waits for a person, is a result without `success`.

        Raises:
            SessionConflict: A session of this id exists, for something else.
            TeamFileInvalid, ContextInvalid, SettingInvalid: What was given breaks rules.
            StateOwned, StateNotWritable: The state directory cannot be used.
            EngineNotReady, DirectoryUnusable: As `Runtime.run`.
            RuntimeStopped: The runtime was closed before the end.
            StorageError: The store failed; what was acknowledged is safe.
        """
        order = self._crew.order(requirement, contracts, context)
        return parallel_result(await (await started(order, self.state_dir)))

    def execute_parallel_sync(
        self,
        requirement: str,
        contracts: Iterable[Mapping[str, Any]],
        context: Mapping[str, Any] | None = None,
    ) -> ParallelResult:
        """Block until nothing more can run; otherwise as `execute_parallel`."""
        order = self._crew.order(requirement, contracts, context)
        return parallel_result(shared_runtime(self.state_dir).run(order).result())
