"""A change of the team of a session: what is different, whether it can be, and how it is written.

Only tasks that have not ended follow the new team. The others stay as they are, with what they
delivered.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

import msgspec

from maestro_actors.errors import PhaseNotReady, PlanInvalid, TeamChangeRefused
from maestro_actors.messages import encode
from maestro_actors.sessions.plan import Standing, require_plan
from maestro_actors.sessions.session import queued_task
from maestro_actors.sessions.summary import INIT_PHASE
from maestro_actors.team import Contract, Team
from maestro_storage.plan import Plan
from maestro_storage.records import (
    TASK_FINAL,
    TASK_PASSED,
    SessionRecord,
    TaskRecord,
    TaskState,
)
from maestro_storage.transition import Event, Transition

SUMMARY_CHARACTERS: Final = 2_000
"""So much of what is different is in the history."""

VALUE_CHARACTERS: Final = 80
"""So much of a value is in the words for a difference."""

Part = Literal["team", "phase", "contract", "persona"]
Parts = Mapping[str, msgspec.Struct]


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One thing in which two teams differ."""

    part: Part
    name: str
    field: str = ""
    """Empty if the whole part was added or removed."""
    before: str | None = None
    """The value as JSON; None if there was none."""
    after: str | None = None

    def __str__(self) -> str:
        if not self.field:
            return f"{self.part} {self.name!r} {'added' if self.before is None else 'removed'}"
        before, after = _shortened(self.before), _shortened(self.after)
        return f"{self.part} {self.name!r}: {self.field} changed from {before} to {after}"


