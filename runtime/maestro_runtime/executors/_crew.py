"""From contracts as programs have them to the order of a session."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from maestro_runtime.config import (
    ExecutionContext,
    Problem,
    TeamFileInvalid,
    read_execution_context,
    team_of,
)
from maestro_runtime.session import SessionOrder

PHASE_DEFAULT: Final = "execution"
"""Phase of a contract that names none."""

ENGINE_DEFAULT: Final = "rehearsal"
"""Engine of a persona for which nobody names one: it works offline."""

Table = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Crew:
    """Who works, and where: what an executor is made with."""

    name: str
    """Of the team."""
    output_dir: Path
    persona_config: Table = field(default_factory=dict)
    """Keys of a persona in a team file, for every persona."""
    personas: Mapping[str, Table] = field(default_factory=dict)
    """The same by persona id, over those of every persona."""
    breaker: Table = field(default_factory=dict)
    """Keys of a breaker in a team file, for every engine that is used."""
    base_dir: Path | None = None
    """Where modules and programs of the personas are looked for; None: the current directory."""
    max_parallel_workers: int | None = None
    """None: as a team file that does not say."""

    def order(
        self, requirement: str, contracts: Iterable[Table], context: Table | None
    ) -> SessionOrder:
        """Return the order of the session that fulfils `contracts`.

        Without a `session_id` in the context, the same call of the same crew is the same session.

        Raises:
            ContextInvalid: The context breaks a rule.
            TeamFileInvalid: A contract, or the configuration of a persona, breaks rules.
            SettingInvalid: The environment does.
        """
        checked = read_execution_context(context)
        tables = [_contract_table(contract, at) for at, contract in enumerate(contracts)]
        loaded = team_of(
            self._document(requirement, tables, checked),
            base_dir=(self.base_dir or Path()).absolute(),
            context=checked.run,
        )
        return SessionOrder(loaded.team, checked.session_id, self.output_dir, checked.input_dir)

    def _document(
        self, requirement: str, contracts: list[dict[str, Any]], context: ExecutionContext
    ) -> dict[str, Any]:
        """Return the tables of a team file that says the same."""
        team: dict[str, Any] = {"name": self.name, "requirement": requirement}
        if self.max_parallel_workers is not None:
            team["max_parallel_workers"] = self.max_parallel_workers
        defaults = {"engine": os.environ.get("MAESTRO_ENGINE", ENGINE_DEFAULT)}
        providers = dict.fromkeys(
            str(contract["provider_persona_id"])
            for contract in contracts
            if "provider_persona_id" in contract
        )
        # One after the other, as they are first named: each builds on the files of those before.
        phases = list(dict.fromkeys(str(contract["phase"]) for contract in contracts))
        personas = {
            name: {**self.persona_config, **self.personas.get(name, {}), **context.persona}
            for name in providers
        }
        engines = {str({**defaults, **table}["engine"]) for table in personas.values()}
        return {
            "team": team,
            "defaults": defaults,
            "personas": personas,
            "phases": [
                {"name": name, "after": phases[max(0, at - 1) : at]}
                for at, name in enumerate(phases)
            ],
            "contracts": contracts,
            "breakers": dict.fromkeys(engines, self.breaker) if self.breaker else {},
        }


def _contract_table(contract: Table, at: int) -> dict[str, Any]:
    """Return a contract as a team file has it; `at` is its place, counted from 0."""
    table = dict(contract)
    table.setdefault("phase", PHASE_DEFAULT)
    if "depends_on" in table:
        if "after" in table:
            problem = Problem(f"contracts[{at}].depends_on", "must not be given beside after")
            raise TeamFileInvalid("given team", (problem,))
        table["after"] = table.pop("depends_on")
    return table
