from graphlib import CycleError
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_actors.sessions.graph import SessionGraph
from maestro_actors.team import Contract, Persona, Phase, Team


@st.composite
def teams(draw: st.DrawFn) -> Team:
    """Draw a team whose phases and contracts only ever come after earlier ones: a DAG."""
    phases: list[Phase] = []
    for place in range(draw(st.integers(1, 4))):
        after = draw(st.sets(st.sampled_from([phase.name for phase in phases]))) if phases else ()
        phases.append(Phase(name=f"p{place}", after=tuple(sorted(after))))
    contracts: list[Contract] = []
    for place in range(draw(st.integers(0, 8))):
        phase = draw(st.sampled_from([phase.name for phase in phases]))
        earlier = [contract.id for contract in contracts if contract.phase == phase]
        after = draw(st.sets(st.sampled_from(earlier))) if earlier else ()
        contracts.append(
            Contract(
                id=f"c{place}",
                name="c",
                phase=phase,
                provider_persona_id="dev",
                after=tuple(sorted(after)),
            )
        )
    return Team(
        name="t",
        requirement="r",
        personas={"dev": Persona(persona_id="dev")},
        phases=tuple(phases),
        contracts=tuple(contracts),
    )


@given(teams(), st.randoms(use_true_random=False), st.integers(0, 20))
def test_every_task_becomes_ready_once_and_never_before_its_predecessors(
    team: Team, random: Random, restart_after: int
) -> None:
    contracts = {contract.id: contract for contract in team.contracts}
    phases = {phase.name: phase for phase in team.phases}
    done: set[str] = set()
    recorded: set[str] = set()
    ready: list[str] = []
    started: list[str] = []
    graph = SessionGraph(team)
    while not graph.finished:
        step = graph.advance()
        for task_id in step.tasks:
            wanted = contracts[task_id]
            assert set(wanted.after) <= done
            assert set(phases[wanted.phase].after) <= recorded
            ready.append(task_id)
            started.append(task_id)
        for phase in step.phases:
            recorded.add(phase)
            graph.finish_phase(phase)
        if ready:
            task_id = ready.pop(random.randrange(len(ready)))
            done.add(task_id)
            graph.finish_task(task_id)
        if len(done) == restart_after:
            # A restart rebuilds the graph from what is durable; what was started starts again.
            restart_after = -1
            graph, ready = SessionGraph(team, done, recorded), []
            started = [task_id for task_id in started if task_id in done]

    assert sorted(started) == sorted(contracts)
    assert recorded == set(phases)


@pytest.mark.parametrize("of", ["phases", "tasks"])
def test_a_circle_is_told_and_not_waited_for(of: str) -> None:
    circle = {"a": ("b",), "b": ("a",)}
    phases = circle if of == "phases" else {"a": (), "b": ()}
    contracts = {"a": (), "b": ()} if of == "phases" else circle
    team = Team(
        name="t",
        requirement="r",
        personas={"dev": Persona(persona_id="dev")},
        phases=tuple(Phase(name=name, after=after) for name, after in phases.items()),
        contracts=tuple(
            Contract(id=name, name="c", phase="a", provider_persona_id="dev", after=after)
            for name, after in contracts.items()
        ),
    )

    with pytest.raises(CycleError):
        SessionGraph(team).advance()
