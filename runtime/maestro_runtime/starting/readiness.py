"""Whether a team can work on this machine, and what its engines know of its personas."""

from hashlib import sha256
from pathlib import Path

import msgspec

from maestro_actors.team import BreakerPolicy, Persona, Team
from maestro_actors.versions import Version, versions_of
from maestro_runtime.checks import hindrance
from maestro_runtime.engines.protocol import VersionedEngine
from maestro_runtime.engines.registry import EngineRegistry
from maestro_runtime.errors import CheckNotReady, EngineNotReady
from maestro_runtime.starting.directories import usable_input, usable_output
from maestro_storage.records import SessionRecord


def placed(team: Team, registry: EngineRegistry, otherwise: BreakerPolicy) -> Team:
    """Return the team with the endpoints of its personas, and the time limits of their breakers.

    Args:
        team: As it was ordered.
        registry: Knows which personas fail together.
        otherwise: Policy of a breaker that the team says nothing about.
    """
    personas = {}
    for persona_id, persona in team.personas.items():
        endpoint = registry.get(persona.engine).endpoint(persona)
        there = msgspec.structs.replace(persona, endpoint=endpoint)
        policy = team.breaker_policy(there.breaker, otherwise)
        personas[persona_id] = _limited(there, policy.call_timeout_seconds)
    return msgspec.structs.replace(team, personas=personas)


def require_ready(team: Team, registry: EngineRegistry) -> None:
    """Look for what engines and checks need, before anything is started.

    Raises:
        EngineNotReady: An engine cannot work here.
        CheckNotReady: A check cannot be evaluated here.
    """
    used = {contract.provider_persona_id for contract in team.contracts}
    for persona in (team.personas[persona_id] for persona_id in sorted(used)):
        health = registry.get(persona.engine).preflight(persona)
        if not health.ok:
            raise EngineNotReady(persona.persona_id, persona.engine, health.detail)
    for contract in team.contracts:
        for check, _ in contract.owed_checks:
            if reason := hindrance(check):
                raise CheckNotReady(contract.id, check.label, reason)


def require_usable(record: SessionRecord, team: Team, registry: EngineRegistry) -> None:
    """Refuse to go on with a session whose engines, checks or directories cannot be used.

    Raises:
        EngineNotReady, CheckNotReady: As `require_ready`.
        DirectoryUnusable: A directory cannot be used.
    """
    require_ready(team, registry)
    usable_output(Path(record.output_dir))
    if record.input_dir is not None:
        usable_input(Path(record.input_dir))


def current_versions(team: Team, registry: EngineRegistry) -> tuple[Version, ...]:
    """Return the versions of a team with its engines as they are now."""
    engines = {}
    for persona_id, persona in team.personas.items():
        engine = registry.get(persona.engine)
        told = engine.version(persona) if isinstance(engine, VersionedEngine) else ""
        if told:
            engines[persona_id] = sha256(told.encode()).hexdigest()
    return versions_of(team, engines)


def _limited(persona: Persona, limit_seconds: float | None) -> Persona:
    if limit_seconds is None or limit_seconds >= persona.timeout_seconds:
        return persona
    return msgspec.structs.replace(persona, timeout_seconds=limit_seconds)
