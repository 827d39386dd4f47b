"""What may run next: the phases of a team, and the contracts within each, as two levels of DAGs."""

from collections.abc import Collection, Iterable, Mapping
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


class _Walk:
    """A DAG on its way: each name is handed out once, when all that it comes after is done.

    Takes a third of the time that a sorter of `graphlib` does.
    """

    def __init__(self, after: Mapping[str, Collection[str]]) -> None:
        """Begin with nothing done.

        Args:
            after: By name, what it comes after.

        Raises:
            graphlib.CycleError: Some come after each other.
        """
        self._missing = {name: len(before) for name, before in after.items()}
        self._followers: dict[str, list[str]] = {}
        for name, before in after.items():
            for each in before:
                self._followers.setdefault(each, []).append(name)
        if self._followers:
            TopologicalSorter(after).prepare()
        self._left = set(after)
        self.ready = [name for name, count in self._missing.items() if not count]
        """What may begin; whoever begins it takes it out."""

    @property
    def is_over(self) -> bool:
        """Whether all is done."""
        return not self._left

    def done(self, name: str) -> None:
        """Note that one is done, once."""
        self._left.remove(name)
        for follower in self._followers.get(name, ()):
            self._missing[follower] -= 1
            if not self._missing[follower]:
                self.ready.append(follower)


class SessionGraph:
    """Follows a session through its DAGs; told what is done, it says what became ready."""

    def __init__(
        self,
        team: Team,
        done: Iterable[str] = (),
        recorded: Iterable[str] = (),
        stretch: Collection[str] | None = None,
    ) -> None:
        """Begin where a session stands.

        Args:
            team: Its team.
            done: Tasks that let those after them run.
            recorded: Phases whose checkpoint is durable.
            stretch: The phases that may run; None for all. One whose tasks are all done, because
                they were kept, only has to be recorded, and needs no leave.
        """
        self._order = {contract.id: place for place, contract in enumerate(team.contracts)}
        self._done = set(done)
        self._recorded = set(recorded)
        self._contracts: dict[str, list[Contract]] = {phase.name: [] for phase in team.phases}
        for contract in team.contracts:
            self._contracts[contract.phase].append(contract)
        self._phase_of = {contract.id: contract.phase for contract in team.contracts}
        self._phases = _Walk({phase.name: phase.after for phase in team.phases})
        self._active: dict[str, _Walk] = {}
        self._moved = True
        """Something was finished since it was last looked at."""
        self._opens = True
        """More phases may run since then."""
        self._stretch = None if stretch is None else set(stretch)

    @property
    def finished(self) -> bool:
        """Whether every phase has its checkpoint."""
        return self._phases.is_over

    @property
    def stretch_over(self) -> bool:
        """Whether every phase of the stretch has its checkpoint, if there is one."""
        return self._stretch is not None and self._stretch <= self._recorded

    def extend_stretch(self, phases: Iterable[str]) -> None:
        """Let more phases run; without a stretch all may."""
        if self._stretch is not None:
            self._moved = self._opens = True
            self._stretch.update(phases)

    @property
    def recorded(self) -> list[str]:
        """The phases with a durable checkpoint, in the order of the team."""
        return [name for name in self._contracts if name in self._recorded]

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
        self._moved = self._opens = True
        self._recorded.add(name)
        self._phases.done(name)

    def advance(self) -> Step:
        """Return what became ready since the last call; each task and phase appears once."""
        if not self._moved:
            return _NOTHING
        self._moved = False
        tasks: list[str] = []
        phases: list[str] = []
        if self._opens:
            self._opens = False
            self._activate()
        for name, walk in list(self._active.items()):
            if walk.ready:
                tasks.extend(self._begun(walk))
            if walk.is_over:
                del self._active[name]
                phases.append(name)
        if not tasks and not phases:
            return _NOTHING
        return Step(tuple(sorted(tasks, key=self._order.__getitem__)), tuple(phases))

    def _activate(self) -> None:
        """Open what may run and whose predecessors are recorded, passing over recorded phases."""
        held: list[str] = []
        # It grows at its end while those that are recorded let others begin.
        for name in self._phases.ready:
            if name in self._recorded:
                self._phases.done(name)
            elif self.may_run(name):
                contracts = self._contracts[name]
                self._active[name] = _Walk({item.id: item.after for item in contracts})
            else:
                # Until the stretch lets it run.
                held.append(name)
        self._phases.ready[:] = held

    def may_run(self, name: str) -> bool:
        """Whether the stretch lets a phase run, or it has nothing left to do."""
        contracts = self._contracts[name]
        return (
            self._stretch is None
            or name in self._stretch
            or (bool(contracts) and all(item.id in self._done for item in contracts))
        )

    def _begun(self, walk: _Walk) -> list[str]:
        """Take the tasks that may begin, passing over those that are done."""
        found: list[str] = []
        # As above.
        for task_id in walk.ready:
            if task_id in self._done:
                walk.done(task_id)
            else:
                found.append(task_id)
        walk.ready.clear()
        return found
