"""What is asked of sessions phase by phase: plans, single phases, checkpoints on demand."""

from typing import Final

import pykka

from maestro_actors.coordinator_proxy import CoordinatorProxy
from maestro_actors.errors import PlanInvalid
from maestro_actors.kernel import LaneFuture
from maestro_actors.plan import joined, plan_of, preceded, replanned, require_plan, without
from maestro_actors.ports import Ports
from maestro_actors.proxy import LocalChannel
from maestro_actors.team import Team, decode_team
from maestro_runtime._running import Ended, RunningSessions
from maestro_runtime.checkpoints import checkpoint_at_rest, require_name
from maestro_runtime.errors import SessionConflict
from maestro_runtime.phases import PhaseRun, PhaseWatch, standing_of
from maestro_storage import Store
from maestro_storage.plan import Plan
from maestro_storage.records import SESSION_FINAL, SessionRecord

ANSWER_SECONDS: Final = 30.0
"""Longest wait for a coordinator, and for what it has handed in to become durable."""


class Planner:
    """Changes what sessions are to run, live or at rest. Whoever calls it holds their lock."""

    def __init__(self, store: Store, running: RunningSessions, ports: Ports) -> None:
        self._store = store
        self._running = running
        self._ports = ports
        self.watch = PhaseWatch(store)

    def run_phases(self, record: SessionRecord, phases: tuple[str, ...]) -> PhaseRun:
        """Let phases of a session run now, and no others if it does not run; see `Runtime`."""
        team = self._team(record)
        require_names(team, phases)
        ended = self._asked_live(record, phases) or self._started(record.session_id, team, phases)
        settled = self.watch.expect(record.session_id, phases, ended)
        return PhaseRun(record.session_id, phases, self._store, settled)

    def resumed(self, record: SessionRecord, plan: Plan) -> bool:
        """Make it durable that a session goes on by another plan.

        Returns:
            Whether there is something to run: not if all that the plan has is done.

        Raises:
            SessionConflict: The session runs by another plan.
            PlanInvalid, PhaseNotReady: The plan cannot be kept.
        """
        if self._running.live(record.session_id) is not None:
            if plan == record.plan:
                return True
            raise SessionConflict(record.session_id, "the plan", _text(record.plan), _text(plan))
        team = self._team(record)
        standing = standing_of(self._store, record)
        require_plan(team, plan, standing.over(team))
        left = without(plan, standing.recorded)
        if plan and not left:
            return False
        self._replanned(record, joined(left, standing.begun(team)) if left else ())
        return True

    def checkpoint(self, record: SessionRecord, name: str) -> int:
        """Write a checkpoint on demand and return its number; see `Runtime`."""
        require_name(self._team(record), name)
        number = self._checkpoint_live(record.session_id, name)
        if number == 0:
            now_ms = self._ports.now_ms()
            number = checkpoint_at_rest(self._store, record.session_id, name, now_ms)
        return number

    def _team(self, record: SessionRecord) -> Team:
        return decode_team(self._store.payloads.require(record.team))

    def _asked_live(self, record: SessionRecord, phases: tuple[str, ...]) -> Ended | None:
        """Ask the coordinator of a session; None if there is none any more."""
        ended = self._running.live(record.session_id)
        if ended is None:
            return None
        coordinator = CoordinatorProxy(LocalChannel(self._ports.system), record.session_id)
        try:
            taken = coordinator.run_phases(phases).get(timeout=ANSWER_SECONDS).taken
        except pykka.ActorDeadError:
            taken = False
        if taken:
            self._store.journal.settle(ANSWER_SECONDS)
            return ended
        # It is about to end: what it has handed in decides what can be started after it.
        ended.get(timeout=ANSWER_SECONDS)
        return None

    def _started(self, session_id: str, team: Team, phases: tuple[str, ...]) -> Ended:
        """Start a session at rest for some of its phases."""
        record = self._store.require_session(session_id)
        standing = standing_of(self._store, record)
        asked = [name for name in phases if name not in standing.recorded]
        if record.wish == "cancel" and record.state not in SESSION_FINAL:
            # That is to be granted first, and nothing begins any more.
            return self._running.start(self._ports, session_id, team, claimed=())
        if record.state == "running" and not asked and not standing.going_on(team):
            # Its process died between its last phase and its end, which is all that is left.
            return self._running.start(self._ports, session_id, team, claimed=())
        if not asked or record.state in SESSION_FINAL:
            nothing: Ended = LaneFuture()
            nothing.set(None)
            return nothing
        left = without(record.plan, standing.recorded)
        plan = preceded(left, (*standing.begun(team), *asked))
        require_plan(team, plan, standing.over(team))
        self._replanned(record, plan)
        return self._running.start(self._ports, session_id, team, claimed=asked)

    def _replanned(self, record: SessionRecord, plan: Plan) -> None:
        _, draft = replanned(record, plan, self._ports.now_ms(), self._ports.epoch)
        self._store.journal.commit(draft).result()

    def _checkpoint_live(self, session_id: str, name: str) -> int:
        """Have the coordinator write it; 0 if there is none any more."""
        ended = self._running.live(session_id)
        if ended is None:
            return 0
        coordinator = CoordinatorProxy(LocalChannel(self._ports.system), session_id)
        try:
            number = coordinator.take_checkpoint(name).get(timeout=ANSWER_SECONDS).number
        except pykka.ActorDeadError:
            number = 0
        if number:
            self._store.journal.settle(ANSWER_SECONDS)
        else:
            ended.get(timeout=ANSWER_SECONDS)
        return number


def require_names(team: Team, phases: tuple[str, ...]) -> None:
    """Refuse phases that the team does not have.

    Raises:
        PlanInvalid: There is such a phase, or none at all.
    """
    everything = tuple(phase.name for phase in team.phases)
    if not phases:
        raise PlanInvalid("stretch 1", "must have at least one phase")
    require_plan(team, plan_of(phases), everything)


def _text(plan: Plan) -> str:
    return " | ".join(", ".join(stretch.phases) for stretch in plan) or "everything"
