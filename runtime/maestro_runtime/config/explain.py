"""Which value applies, and who said so."""

from typing import Any, Final

import msgspec

from maestro_actors.team import Persona
from maestro_runtime.config.settings import Settings
from maestro_runtime.config.team_file import LoadedTeam

DERIVED: Final = frozenset({"persona_id", "retry", "import_dir", "endpoint"})
"""Fields of a persona that no key of a team file sets."""


class ConfigValue(msgspec.Struct, frozen=True):
    """One value in force. `value` is plain data: it can be written as JSON."""

    key: str
    value: Any
    source: str
    """`flag --state-dir`, `environment MAESTRO_TOKEN_BUDGET`, `team file PATH`,
    `team file PATH [defaults]` or `built-in`."""


def explain(settings: Settings, loaded: LoadedTeam | None) -> list[ConfigValue]:
    """List every value in force, with its source.

    With a team, `max_attempts` and `token_budget` are listed per persona, where they apply;
    without one, as what they would be for a team that does not set them.
    """
    state_dir = ConfigValue("state_dir", str(settings.state_dir.value), settings.state_dir.source)
    if loaded is None:
        limits = {"max_attempts": settings.max_attempts, "token_budget": settings.token_budget}
        return [
            state_dir,
            *(ConfigValue(key, limit.value, limit.source) for key, limit in limits.items()),
        ]
    team = loaded.team
    values = {
        "team.name": team.name,
        "team.requirement": team.requirement,
        "team.max_parallel_workers": team.max_parallel_workers,
        "team.seed": team.seed,
    }
    for persona_id, persona in team.personas.items():
        for key, value in _flat(persona).items():
            values[f"personas.{persona_id}.{key}"] = value
    return [state_dir, *(ConfigValue(key, values[key], loaded.sources[key]) for key in values)]


def _flat(persona: Persona) -> dict[str, Any]:
    """Return a persona with the flat keys of the team file."""
    retry = msgspec.structs.asdict(persona.retry)
    flat = {**msgspec.structs.asdict(persona), **retry}
    return {key: msgspec.to_builtins(value) for key, value in flat.items() if key not in DERIVED}
