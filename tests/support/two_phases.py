"""A team of two phases that rehearses, and one run of it: what checkpoints are taken of."""

from pathlib import Path

from maestro_actors.team import Contract, Deliverable, Persona, Phase, RetryPolicy, Team
from maestro_runtime import Runtime, SessionOrder
from maestro_runtime.reports.session import SessionReport

BOUND_SECONDS = 20.0


def two_phases(**persona: object) -> Team:
    """Return a team that writes `note.md`, then `review.md`; the arguments are the reviewer's."""
    writer = Persona(persona_id="writer")
    retry = RetryPolicy(max_attempts=1, max_rounds=1)
    reviewer = Persona(persona_id="reviewer", retry=retry, **persona)  # type: ignore[arg-type]
    return Team(
        name="pair",
        requirement="two notes",
        personas={"writer": writer, "reviewer": reviewer},
        phases=(Phase(name="write"), Phase(name="check", after=("write",))),
        contracts=(
            _contract("note", "write", "writer"),
            _contract("review", "check", "reviewer"),
        ),
    )


def _contract(name: str, phase: str, persona_id: str) -> Contract:
    return Contract(
        id=name,
        name=name,
        phase=phase,
        provider_persona_id=persona_id,
        deliverables=(Deliverable(name=name, artifacts=(f"{name}.md",)),),
    )


def run_pair(
    runtime: Runtime, directory: Path, session_id: str = "s1", **persona: object
) -> SessionReport:
    """Run the team to its end, in a workspace below `directory` that has the session's name."""
    order = SessionOrder(two_phases(**persona), session_id, directory / session_id)
    return runtime.run(order).result(BOUND_SECONDS)
