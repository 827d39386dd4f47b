"""A team of one contract that rehearses at once."""

from maestro_actors.team import Contract, Deliverable, Persona, Phase, Team

TEAM = Team(
    name="t",
    requirement="r",
    personas={"dev": Persona(persona_id="dev")},
    phases=(Phase(name="build"),),
    contracts=(
        Contract(
            id="c1",
            name="c1",
            phase="build",
            provider_persona_id="dev",
            deliverables=(Deliverable(name="note", artifacts=("note.md",)),),
        ),
    ),
)
