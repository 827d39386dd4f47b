"""What is asked of a session that runs: each order is one transition, and what is done follows."""

from collections.abc import Collection

from maestro_actors.identity import coordinator_address
from maestro_actors.messages import (
    CheckpointTaken,
    HelpAnswered,
    OrderTaken,
    RunAgain,
    WishRecorded,
)
from maestro_actors.ports import Ports
from maestro_actors.proxy import encoded
from maestro_actors.receipt import Receipt, put_receipt
from maestro_actors.sessions.course import Course
from maestro_actors.sessions.plan import replanned, require_free
from maestro_actors.team import Team
from maestro_actors.verbs.rework import plan_rerun, rerun_asked, retried
from maestro_actors.verbs.wish import Asked, intention, stands, wished
from maestro_storage.transition import Transition


class SessionOrders:
    """Takes the orders of one session; belongs to its coordinator.

    An order that comes when nobody is left to do it is not taken: who asked waits for the end of
    the session, or for its next beginning, and asks again.
    """

    def __init__(self, ports: Ports, team: Team, course: Course, claimed: set[str] | None) -> None:
        """Work on a course; `claimed` as in `Coordinator`, whose own set it is."""
        self._ports = ports
        self._team = team
        self._course = course
        self._claimed = claimed
        self._address = coordinator_address(course.session.session_id)

    def wish(self, asked: Asked) -> OrderTaken:
        """Make durable what is wished."""
        course = self._course
        if not course.takes_orders:
            return OrderTaken(taken=False)
        if stands(course.session, asked.wish):
            return OrderTaken(taken=True)
        now_ms, epoch = self._ports.now_ms(), self._ports.epoch
        course.session, draft = wished(course.session, asked, now_ms, epoch)
        self._await(draft, interrupt=asked.interrupt or asked.wish == "cancel")
        self._ports.journal.append(draft)
        return OrderTaken(taken=True)

    def rerun(self, order: RunAgain) -> OrderTaken:
        """Make durable that a phase is to run again; it does once nothing is in flight."""
        course = self._course
        if not course.takes_orders:
            return OrderTaken(taken=False)
        plan = plan_rerun(course.session, (), (), self._team, order.plan.from_phase)
        now_ms, epoch = self._ports.now_ms(), self._ports.epoch
        course.session, draft = rerun_asked(course.session, plan.from_phase, now_ms, epoch)
        self._await(draft, interrupt=order.interrupt)
        put_receipt(draft, order.receipt, epoch, order.plan)
        self._ports.journal.append(draft)
        return OrderTaken(taken=True)

    def _await(self, draft: Transition, *, interrupt: bool) -> None:
        """Have the coordinator told once it is durable what the session is to do."""
        self._course.wishes += 1
        draft.then(self._address, encoded(WishRecorded(interrupt=interrupt)))

    def retry(self, task_id: str, receipt: Receipt | None) -> OrderTaken:
        """Try a failed task again; it is queued once that is durable."""
        if not self._course.takes_orders:
            return OrderTaken(taken=False)
        if task_id not in self._course.retrying:
            draft = self._retried([task_id])
            put_receipt(draft, receipt, self._ports.epoch)
            self._ports.journal.append(draft)
        return OrderTaken(taken=True)

    def _retried(self, task_ids: Collection[str]) -> Transition:
        """Draft the retry of failed tasks, which are queued once it is durable."""
        course = self._course
        self.let_go()
        tasks = self._ports.memory.tasks(course.session.session_id)
        now_ms, epoch = self._ports.now_ms(), self._ports.epoch
        changed, draft = retried(course.session, tasks, self._team, task_ids, now_ms, epoch)
        for record in changed[len(task_ids) :]:
            # They cannot begin before the first ones are done.
            course.entries[record.task_id].record = record
            course.entries[record.task_id].state = record.state
        for task_id in task_ids:
            course.retrying.add(task_id)
            draft.then(self._address, encoded(HelpAnswered(task_id=task_id)))
        return draft

    def let_go(self) -> None:
        """Before phases go on again: whoever waited for one that could not has been told so."""
        if self._claimed is not None:
            self._claimed &= self._course.standing().going_on(self._team)

    def run_phases(self, phases: tuple[str, ...]) -> OrderTaken:
        """Let phases run, too, with what has failed in them. Attempts follow into the journal."""
        course = self._course
        if not course.takes_orders or intention(course.session):
            return OrderTaken(taken=False)
        standing = course.standing()
        phases = tuple(name for name in phases if name not in standing.recorded)
        session_id = course.session.session_id
        require_free(session_id, standing.going_on(self._team), self._claimed, phases)
        plan = standing.joined_by(self._team, phases)
        failed = standing.failed_in(self._team, phases)
        draft = self._retried(failed) if failed else Transition()
        if plan != course.session.plan:
            now_ms, epoch = self._ports.now_ms(), self._ports.epoch
            course.session, planned = replanned(course.session, plan, now_ms, epoch)
            draft.join(planned)
            course.graph.extend_stretch(phases)
        if draft.changes:
            self._ports.journal.append(draft)
        if self._claimed is not None:
            self._claimed.update(phases)
        return OrderTaken(taken=True)

    def take_checkpoint(self, name: str, receipt: Receipt | None) -> CheckpointTaken:
        """Write down where the session stands; number 0: the order is not taken."""
        if not self._course.takes_orders:
            return CheckpointTaken(number=0)
        return self._course.checkpoints.take(name, receipt)
