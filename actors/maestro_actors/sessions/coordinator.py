"""The coordinator: drives one session through its phases.

It knows which tasks may run, gives out the slots, and writes the checkpoint of each phase. It never
sees an engine: a persona tells it, once that is durable, that its task waits, is ready or has
ended. A task that waits holds no slot.
"""

import logging
from collections.abc import Collection
from typing import Any, ClassVar, Final, assert_never

import msgspec

from maestro_actors.accounting.accountant_proxy import AccountantProxy
from maestro_actors.identity import coordinator_address
from maestro_actors.kernel import Restart
from maestro_actors.message_actor import MessageActor
from maestro_actors.messages import (
    CheckpointTaken,
    CoordinatorMessage,
    Flushed,
    GetSession,
    HaltSession,
    HelpAnswered,
    OrderTaken,
    PhaseRecorded,
    RerunRecorded,
    RetryTask,
    RunAgain,
    RunPhases,
    SessionRecorded,
    SessionStatus,
    SlotFreed,
    SuccessionRecorded,
    TakeCheckpoint,
    TaskFinished,
    TaskReady,
    TaskStopped,
    TaskWaiting,
    WishDue,
    WishRecorded,
    WishSession,
)
from maestro_actors.ports import Ports
from maestro_actors.proxy import encoded
from maestro_actors.sessions.blockers import Entry
from maestro_actors.sessions.course import Course
from maestro_actors.sessions.end import session_end
from maestro_actors.sessions.orders import SessionOrders
from maestro_actors.sessions.plan import stopped
from maestro_actors.sessions.succession import Succession, Tenure
from maestro_actors.team import Team
from maestro_actors.verbs.rework import plan_rerun, rerun
from maestro_actors.verbs.wish import granted, intention, paused, stuck_alarm, stuck_because
from maestro_actors.whereabouts import stand
from maestro_storage.errors import STORE_LOST, RecordDamaged, SessionQuarantined
from maestro_storage.records import TASK_PASSED
from maestro_storage.transition import Transition

RECOVERIES_MAX: Final = 50
"""Interrupted tasks that are settled at the same time after a start."""

SUPERVISION: Final = Restart(
    max_restarts=10, unless=(*STORE_LOST, RecordDamaged, SessionQuarantined), escalates=True
)
"""Of a coordinator. So many only if tasks end in between, or if it fails before it can count."""

_WISH_DUE: Final = encoded(WishDue())

_log: Final = logging.getLogger(__name__)


