"""Which value applies, and who said so."""

from typing import Any, Final

import msgspec

from maestro_actors.team import BreakerPolicy, Persona
from maestro_runtime.config.context import RunContext
from maestro_runtime.config.settings import Settings
from maestro_runtime.config.team_file import LoadedTeam

DERIVED: Final = frozenset({"persona_id", "retry", "import_dir", "endpoint"})
"""Fields of a persona that no key of a team file sets."""

_NO_CONTEXT: Final = RunContext()


class ConfigValue(msgspec.Struct, frozen=True):
    """One value in force. `value` is plain data: it can be written as JSON."""

    key: str
    value: Any
    source: str
    """`context retry.max_rounds`, `flag --state-dir`, `environment MAESTRO_TOKEN_BUDGET`,
    `team file PATH`, `team file PATH [defaults]` or `built-in`: the first of these that says
    anything wins."""


def explain(
    settings: Settings, loaded: LoadedTeam | None, context: RunContext = _NO_CONTEXT
) -> list[ConfigValue]:
    """List every value in force, with its source.

    With a team, what the environment can override is listed where it applies, by persona, breaker
    or team; without one, as what it would be for a team that does not set it.

    Args:
        settings: Flags and environment.
        loaded: A team that was loaded with these settings and this context.
        context: Of the run.
    """
    state_dir = ConfigValue("state_dir", str(settings.state_dir.value), settings.state_dir.source)
    if loaded is None:
        personas = [
            ConfigValue(
                key,
                msgspec.to_builtins(context.values.get(key, setting.value)),
                context.sources.get(key, setting.source),
            )
            for key, setting in settings.persona.items()
        ]
        breakers = [
            ConfigValue(f"breaker.{key}", setting.value, setting.source)
            for key, setting in settings.breaker.items()
        ]
        lost = settings.lost_policy
        return [
            state_dir,
            *personas,
            *breakers,
            ConfigValue("lost_policy", lost.value, lost.source),
        ]
    team = loaded.team
    values = {
        "team.name": team.name,
        "team.requirement": team.requirement,
        "team.max_parallel_workers": team.max_parallel_workers,
        "team.seed": team.seed,
        "team.lost_policy": team.lost_policy,
    }
    for persona_id, persona in team.personas.items():
        for key, value in _flat(persona).items():
            values[f"personas.{persona_id}.{key}"] = value
    engines = [persona.engine for persona in team.personas.values()]
    for name in dict.fromkeys([*engines, *team.breakers]):
        policy = team.breaker_policy(name, BreakerPolicy())
        for key, value in msgspec.structs.asdict(policy).items():
            values[f"breakers.{name}.{key}"] = value
    return [state_dir, *(ConfigValue(key, values[key], loaded.sources[key]) for key in values)]


def _flat(persona: Persona) -> dict[str, Any]:
    """Return a persona with the flat keys of the team file."""
    retry = msgspec.structs.asdict(persona.retry)
    flat = {**msgspec.structs.asdict(persona), **retry}
    return {key: msgspec.to_builtins(value) for key, value in flat.items() if key not in DERIVED}
