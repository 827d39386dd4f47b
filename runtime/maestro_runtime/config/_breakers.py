"""The `[breakers.NAME]` of a team file: NAME is an engine, or one endpoint of it."""

from typing import Any

from msgspec import UNSET

from maestro_actors.team import BreakerPolicy, Persona
from maestro_runtime.config._problems import Problems, shown, unknown
from maestro_runtime.config._tables import BreakerTable, TeamFile, given, inherit
from maestro_runtime.config.settings import BUILT_IN, Settings


def check_breakers(file: TeamFile, problems: Problems) -> None:
    """Note everything that is wrong with the breakers."""
    engines = _engines(file)
    for name, table in file.breakers.items():
        engine, _, endpoint = name.partition(":")
        if engine not in engines or name.endswith(":") or not endpoint.isprintable():
            problems.add(("breakers", name), unknown(name, "engine of a persona", engines))
        least, most = table.reset_seconds, table.reset_max_seconds
        if isinstance(least, float) and isinstance(most, float) and most < least:
            rule = f"must be at least reset_seconds ({least}), got {shown(most)}"
            problems.add(("breakers", name, "reset_max_seconds"), rule)


def breakers_of(
    file: TeamFile, origin: str, settings: Settings
) -> tuple[dict[str, BreakerPolicy], dict[str, str]]:
    """Return the policies that differ from the built-in one, and the source of every value.

    Args:
        file: Without problems.
        origin: How the source of a value in it is named.
        settings: What the environment sets applies to every breaker, whatever the file says.
    """
    policies: dict[str, BreakerPolicy] = {}
    sources: dict[str, str] = {}
    overrides = {
        key: setting for key, setting in settings.breaker.items() if setting.overrides_team_file
    }
    for name in dict.fromkeys([*_engines(file), *file.breakers]):
        engine = given(file.breakers.get(name.partition(":")[0], BreakerTable()))
        keys: dict[str, Any] = engine | given(file.breakers.get(name, BreakerTable()))
        place = dict.fromkeys(BreakerTable.__struct_fields__, BUILT_IN)
        place |= dict.fromkeys(keys, origin)
        for key, setting in overrides.items():
            keys[key], place[key] = setting.value, setting.source
        if keys:
            policies[name] = BreakerPolicy(**keys)
        sources |= {f"breakers.{name}.{key}": source for key, source in place.items()}
    return policies, sources


def _engines(file: TeamFile) -> list[str]:
    """Return the engines of all personas, each once."""
    built_in = Persona(persona_id="").engine
    tables = [inherit(own, file.defaults) for own in file.personas.values()]
    names = (built_in if table.engine is UNSET else table.engine for table in tables)
    return list(dict.fromkeys(names))
