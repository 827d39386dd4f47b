"""What is asked of sessions phase by phase: plans, single phases, checkpoints on demand."""

from maestro_actors.errors import PlanInvalid, VerbRefused
from maestro_actors.kernel import LaneFuture
from maestro_actors.ports import Ports
from maestro_actors.receipt import Receipt
from maestro_actors.sessions.plan import joined, plan_of, preceded, replanned, require_plan, without
from maestro_actors.team import Team
from maestro_actors.verbs.wish import intention
from maestro_runtime.at_rest.sessions import retry_at_rest
from maestro_runtime.checkpoints import checkpoint_at_rest, require_name
from maestro_runtime.errors import SessionConflict
from maestro_runtime.phases import PhaseRun, PhaseWatch, standing_of
from maestro_runtime.recorded import recorded_team
from maestro_runtime.running.sessions import ORDER_SECONDS, Ended, RunningSessions
from maestro_storage import Store
from maestro_storage.plan import Plan
from maestro_storage.records import SESSION_FINAL, SessionRecord


class Planner:
    """Changes what sessions are to run, live or at rest. Whoever calls it holds their lock."""

    def __init__(self, store: Store, running: RunningSessions, ports: Ports) -> None:
        self._store = store
        self._running = running
        self._ports = ports
        self.watch = PhaseWatch(store)

    def run_phases(self, record: SessionRecord, phases: tuple[str, ...]) -> PhaseRun:
        """Let phases of a session run now, and no others if it does not run; see `Runtime`."""
        team = recorded_team(self._store, record)
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
        require_no_rerun(record)
        if self._running.live(record.session_id) is not None:
            if plan == record.plan:
                return True
            raise SessionConflict(record.session_id, "the plan", _text(record.plan), _text(plan))
        team = recorded_team(self._store, record)
        standing = standing_of(self._store, record)
        require_plan(team, plan, standing.over(team))
        left = without(plan, standing.recorded)
        if plan and not left:
            return False
        self._replanned(record, joined(left, standing.begun(team)) if left else ())
        return True

    def checkpoint(self, record: SessionRecord, name: str, receipt: Receipt | None = None) -> int:
        """Write a checkpoint on demand and return its number; see `Runtime`."""
        require_name(recorded_team(self._store, record), name)
        number = self._checkpoint_live(record.session_id, name, receipt)
        if number == 0:
            number = checkpoint_at_rest(
                self._store, record.session_id, name, self._ports.now_ms(), receipt=receipt
            )
        return number

    def _asked_live(self, record: SessionRecord, phases: tuple[str, ...]) -> Ended | None:
        """Ask the coordinator of a session; None if there is none any more."""
        session_id = record.session_id
        if self._running.ask(session_id, lambda session: session.run_phases(phases)) is None:
            return None
        self._store.journal.settle(ORDER_SECONDS)
        return self._running.ended(session_id)

    def _started(self, session_id: str, team: Team, phases: tuple[str, ...]) -> Ended:
        """Start a session at rest for some of its phases; what has failed in them begins again."""
        record = self._store.require_session(session_id)
        for task_id in standing_of(self._store, record).failed_in(team, phases):
            retry_at_rest(self._store, session_id, task_id, self._ports.now_ms())
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

    def _checkpoint_live(self, session_id: str, name: str, receipt: Receipt | None) -> int:
        """Have the coordinator write it; 0 if there is none any more."""
        taken = self._running.ask(
            session_id, lambda session: session.take_checkpoint(name, receipt)
        )
        if taken is None:
            return 0
        self._store.journal.settle(ORDER_SECONDS)
        return taken.number


def require_no_rerun(record: SessionRecord) -> None:
    """Refuse a plan for a session that is about to run again from a phase, which changes its plan.

    Raises:
        VerbRefused: It is.
    """
    if record.rerun_from:
        rule = f"it must not be about to {intention(record)}"
        raise VerbRefused("run phases of", record.session_id, record.state, rule)


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
