"""The unchanging part of a task: whose it is and what is owed."""

from typing import Any

import msgspec

from maestro_actors.engine import CallOrder
from maestro_actors.identity import coordinator_address, persona_address
from maestro_actors.ledger.amounts import LostPolicy
from maestro_actors.ledger.budget import Budget, Caller
from maestro_actors.team import Contract, Persona
from maestro_storage.records import TaskRecord
from maestro_storage.transition import Event


class Assignment(msgspec.Struct, frozen=True, gc=False):
    """What the tasks of a session have in common."""

    session_id: str
    requirement: str
    workspace: str
    input_dir: str | None
    seed: int
    epoch: int
    """Start of the state directory that writes the records."""
    budgets: tuple[Budget, ...] = ()
    """Of the team."""
    lost_policy: LostPolicy = "reservation"
    inputs: dict[str, Any] = {}
    priority: int = 0
    frees_early: bool = True
    """Whether a slot is free as soon as the end of its attempt is handed in, not when it is
    durable."""


class Task(msgspec.Struct, frozen=True, gc=False):
    """A task as its contract and its session make it; its record says where it stands."""

    assignment: Assignment
    persona: Persona
    contract: Contract

    @property
    def address(self) -> str:
        """Where the persona of the task lives."""
        return persona_address(self.assignment.session_id, self.contract.id)

    @property
    def coordinator(self) -> str:
        """Where the coordinator of its session lives."""
        return coordinator_address(self.assignment.session_id)

    def order(self, record: TaskRecord) -> CallOrder:
        """Return the order of the attempt that `record` says is running, as far as that does."""
        # At most 15 fields: with more, CPython makes a dictionary of them first.
        return CallOrder(
            session_id=record.session_id,
            task_id=record.task_id,
            call_id=(record.call_id or b"").hex(),
            round=record.round,
            attempt=record.attempt,
            ordinal=record.ordinal,
            persona=self.persona,
            contract=self.contract,
            requirement=self.assignment.requirement,
            workspace=self.assignment.workspace,
            input_dir=self.assignment.input_dir,
            feedback=(*record.advice, *record.evidence, *record.notes),
            seed=self.assignment.seed,
            scope=record.scope,
            inputs=self.assignment.inputs,
        )

    def caller(self, record: TaskRecord) -> Caller:
        """Return what budgets and limits can look at in a call of the task."""
        return Caller(
            record.session_id,
            record.persona_id,
            record.phase,
            record.task_id,
            record.engine,
            self.persona.model,
            self.persona.tags,
        )

    def event(
        self, kind: str, at_ms: int, data: dict[str, str | int | float | bool | None]
    ) -> Event:
        """Return a line of history about this task."""
        return Event(
            self.assignment.session_id,
            kind,
            at_ms,
            self.contract.id,
            {"persona_id": self.persona.persona_id, **data},
        )
