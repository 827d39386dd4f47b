"""One persona, one contract: run to its end, across as many processes as that takes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from maestro_runtime.executors._crew import Crew
from maestro_runtime.executors._shared import resolved_state_dir, shared_runtime, started
from maestro_runtime.executors.errors import ContractNotOwn
from maestro_runtime.executors.result import PersonaResult, persona_result
from maestro_runtime.session import SessionOrder


class PersonaExecutorV2:
    """Has one persona fulfil contracts in a directory. Any thread, any event loop.

    Args:
        persona_id: Who works.
        output_dir: The workspace; made when it is needed. Relative to the current directory.
        persona_config: Keys of a persona in a team file, such as `max_attempts`, `token_budget`,
            `give_up_on_failure`, `engine`. `MAESTRO_*` variables go over them, the context over
            those. The engine is the context's, else this one's, else that of `MAESTRO_ENGINE`,
            else `rehearsal`, which works offline.
        state_dir: None: `MAESTRO_STATE_DIR`, else `/var/maestro/state`.

    Raises:
        SettingInvalid: `MAESTRO_STATE_DIR` does not name a directory.
    """

    def __init__(
        self,
        persona_id: str,
        output_dir: Path | str,
        *,
        persona_config: Mapping[str, Any] | None = None,
        state_dir: Path | str | None = None,
    ) -> None:
        self.persona_id = persona_id
        self.output_dir = Path(output_dir)
        self.state_dir = resolved_state_dir(state_dir)
        self._crew = Crew(
            name=persona_id, output_dir=self.output_dir, persona_config=persona_config or {}
        )

    async def execute(
        self,
        requirement: str,
        contract: Mapping[str, Any],
        context: Mapping[str, Any] | None = None,
    ) -> PersonaResult:
        """Fulfil a contract, or find out that it cannot be done; durable on return.

        The same call after a crash goes on where it was; after the end it answers from the records
        and spends nothing, however it ended. A `session_id` of its own in the context does the work
        again. Cancelling the call leaves the session running.

        Args:
            requirement: What to build.
            contract: A contract as a team file has it; its persona may be left out.
            context: `max_attempts`, `token_budget`, `give_up_on_failure`, `retry`, `engine`,
                `persona_config`, `session_id`, `input_dir`; see `read_execution_context`.

        Returns:
            What was done. Work that fails, or waits for a person, is a result without `success`.

        Raises:
            ContractNotOwn: The contract names another persona.
            TeamFileInvalid, ContextInvalid, SettingInvalid: What was given breaks rules.
            StateOwned, StateNotWritable: The state directory cannot be used.
            SessionConflict, EngineNotReady, DirectoryUnusable: As `Runtime.run`.
            RuntimeStopped: The runtime was closed before the end.
            StorageError: The store failed; what was acknowledged is safe.
        """
        order = self._order(requirement, contract, context)
        report = await (await started(order, self.state_dir))
        return persona_result(report, self.persona_id)

    def execute_sync(
        self,
        requirement: str,
        contract: Mapping[str, Any],
        context: Mapping[str, Any] | None = None,
    ) -> PersonaResult:
        """Block until the contract is fulfilled or failed; otherwise as `execute`."""
        order = self._order(requirement, contract, context)
        report = shared_runtime(self.state_dir).run(order).result()
        return persona_result(report, self.persona_id)

    def _order(
        self, requirement: str, contract: Mapping[str, Any], context: Mapping[str, Any] | None
    ) -> SessionOrder:
        own = own_contract(self.persona_id, contract)
        return self._crew.order(requirement, [own], context)


def own_contract(persona_id: str, contract: Mapping[str, Any]) -> dict[str, Any]:
    """Return the contract with its persona.

    Raises:
        ContractNotOwn: It names another one.
    """
    provider = contract.get("provider_persona_id", persona_id)
    if provider != persona_id:
        raise ContractNotOwn(persona_id, str(contract.get("id", "")), str(provider))
    return {**contract, "provider_persona_id": persona_id}
