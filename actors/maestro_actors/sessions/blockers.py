"""What keeps each task of a session from going on; and that nobody knows, if that is so."""

from collections.abc import Collection, Mapping
from typing import Final

import msgspec

from maestro_actors.messages import TaskStatus
from maestro_actors.sessions.graph import SessionGraph
from maestro_actors.team import Team
from maestro_storage.records import TASK_PASSED, TaskRecord, TaskState, WaitsFor


class Entry(msgspec.Struct, gc=False):
    """What the coordinator knows of one task between two messages."""

    record: TaskRecord
    """As read at the start or at an answer; only its names are used after that."""
    state: TaskState
    waits_for: WaitsFor
    """What it waits for, while its state is "waiting"."""
    waits_on: str = ""
    """See `TaskRecord`."""
    alive: bool = False
    """A persona works on it."""
    queued: bool = False
    """It stands in the queue for a slot."""
    failed: bool = False
    """Its persona has failed too often, and an undertaker ends the task."""


class Blockers:
    """Looks at what the coordinator knows, and changes nothing."""

    def __init__(
        self,
        team: Team,
        graph: SessionGraph,
        entries: Mapping[str, Entry],
        ready: Collection[str],
        underway: tuple[Collection[str], ...],
    ) -> None:
        """Look at the coordinator's own collections, as they are whenever somebody asks.

        Args:
            team: Of the session.
            graph: What is done of it.
            entries: By task id, in the order of the records.
            ready: The queue for slots.
            underway: Tasks with a slot first, then those that are recovered, or are to be.
        """
        self._contracts: Final = {contract.id: contract for contract in team.contracts}
        self._phases: Final = {phase.name: phase for phase in team.phases}
        self._graph: Final = graph
        self._entries: Final = entries
        self._ready: Final = ready
        self._underway: Final = underway

    def stuck(self) -> list[str]:
        """Return the tasks that have not ended and wait for nothing that anybody knows of."""
        return [task_id for task_id, entry in self._entries.items() if self._is_stuck(entry)]

    def _is_stuck(self, entry: Entry) -> bool:
        task_id = entry.record.task_id
        match entry.state:
            case "running":
                return not entry.alive and not any(task_id in each for each in self._underway)
            case "waiting":
                return not entry.alive
            case "queued":
                # One that was answered queues when its last persona is gone.
                return not (entry.queued or entry.alive or self._predecessor(task_id))
            case _:
                return False

    def statuses(self, intention: str) -> tuple[TaskStatus, ...]:
        """Return what each task waits for, given what the session is to do, durably."""
        places = {task_id: place for place, task_id in enumerate(self._ready, 1)}
        return tuple(
            self._status(task_id, entry, places.get(task_id), intention)
            for task_id, entry in self._entries.items()
        )

    def _status(self, task_id: str, entry: Entry, place: int | None, intention: str) -> TaskStatus:
        contract = self._contracts[task_id]
        detail = ""
        waits_for: WaitsFor
        if place is not None:
            waits_for, detail = "slot", f"place {place}"
        elif entry.state == "queued":
            waits_for, detail = "contract", self._predecessor(task_id)
        elif entry.state == "running":
            waits_for = "call"
            if task_id not in self._underway[0]:
                detail = "recovering"
        elif entry.state == "waiting":
            waits_for, detail = entry.waits_for, entry.waits_on
        elif entry.state == "help_needed":
            waits_for = "person"
        else:
            waits_for = "nothing"
        if intention and waits_for != "nothing":
            detail = f"{detail}; the session is to {intention}".removeprefix("; ")
        return TaskStatus(
            task_id=task_id,
            phase=contract.phase,
            persona_id=contract.provider_persona_id,
            state=entry.state,
            waits_for=waits_for,
            detail=detail,
        )

    def _predecessor(self, task_id: str) -> str:
        """Return the first contract, or else the first phase, that must end before the task."""
        contract = self._contracts[task_id]
        for name in contract.after:
            if self._entries[name].state not in TASK_PASSED:
                return f"contract {name}"
        waited_for = self._phases[contract.phase].after
        later = "" if self._graph.may_run(contract.phase) else "a later stretch of the plan"
        return next(
            (f"phase {name}" for name in waited_for if not self._graph.is_recorded(name)), later
        )
