"""The team file: TOML in, a validated `Team` out, or every mistake at once."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from maestro_actors.checks import Check
from maestro_actors.team import (
    CommandSpec,
    Contract,
    Deliverable,
    Persona,
    Phase,
    RetryPolicy,
    Team,
)
from maestro_runtime.config._breakers import breakers_of, check_breakers
from maestro_runtime.config._budgets import budget_of, check_budgets
from maestro_runtime.config._check_personas import check_personas
from maestro_runtime.config._check_plan import check_plan
from maestro_runtime.config._decode import decode_table, plain
from maestro_runtime.config._names import check_name
from maestro_runtime.config._problems import Problems
from maestro_runtime.config._tables import (
    CheckTable,
    CommandTable,
    ContractTable,
    PersonaTable,
    TeamFile,
    TeamTable,
    given,
    inherit,
)
from maestro_runtime.config._toml import read_toml
from maestro_runtime.config.context import RunContext
from maestro_runtime.config.errors import TeamFileInvalid, TeamFileUnreadable
from maestro_runtime.config.requirement import requirement_fault
from maestro_runtime.config.settings import BUILT_IN, Flags, Settings, resolve_settings

RETRY_KEYS: Final = frozenset(RetryPolicy.__struct_fields__)

_NO_CONTEXT: Final = RunContext()

TEAM_KEYS: Final = TeamTable.__struct_fields__


class LoadedTeam(msgspec.Struct, frozen=True, kw_only=True):
    """A team together with where it was found."""

    team: Team
    path: str
    """The team file, as it was named; "given team" for one that a program gave."""
    base_dir: Path
    """Absolute directory of the team file: relative programs and modules start here."""
    sources: dict[str, str]
    """Where each value came from, by key: `team.seed`, `personas.backend.max_attempts` ..."""


def load_team(
    path: str | Path,
    *,
    requirement: str | None = None,
    settings: Settings | None = None,
    context: RunContext = _NO_CONTEXT,
) -> LoadedTeam:
    """Read a team file, check it as a whole, and apply what overrides it.

    Every persona has the keys of `[defaults]` unless it sets them itself. A relative item of a
    persona's `argv` that has a path separator or ends with `.py`, and names a file that exists
    relative to the team file's directory, becomes the absolute path of that file, because the
    command runs in the workspace.

    Args:
        path: The team file.
        requirement: Text that replaces `team.requirement`; see `read_requirement`.
        settings: What a flag or the environment sets replaces that of every persona and breaker,
            `lost_policy` that of the team. None: the environment of this process.
        context: Replaces both.

    Raises:
        TeamFileUnreadable: There is no such file, or it cannot be read.
        TeamFileInvalid: It is not TOML, or breaks rules; the error has all of them.
        SettingInvalid: A variable of the environment breaks its rule.
    """
    origin = _Origin(str(path), f"team file {path}", Path(path).absolute().parent)
    document = read_toml(path, TeamFileUnreadable, TeamFileInvalid)
    return _checked(document, origin, requirement, settings, context)


def team_of(
    document: Mapping[str, Any],
    *,
    base_dir: Path,
    settings: Settings | None = None,
    context: RunContext = _NO_CONTEXT,
) -> LoadedTeam:
    """Check the team that a program gives, and apply what overrides it; otherwise as `load_team`.

    Args:
        document: The tables of a team file.
        base_dir: Absolute directory where relative programs and modules start.
        settings: See `load_team`.
        context: See `load_team`.

    Raises:
        TeamFileInvalid: It breaks rules; the error has all of them.
        SettingInvalid: A variable of the environment breaks its rule.
    """
    origin = _Origin("given team", "program", base_dir)
    return _checked(plain(document), origin, None, settings, context)


class _Origin(NamedTuple):
    """Where a team comes from."""

    name: str
    """In errors."""
    source: str
    """Of its values."""
    base_dir: Path


def _checked(
    document: Any,
    origin: _Origin,
    requirement: str | None,
    settings: Settings | None,
    context: RunContext,
) -> LoadedTeam:
    """Check the tables of a team as a whole, and convert them."""
    problems = Problems()
    file = decode_table(document, TeamFile, (), problems)
    check_name(file.team.name, ("team", "name"), problems)
    check_personas(file, problems)
    check_plan(file, problems)
    check_budgets(file, problems)
    check_breakers(file, problems)
    _check_requirement(file, requirement, problems)
    if found := problems.listed():
        raise TeamFileInvalid(origin.name, found)
    in_force = resolve_settings(Flags(), os.environ) if settings is None else settings
    return _loaded(file, origin, requirement, in_force, context)


def _check_requirement(file: TeamFile, requirement: str | None, problems: Problems) -> None:
    """Note what is wrong with the requirement that applies."""
    if requirement is not None:
        if fault := requirement_fault(requirement):
            problems.add(("--requirement",), fault)
    elif file.team.requirement is msgspec.UNSET:
        problems.add(("team", "requirement"), "is required unless --requirement is given")
    elif fault := requirement_fault(file.team.requirement):
        problems.add(("team", "requirement"), fault)


def _loaded(
    file: TeamFile,
    place: _Origin,
    requirement: str | None,
    settings: Settings,
    context: RunContext,
) -> LoadedTeam:
    """Convert a file without problems."""
    origin, base_dir = place.source, place.base_dir
    team_keys = given(file.team)
    sources = {f"team.{key}": origin if key in team_keys else BUILT_IN for key in TEAM_KEYS}
    if requirement is not None:
        team_keys["requirement"] = requirement
        sources["team.requirement"] = "flag --requirement"
    breakers, breaker_sources = breakers_of(file, origin, settings)
    sources |= breaker_sources
    if settings.lost_policy.overrides_team_file:
        team_keys["lost_policy"] = settings.lost_policy.value
        sources["team.lost_policy"] = settings.lost_policy.source
    personas = {}
    for persona_id, own in file.personas.items():
        keys, key_sources = _merge(own, file.defaults, origin, settings)
        keys |= context.values
        key_sources |= context.sources
        personas[persona_id] = _persona(persona_id, keys, base_dir)
        for key, source in key_sources.items():
            sources[f"personas.{persona_id}.{key}"] = source
    team = Team(
        **team_keys,
        personas=personas,
        phases=tuple(Phase(name=item.name, after=item.after) for item in file.phases),
        contracts=tuple(_contract(item, base_dir) for item in file.contracts),
        budgets=tuple(budget_of(item) for item in file.budgets),
        breakers=breakers,
    )
    return LoadedTeam(team=team, path=place.name, base_dir=base_dir, sources=sources)


def _merge(
    own: PersonaTable, defaults: PersonaTable, origin: str, settings: Settings
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the keys that apply to a persona, and where each of all keys comes from."""
    keys = given(inherit(own, defaults))
    sources = dict.fromkeys(PersonaTable.__struct_fields__, BUILT_IN)
    sources |= dict.fromkeys(given(defaults), f"{origin} [defaults]")
    sources |= dict.fromkeys(given(own), origin)
    for key, setting in settings.persona.items():
        if setting.overrides_team_file:
            keys[key] = setting.value
            sources[key] = setting.source
    return keys, sources


