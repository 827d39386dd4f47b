"""A team of one persona, `writer`, who owes one note."""

import msgspec

from maestro_actors.ledger.budget import Budget
from maestro_actors.team import Contract, Deliverable, Persona, Phase, Team

WRITER = Persona(persona_id="writer")
NOTE = Contract(
    id="note",
    name="The note",
    phase="write",
    provider_persona_id="writer",
    deliverables=(Deliverable(name="note", artifacts=("note.md",)),),
)


def note_team(name: str, *budgets: Budget, **persona: object) -> Team:
    """Return the team, with a writer who has some fields."""
    return Team(
        name=name,
        requirement="a note",
        personas={"writer": msgspec.structs.replace(WRITER, **persona)},
        phases=(Phase(name="write"),),
        contracts=(NOTE,),
        budgets=budgets,
    )
