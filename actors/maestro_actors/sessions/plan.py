"""The plan of a session: whether it can be kept, and how it changes when phases are asked for.

Pure functions over plain data, for the coordinator while a session runs, and for whoever starts or
resumes one.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from graphlib import TopologicalSorter

import msgspec

from maestro_actors.errors import PhaseConflict, PhaseNotReady, PlanInvalid
from maestro_actors.team import Contract, Phase, Team
from maestro_actors.verbs.wish import paused
from maestro_storage.plan import Plan, Stretch
from maestro_storage.records import TASK_PASSED, CheckpointRecord, SessionRecord, TaskState
from maestro_storage.transition import Event, Transition


def require_plan(team: Team, plan: Plan, over: Collection[str]) -> None:
    """Refuse a plan that cannot be kept.

    Args:
        team: Whose phases are planned.
        plan: The stretches that are left.
        over: Phases that are done.

    Raises:
        PlanInvalid: A stretch has no phase, or a phase is not of the team or planned twice.
        PhaseNotReady: A phase is planned before one it comes after.
    """
    after = {phase.name: phase.after for phase in team.phases}
    reached = set(over)
    planned: set[str] = set()
    for place, stretch in enumerate(plan, 1):
        if not stretch.phases:
            raise PlanInvalid(f"stretch {place}", "must have at least one phase")
        for name in stretch.phases:
            if name not in after:
                known = ", ".join(repr(phase) for phase in after)
                raise PlanInvalid(f"phase {name!r}", f"must be one of {known}")
            if name in planned:
                raise PlanInvalid(f"phase {name!r}", "must be planned once")
            planned.add(name)
        reached |= planned
        for name in stretch.phases:
            missing = tuple(before for before in after[name] if before not in reached)
            if missing and name not in over:
                raise PhaseNotReady(name, missing)


def plan_of(phases: Iterable[str]) -> Plan:
    """Return the plan to run some phases and then stop; none for no phases."""
    names = tuple(dict.fromkeys(phases))
    return (Stretch(names),) if names else ()


def plan_until(team: Team, name: str) -> Plan:
    """Return the plan to run a phase of the team with all before it, and then stop.

    Raises:
        PlanInvalid: The team has no such phase.
    """
    require_plan(team, plan_of((name,)), {phase.name for phase in team.phases})
    return plan_of((*before(team, name), name))


def joined(plan: Plan, phases: Iterable[str]) -> Plan:
    """Return a plan, not empty, whose current stretch has more phases in it."""
    names = tuple(dict.fromkeys((*plan[0].phases, *phases)))
    return (Stretch(names, plan[0].stop), *without(plan[1:], names))


def preceded(plan: Plan, phases: Iterable[str]) -> Plan:
    """Return a plan with a stretch before it; what that has is not planned again."""
    first = plan_of(phases)
    return (*first, *without(plan, first[0].phases)) if first else plan


def without(plan: Plan, phases: Collection[str]) -> Plan:
    """Return a plan without some phases, and without stretches that have no other."""
    rests = (
        Stretch(tuple(name for name in stretch.phases if name not in phases), stretch.stop)
        for stretch in plan
    )
    return tuple(stretch for stretch in rests if stretch.phases)


def replanned(
    session: SessionRecord, plan: Plan, now_ms: int, epoch: int
) -> tuple[SessionRecord, Transition]:
    """Return the record of a session that runs by another plan, and the transition to it."""
    after = msgspec.structs.replace(
        session,
        state="queued" if session.state == "queued" else "running",
        plan=plan,
        wish="run",
        wish_deadline_ms=None,
        pause_reason="",
        set_aside=False,
        updated_ms=now_ms,
        epoch=epoch,
    )
    draft = Transition()
    draft.put(after)
    phases = ", ".join(plan[0].phases) if plan else ""
    data: dict[str, str | int | float | bool | None] = {"phases": phases, "stretches": len(plan)}
    draft.event(Event(session.session_id, "plan_changed", now_ms, data=data))
    return after, draft


def stopped(session: SessionRecord, now_ms: int, epoch: int) -> Transition:
    """Return the transition by which a session pauses after its current stretch.

    What is left of its plan begins when it is resumed.
    """
    stretch, *left = session.plan
    reason = stretch.stop or f"the planned phases are done: {', '.join(stretch.phases)}"
    return paused(msgspec.structs.replace(session, plan=tuple(left)), reason, now_ms, epoch)


def before(team: Team, name: str) -> tuple[str, ...]:
    """Return all phases that a phase of the team comes after, in an order they can run in."""
    after = {phase.name: phase.after for phase in team.phases}
    needed: set[str] = set()
    left = list(after[name])
    while left:
        phase = left.pop()
        if phase not in needed:
            needed.add(phase)
            left.extend(after[phase])
    return tuple(phase for phase in in_order(team) if phase in needed)


def in_order(team: Team) -> tuple[str, ...]:
    """Return the phases of a team so that each comes after those it waits for."""
    return tuple(TopologicalSorter({item.name: item.after for item in team.phases}).static_order())


def recorded_phases(checkpoints: Iterable[CheckpointRecord]) -> list[str]:
    """Return the phases that ended with one of the checkpoints, oldest first."""
    return [record.phase for record in checkpoints if not record.on_demand]


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a session has come."""

    states: Mapping[str, TaskState]
    """Of its tasks, by task id."""
    recorded: Collection[str]
    """Phases with a checkpoint."""
    plan: Plan
    """What is left of its plan."""

    def over(self, team: Team) -> set[str]:
        """Return the phases that are done: those with a checkpoint, or about to have one.

        Phases whose tasks were all kept get theirs when the session runs.
        """
        kept = {
            phase.name
            for phase in team.phases
            if (contracts := _contracts(team, phase))
            and all(self.states[item.id] in TASK_PASSED for item in contracts)
        }
        return kept.union(self.recorded)

    def begun(self, team: Team) -> list[str]:
        """Return the phases, in the order of the team, that have begun and are not done.

        What has begun stays in the current stretch: its tasks have calls, deadlines and tickets
        that nobody can take back.
        """
        passive = TASK_PASSED | {"queued", "blocked"}
        return [
            phase.name
            for phase in team.phases
            if phase.name not in self.recorded
            and any(self.states[item.id] not in passive for item in _contracts(team, phase))
        ]

    def joined_by(self, team: Team, phases: Collection[str]) -> Plan:
        """Return the plan with more phases in its current stretch; without a plan all are in it.

        Raises:
            PhaseNotReady: One comes after a phase that is neither done nor in the stretch.
        """
        if not self.plan:
            return ()
        plan = joined(self.plan, phases)
        if plan != self.plan:
            require_plan(team, plan, self.recorded)
        return plan

    def going_on(self, team: Team) -> set[str]:
        """Return the phases that may still come to their end by themselves, while it runs."""
        phases = {phase.name: phase for phase in team.phases}
        stretch = self.plan[0].phases if self.plan else phases
        found: set[str] = set()
        for name in in_order(team):
            reached = all(item in self.recorded or item in found for item in phases[name].after)
            if name in self.recorded or not reached:
                continue
            contracts = _contracts(team, phases[name])
            if not contracts or any(self._goes_on(item) for item in contracts):
                if name in stretch:
                    found.add(name)
            elif all(self.states[item.id] in TASK_PASSED for item in contracts):
                # About to be recorded, also out of the stretch, because its tasks were kept.
                found.add(name)
        return found

    def failed_in(self, team: Team, phases: Collection[str]) -> list[str]:
        """Return the tasks that have failed in those of some phases that cannot go on by it."""
        going_on = self.going_on(team)
        return [
            item.id
            for item in team.contracts
            if item.phase in phases
            and item.phase not in going_on
            and self.states[item.id] == "failed"
        ]

    def _goes_on(self, contract: Contract) -> bool:
        state = self.states[contract.id]
        startable = all(self.states[name] in TASK_PASSED for name in contract.after)
        return state in ("running", "waiting") or (state == "queued" and startable)


def require_free(
    session_id: str,
    going_on: Collection[str],
    claimed: Collection[str] | None,
    asked: Iterable[str],
) -> None:
    """Refuse phases that go on by themselves and have somebody who waits for them.

    Args:
        session_id: Of a session that runs.
        going_on: As `Standing.going_on`.
        claimed: Phases that somebody waits for; None: whoever runs the session, for all.
        asked: Phases that are to run.

    Raises:
        PhaseConflict: There is such a phase.
    """
    for name in asked:
        if name in going_on and (claimed is None or name in claimed):
            runs = "in the run of the whole session" if claimed is None else "for another call"
            raise PhaseConflict(session_id, name, runs)


def _contracts(team: Team, phase: Phase) -> list[Contract]:
    return [contract for contract in team.contracts if contract.phase == phase.name]