def _persona(persona_id: str, keys: dict[str, Any], base_dir: Path) -> Persona:
    """Build the runtime's persona from the file's flat keys."""
    retry = RetryPolicy(**{key: value for key, value in keys.items() if key in RETRY_KEYS})
    rest = {key: value for key, value in keys.items() if key not in RETRY_KEYS}
    if "command" in rest:
        rest["command"] = _command(rest["command"], base_dir)
    # Only where it is used: a team without callables is the same team wherever it lies.
    import_dir = str(base_dir) if "callable" in rest else ""
    return Persona(persona_id=persona_id, retry=retry, import_dir=import_dir, **rest)


def _command(table: CommandTable, base_dir: Path) -> CommandSpec:
    """Point the arguments that are files of the team at those files."""
    argv = tuple(_located(argument, base_dir) for argument in table.argv)
    return CommandSpec(**{**given(table), "argv": argv})


def _located(argument: str, base_dir: Path) -> str:
    """Return the absolute path when the argument looks like a file and is one of the team's."""
    if "/" not in argument and not argument.endswith(".py"):
        return argument
    # os.path.isfile is False for what cannot be a path at all; Path.is_file raises for some.
    candidate = base_dir / argument
    return str(candidate) if os.path.isfile(candidate) else argument  # noqa: PTH113 - see above


def _contract(table: ContractTable, base_dir: Path) -> Contract:
    """Build the runtime's contract."""
    deliverables = tuple(
        Deliverable(name=item.name, artifacts=item.artifacts, checks=_checks(item.checks, base_dir))
        for item in table.deliverables
    )
    checks = _checks(table.checks, base_dir)
    return Contract(**{**given(table), "deliverables": deliverables, "checks": checks})


def _checks(tables: tuple[CheckTable, ...], base_dir: Path) -> tuple[Check, ...]:
    """Build the runtime's checks."""
    return tuple(_check(given(table), base_dir) for table in tables)


def _check(keys: dict[str, Any], base_dir: Path) -> Check:
    """Build one check; programs and modules of the team are found where the team file lies."""
    if "argv" in keys:
        keys["argv"] = tuple(_located(argument, base_dir) for argument in keys["argv"])
    if "callable" in keys:
        keys["import_dir"] = str(base_dir)
    check: Check = msgspec.convert(keys, Check)
    return check