class Coordinator(MessageActor):
    """Runs one session until nothing more can run in it."""

    INBOX: ClassVar = msgspec.msgpack.Decoder(CoordinatorMessage)

    def __init__(
        self,
        ports: Ports,
        session_id: str,
        team: Team,
        claimed: Collection[str] | None = None,
        tenure: Tenure | None = None,
    ) -> None:
        """Take over a session; somebody waits for the phases in `claimed` already (None: all).

        `tenure` is what those before it have left, if there may have been any, and is the same for
        all instances, if there is to be another when one fails.
        """
        super().__init__()
        self._claimed = None if claimed is None else set(claimed)
        self._ports = ports
        self._session_id = session_id
        self._address = coordinator_address(session_id)
        self._team = team
        self._channel = ports.channel
        self._tenure = tenure or Tenure()
        self._succession: Succession | None = None
        """Until what an instance before this one has left is at rest."""
        self._alarmed = False

    def on_start(self) -> None:
        """Read the session, take up what was interrupted, and start what is ready."""
        stand(lambda: {"session_id": self._session_id})
        try:
            if self._tenure.failures:
                resumed = not self.restarts
                self._succession = Succession(
                    self._ports, self._session_id, self._team, self._tenure, resumed=resumed
                )
                self._succession.begin()
            else:
                self._begin_with_records()
        except Exception as error:
            self._tenure.failed(error)
            raise

    def on_failure(self, *exc_info: Any) -> None:
        """Tell the instance after this one what this one has failed at."""
        self._tenure.failed(exc_info[1])

    def _begin_with_records(self) -> None:
        self._succession = None
        self._take_up()
        self._advance()

    def _take_up(self) -> None:
        """Begin with what is on record: at first, or once more."""
        self._course = Course(self._ports, self._session_id, self._team)
        self._orders = SessionOrders(self._ports, self._team, self._course, self._claimed)
        if not self._course.stopping:
            self._recover_waiting()
        self._keep_deadline()

    def _recover_waiting(self) -> None:
        """Give the tasks that wait, and have no persona, one that waits with them."""
        for task_id, entry in self._course.entries.items():
            if entry.state == "waiting" and not entry.alive:
                self._course.personas.of(task_id).recover()

    def handle(  # noqa: C901, PLR0911, PLR0912 - one case a message
        self, message: CoordinatorMessage
    ) -> SessionStatus | OrderTaken | CheckpointTaken | None:
        """Dispatch one message; orders and `GetSession` are answered."""
        if self._succession is not None:
            return self._succeed(self._succession, message)
        course = self._course
        match message:
            case TaskFinished():
                course.finish(message.task_id, message.state)
            case TaskWaiting():
                course.wait(message.task_id, message.waits_for, message.waits_on)
            case TaskReady():
                course.queue_first(message.task_id)
            case SlotFreed():
                self._slot_freed(message.task_id)
                return None
            case TaskStopped():
                self._task_stopped(message.task_id)
            case HelpAnswered():
                self._help_answered(message.task_id)
            case WishSession():
                return self._orders.wish(message.asked)
            case WishRecorded():
                self._wish_recorded(interrupt=message.interrupt)
            case WishDue():
                course.personas.stop_attempts(course.in_flight | course.recovering, kill=True)
            case TakeCheckpoint():
                return self._orders.take_checkpoint(message.name, message.receipt)
            case RunPhases():
                return self._run_phases(message.phases)
            case RetryTask():
                return self._orders.retry(message.task_id, message.receipt)
            case RunAgain():
                return self._orders.rerun(message)
            case RerunRecorded():
                self._take_up()
            case PhaseRecorded():
                course.recording.discard(message.phase)
                course.graph.finish_phase(message.phase)
            case SessionRecorded():
                self._leave()
                return None
            case HaltSession():
                self._tenure.halted = True
            case GetSession():
                return self._status()
            case SuccessionRecorded() | Flushed():
                # What had to come first is over.
                return None
            case _:
                assert_never(message)
        self._advance()
        return self._status() if isinstance(message, HaltSession) else None

    def _slot_freed(self, task_id: str) -> None:
        """Give a slot on; what became of its task is not known yet, and does not matter for it."""
        course = self._course
        course.vacate(task_id)
        if not (self._tenure.halted or course.stopping or course.ended):
            self._begin()

    def _succeed(
        self, succession: Succession, message: CoordinatorMessage
    ) -> SessionStatus | OrderTaken | CheckpointTaken | None:
        """Let nothing begin before all is at rest; then begin with the records."""
        if isinstance(message, SuccessionRecorded):
            # Not by a word to one before this, which may have begun something since.
            if message.restarts == succession.failures:
                self._begin_with_records()
        elif isinstance(message, SessionRecorded):
            self._leave()
            # Before the barrier, which may be back by now, has another word written.
            self.end()
        else:
            return succession.handle(message)
        return None

    def _leave(self) -> None:
        """Go: nothing more runs in the session."""
        AccountantProxy(self._channel).forget_session(self._session_id)
        self._ports.system.timers.cancel(self._address)
        self._ports.system.stop(self._address)

    def _task_stopped(self, task_id: str) -> None:
        """Note a persona that is gone although its task has not ended."""
        course = self._course
        entry = course.entries[task_id]
        entry.alive = False
        if not course.dismissed:
            self._persona_failed(task_id, entry)

    def _persona_failed(self, task_id: str, entry: Entry) -> None:
        """Have the task of a persona that is gone ended durably."""
        course = self._course
        course.unqueue(task_id)
        if entry.failed:
            # Its undertaker has failed, too: the next start has another.
            entry.state = "help_needed"
            course.release(task_id)
        else:
            # Its slot is free only when its call, which may still run, has been closed.
            entry.state, entry.waits_for = "waiting", "person"
            course.personas.bury(task_id)

    def _help_answered(self, task_id: str) -> None:
        """Go on with a task that a person has decided on."""
        course = self._course
        entry = course.entries[task_id]
        course.retrying.discard(task_id)
        if entry.state not in ("help_needed", "failed"):
            # Answered before this coordinator started, which has read the record as it is now.
            return
        self._orders.let_go()
        entry.record = self._ports.memory.task(self._session_id, task_id)
        entry.state = entry.record.state
        if entry.state in TASK_PASSED:
            course.graph.finish_task(task_id)
        elif entry.state == "queued":
            course.queue(task_id)

    def _run_phases(self, phases: tuple[str, ...]) -> OrderTaken:
        """Let phases run, too; what can begin of them does at once."""
        if self._tenure.halted:
            return OrderTaken(taken=False)
        answer = self._orders.run_phases(phases)
        if answer.taken:
            self._advance()
        return answer

    def _wish_recorded(self, *, interrupt: bool) -> None:
        """Begin to stop, or go on after all."""
        course = self._course
        course.wishes -= 1
        course.stopping = bool(intention(course.session))
        if not course.stopping:
            # Those that were not taken up at the start, because the session was to stop.
            self._recover_waiting()
        elif interrupt:
            deadline_ms = course.session.wish_deadline_ms
            course.personas.stop_attempts(course.in_flight, kill=False, deadline_ms=deadline_ms)
        self._keep_deadline()

    def _keep_deadline(self) -> None:
        """Have what the session is to do told when it is due, if it has a deadline."""
        timers, deadline_ms = self._ports.system.timers, self._course.session.wish_deadline_ms
        if deadline_ms is None:
            timers.cancel(self._address)
        else:
            timers.at(self._address, deadline_ms, self._address, _WISH_DUE)

    def _advance(self) -> None:
        """Start what can be started; end the session when nothing can."""
        course = self._course
        if course.ended:
            return
        step = course.graph.advance()
        for task_id in step.tasks:
            # One that was interrupted or waits has a persona, which asks for the slot itself.
            if course.entries[task_id].state == "queued":
                course.queue(task_id)
        for phase in step.phases:
            self._record_phase(phase)
        if self._tenure.halted:
            if not course.in_flight and not course.recording:
                course.ended = True
                self._ports.system.stop(self._address)
            return
        while course.to_recover and len(course.recovering) < RECOVERIES_MAX:
            task_id = course.to_recover.popleft()
            course.recovering.add(task_id)
            session = course.session
            # Nobody is to be asked for help with what is cancelled.
            course.personas.of(task_id).recover(
                excused=session.wish == "cancel", deadline_ms=session.wish_deadline_ms
            )
        if course.stopping:
            self._come_to_rest()
            return
        self._begin()
        if not course.can_go_on():
            self._record_end()

    def _begin(self) -> None:
        """Give out the slots that are free."""
        course = self._course
        while course.ready and course.slots_taken < self._team.max_parallel_workers:
            task_id = course.ready.popleft()
            course.in_flight.add(task_id)
            course.entries[task_id].queued = False
            course.entries[task_id].state = "running"
            course.personas.of(task_id).run_attempt()

    def _come_to_rest(self) -> None:
        """Grant the wish once nobody is left who could still write of the session's tasks."""
        course = self._course
        if course.is_busy():
            return
        if not course.dismissed:
            course.dismissed = True
            course.personas.dismiss()
        if course.personas.are_gone:
            self._record_end()

    def _record_phase(self, phase: str) -> None:
        """Write the checkpoint that ends a phase; the next phase starts once it is durable."""
        course = self._course
        course.recording.add(phase)
        draft = course.checkpoints.following(phase)
        draft.then(self._address, encoded(PhaseRecorded(phase=phase)))
        self._ports.journal.append(draft)

    def _record_end(self) -> None:
        """Write why nothing more can run in the session, for now or for good."""
        course = self._course
        course.ended = True
        session, now_ms, epoch = course.session, self._ports.now_ms(), self._ports.epoch
        if session.rerun_from and session.wish != "cancel":
            self._record_rerun()
            return
        stuck = [] if course.stopping else course.blockers.stuck()
        draft: Transition | None = None
        if stuck:
            draft = paused(session, stuck_because(stuck), now_ms, epoch)
            self._alarm(stuck, draft)
        elif not course.stopping and course.graph.stretch_over and not course.graph.finished:
            draft = stopped(session, now_ms, epoch)
        elif course.stopping:
            tasks = self._ports.memory.tasks(self._session_id)
            draft = granted(session, tasks, course.ready, now_ms, epoch)
        if draft is None:
            finished = course.graph.finished
            draft = session_end(session, course.entries, now_ms, epoch, finished=finished)
        draft.then(self._address, encoded(SessionRecorded()))
        # Behind all that the accountant has been given, such as an answer that raises a budget.
        AccountantProxy(self._channel).append(draft)

    def _record_rerun(self) -> None:
        """Queue what is to run again; the session begins with that once it is durable."""
        course = self._course
        ports, session = self._ports, course.session
        self._orders.let_go()
        tasks = ports.memory.tasks(self._session_id)
        points = ports.memory.checkpoints(self._session_id)
        plan = plan_rerun(session, tasks, points, self._team, session.rerun_from)
        draft = rerun(session, tasks, points, plan, ports.now_ms(), ports.epoch)
        draft.then(self._address, encoded(RerunRecorded()))
        # As above: an answer that came just before is not to be written after it.
        AccountantProxy(self._channel).append(draft)

    def _alarm(self, stuck: list[str], draft: Transition) -> None:
        """Tell once, durably and in the log, that tasks are stuck: we have lost track of them."""
        if not self._alarmed:
            self._alarmed = True
            names = ", ".join(stuck)
            _log.error("session %s is stuck: %s wait for nothing", self._session_id, names)
            draft.events.insert(0, stuck_alarm(self._session_id, stuck, self._ports.now_ms()))

    def _status(self) -> SessionStatus:
        course = self._course
        stuck = [] if course.stopping or course.ended else course.blockers.stuck()
        if stuck:
            draft = Transition()
            self._alarm(stuck, draft)
            self._ports.journal.append(draft)
        return SessionStatus(
            session_id=self._session_id,
            state=course.session.state,
            in_flight=course.slots_taken,
            tasks=course.blockers.statuses(intention(course.session) if course.stopping else ""),
        )
