"""A team that is large enough for most tests."""

from collections.abc import Mapping
from typing import Any, Final

from maestro_actors.team import Contract, Deliverable, Persona, Phase, Team

ONE: Final = {"build": ("note",)}


def simple_team(
    phases: Mapping[str, tuple[str, ...]] = ONE, *, workers: int = 4, **persona: Any
) -> Team:
    """Return a team of one persona, `dev`, whose work is done by the engine `scripted`.

    Args:
        phases: The contracts of each phase; a phase begins after the one before it. A contract
            owes one file of its own name: `note` owes `note.md`.
        workers: Most tasks with an attempt in flight at the same time.
        persona: Further fields of the persona, or another engine.
    """
    names = tuple(phases)
    return Team(
        name="simple",
        requirement="Write what is owed",
        personas={"dev": Persona(persona_id="dev", **{"engine": "scripted", **persona})},
        phases=tuple(
            Phase(name=name, after=names[place - 1 : place]) for place, name in enumerate(names)
        ),
        contracts=tuple(
            Contract(
                id=contract,
                name=contract,
                phase=phase,
                provider_persona_id="dev",
                deliverables=(Deliverable(name=contract, artifacts=(f"{contract}.md",)),),
            )
            for phase, contracts in phases.items()
            for contract in contracts
        ),
        max_parallel_workers=workers,
    )