def differences(before: Team, after: Team) -> tuple[Difference, ...]:
    """Return in what two teams differ: the team itself, then phases, contracts, personas."""
    return (
        *_changed_fields("team", before.name, before, after, but=_PARTS),
        *_compared("phase", _phases(before), _phases(after)),
        *_compared("contract", _contracts(before), _contracts(after)),
        *_compared("persona", before.personas, after.personas),
    )


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a session has come."""

    tasks: Mapping[str, TaskRecord]
    """All of the session, by id."""
    tried: set[str]
    """Contracts that have attempts; some may have been removed from the team."""
    recorded: set[str]
    """Phases that have their checkpoint."""
    plan: Plan
    """What the session runs from now on; empty for everything."""

    def hindrances(self, before: Team, after: Team) -> Iterator[str]:
        """Yield why the team cannot be changed."""
        contracts, phases = _contracts(after), _phases(after)
        for name in sorted(self.recorded - {INIT_PHASE}):
            if name not in phases or not self._is_open(after, name):
                yield f"phase {name!r} is over: it must stay, and can wait only for what is over"
        for task_id, task in self.tasks.items():
            contract = contracts.get(task_id)
            if contract is not None:
                yield from self._of_task(before, after, task, contract)
            elif task.state in TASK_FINAL or task.state == "running":
                yield f"contract {task_id!r} is {task.state} and must stay"
        for name in sorted(contracts.keys() - self.tasks.keys()):
            phase = contracts[name].phase
            if phase in self.recorded:
                yield f"contract {name!r} cannot join phase {phase!r}, which is over"
            if name in self.tried:
                # Its calls would have the ids of those of the other.
                yield f"contract {name!r} must have another id: one that was removed has had it"
        try:
            require_plan(after, self.plan, self._over(after))
        except (PlanInvalid, PhaseNotReady) as error:
            # The session would stop before it, and nothing could ever begin again.
            yield f"{error}, and the session must be given another plan"

    def _of_task(
        self, before: Team, after: Team, task: TaskRecord, contract: Contract
    ) -> Iterator[str]:
        # Only before a task begins it is asked whether all is over that it waits for. One that was
        # kept from another session, or skipped, has ended without an attempt.
        if task.ordinal or task.state in TASK_FINAL:
            if contract.phase != task.phase:
                yield f"contract {task.task_id!r} has begun and must stay in phase {task.phase!r}"
            elif not self._is_open(after, task.phase) or not self._have_passed(contract.after):
                yield f"contract {task.task_id!r} has begun and can wait only for what is over"
        if task.state == "running" and not _keeps_engine(before, after, contract, task):
            yield f"contract {task.task_id!r} has a call in flight and must keep its engine"

    def _over(self, team: Team) -> set[str]:
        states: dict[str, TaskState] = dict.fromkeys(_contracts(team), "queued")
        states |= {name: task.state for name, task in self.tasks.items()}
        return Standing(states, self.recorded, self.plan).over(team)

    def _is_open(self, team: Team, name: str) -> bool:
        """Whether all phases before one are over."""
        return all(
            self.recorded.issuperset(item.after) for item in team.phases if item.name == name
        )

    def _have_passed(self, names: Iterable[str]) -> bool:
        return all(name in self.tasks and self.tasks[name].state in TASK_PASSED for name in names)


def change_transition(
    session: SessionRecord,
    before: Team,
    after: Team,
    progress: Progress,
    *,
    now_ms: int,
    epoch: int,
) -> tuple[SessionRecord, Transition]:
    """Return the session with another team, and the one transition that makes it so.

    The record of the session is not in it yet: the caller puts it, with what else is new.

    Args:
        session: Has not ended, and nobody runs it.
        before: Its team.
        after: Another one, validated.
        progress: How far the session has come.
        now_ms: Wall clock.
        epoch: Start of the state directory that writes the records.

    Raises:
        TeamChangeRefused: It would touch what has ended, or a call in flight, or the plan could
            not be kept with it.
    """
    session_id = session.session_id
    for reason in progress.hindrances(before, after):
        raise TeamChangeRefused(session_id, reason)
    draft = Transition()
    _change_tasks(draft, session_id, progress.tasks, after, epoch)
    found = differences(before, after)
    summary = "; ".join(map(str, found))[:SUMMARY_CHARACTERS]
    draft.event(
        Event(
            session_id,
            "team_changed",
            now_ms,
            data={"summary": summary, "differences": len(found)},
        )
    )
    draft.release(session_id, session.team)
    changed = msgspec.structs.replace(
        session,
        team=draft.payload(session_id, encode(after)),
        team_name=after.name,
        updated_ms=now_ms,
        epoch=epoch,
    )
    return changed, draft


def _change_tasks(
    draft: Transition, session_id: str, known: Mapping[str, TaskRecord], team: Team, epoch: int
) -> None:
    """Have the tasks follow the new team: some go, some come, some change hands."""
    contracts = _contracts(team)
    for task_id, task in known.items():
        if task_id not in contracts:
            draft.delete(task)
        elif task.state not in TASK_FINAL:
            followed = _following(task, contracts[task_id], team, epoch)
            if followed != task:
                draft.put(followed)
    for name in contracts.keys() - known.keys():
        draft.put(queued_task(session_id, team, contracts[name], epoch))


def _following(task: TaskRecord, contract: Contract, team: Team, epoch: int) -> TaskRecord:
    """Return a task that has not ended under the new team."""
    persona_id = contract.provider_persona_id
    place = (contract.phase, persona_id, team.personas[persona_id].engine)
    if place == (task.phase, task.persona_id, task.engine):
        return task
    phase, persona_id, engine = place
    return msgspec.structs.replace(
        task, phase=phase, persona_id=persona_id, engine=engine, epoch=epoch
    )


def _keeps_engine(before: Team, after: Team, contract: Contract, task: TaskRecord) -> bool:
    """Whether the call in flight of a task will be ended by those who have opened it."""
    persona_id = contract.provider_persona_id
    return (
        persona_id == task.persona_id
        and after.personas[persona_id].breaker == before.personas[persona_id].breaker
    )


_PARTS: Final = ("phases", "contracts", "personas")


def _phases(team: Team) -> Parts:
    return {phase.name: phase for phase in team.phases}


def _contracts(team: Team) -> dict[str, Contract]:
    return {contract.id: contract for contract in team.contracts}


def _compared(part: Part, before: Parts, after: Parts) -> Iterator[Difference]:
    for name in sorted(before.keys() | after.keys()):
        if name not in before:
            yield Difference(part=part, name=name, after=_json(after[name]))
        elif name not in after:
            yield Difference(part=part, name=name, before=_json(before[name]))
        else:
            yield from _changed_fields(part, name, before[name], after[name])


def _changed_fields(
    part: Part,
    name: str,
    before: msgspec.Struct,
    after: msgspec.Struct,
    but: tuple[str, ...] = (),
) -> Iterator[Difference]:
    for field in before.__struct_fields__:
        then, now = getattr(before, field), getattr(after, field)
        if field not in but and then != now:
            yield Difference(
                part=part, name=name, field=field, before=_json(then), after=_json(now)
            )


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _shortened(text: str | None) -> str:
    if text is None or len(text) <= VALUE_CHARACTERS:
        return str(text)
    return f"{text[:VALUE_CHARACTERS]} ..."
