"""What may run next: the phases of a team, and the contracts within each, as two levels of DAGs."""

from collections.abc import Iterable
from graphlib import TopologicalSorter
from typing import Final

import msgspec

from maestro_actors.team import Contract, Team


class Step(msgspec.Struct, frozen=True):
    """What became possible."""

    tasks: tuple[str, ...]
    """Tasks whose predecessors are all done, in the order of the team."""
    phases: tuple[str, ...]
    """Phases whose tasks are all done and whose checkpoint can be written."""


_NOTHING: Final = Step((), ())


class SessionGraph:
    """Follows a session through its DAGs; told what is done, it says what became ready."""

    def __init__(self, team: Team, done: Iterable[str] = (), recorded: Iterable[str] = ()) -> None:
        self._order = {contract.id: place for place, contract in enumerate(team.contracts)}
        self._done = set(done)
        self._recorded = set(recorded)
        self._contracts: dict[str, list[Contract]] = {phase.name: [] for phase in team.phases}
        for contract in team.contracts:
            self._contracts[contract.phase].append(contract)
        self._phase_of = {contract.id: contract.phase for contract in team.contracts}
        self._phases = TopologicalSorter({phase.name: phase.after for phase in team.phases})
        self._phases.prepare()
        self._active: dict[str, TopologicalSorter[str]] = {}
        self._moved = True
        """Something was finished since it was last looked at."""

    @property
    def finished(self) -> bool:
        """Whether every phase has its checkpoint."""
        return not self._phases.is_active()

    def is_recorded(self, phase: str) -> bool:
        """Whether the checkpoint of a phase is durable."""
        return phase in self._recorded

    def finish_task(self, task_id: str) -> None:
        """Say that a task is done; its phase is active."""
        self._moved = True
        self._done.add(task_id)
        self._active[self._phase_of[task_id]].done(task_id)

    def finish_phase(self, name: str) -> None:
        """Say that the checkpoint of a phase is durable."""
        self._moved = True
        self._recorded.add(name)
        self._phases.done(name)

    def advance(self) -> Step:
        """Return what became ready since the last call; each task and phase appears once."""
        if not self._moved:
            return _NOTHING
        self._moved = False
        tasks: list[str] = []
        phases: list[str] = []
        self._activate()
        for name in list(self._active):
            sorter = self._active[name]
            tasks.extend(self._ready(sorter))
            if not sorter.is_active():
                del self._active[name]
                phases.append(name)
        if not tasks and not phases:
            return _NOTHING
        return Step(tuple(sorted(tasks, key=self._order.__getitem__)), tuple(phases))

    def _activate(self) -> None:
        """Open every phase whose predecessors are recorded, passing over recorded ones."""
        while ready := self._phases.get_ready():
            for name in ready:
                if name in self._recorded:
                    self._phases.done(name)
                    continue
                sorter = TopologicalSorter(
                    {contract.id: contract.after for contract in self._contracts[name]}
                )
                sorter.prepare()
                self._active[name] = sorter

    def _ready(self, sorter: TopologicalSorter[str]) -> list[str]:
        found: list[str] = []
        while ready := sorter.get_ready():
            for task_id in ready:
                if task_id in self._done:
                    sorter.done(task_id)
                else:
                    found.append(task_id)
        return found
