"""Random teams of phases, for tests that let hypothesis draw them."""

from typing import Final

from hypothesis import strategies as st

from maestro_actors.team import Contract, Phase, RetryPolicy, Team
from staging import contract, team

PATIENT: Final = RetryPolicy(max_attempts=50)
"""A call that a crash interrupts is repeated at once, as long as its round goes on."""


@st.composite
def phase_teams(draw: st.DrawFn) -> Team:
    """Draw a DAG of phases with up to two contracts each."""
    phases: list[Phase] = []
    contracts: list[Contract] = []
    for place in range(draw(st.integers(2, 5))):
        earlier = [phase.name for phase in phases]
        after = draw(st.sets(st.sampled_from(earlier), max_size=2)) if earlier else ()
        name = f"p{place}"
        phases.append(Phase(name=name, after=tuple(sorted(after))))
        contracts += [contract(f"{name}c{i}", phase=name) for i in range(draw(st.integers(1, 2)))]
    return team(*contracts, phases=tuple(phases), token_budget=1_000_000, retry=PATIENT)
