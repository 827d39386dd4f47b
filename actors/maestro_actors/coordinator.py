"""The coordinator: drives one session through its phases.

It knows which tasks may run, gives out the slots, and writes the checkpoint of each phase. It never
sees an engine: a persona tells it, once that is durable, that its task waits, is ready or has
ended. A task that waits holds no slot.
"""

import logging
from collections import deque
from collections.abc import Collection
from typing import ClassVar, Final, assert_never

import msgspec

from maestro_actors.accountant_proxy import AccountantProxy
from maestro_actors.blockers import Blockers, Entry
from maestro_actors.checkpoints import Checkpoints
from maestro_actors.graph import SessionGraph
from maestro_actors.identity import coordinator_address
from maestro_actors.message_actor import MessageActor
from maestro_actors.messages import (
    CheckpointTaken,
    CoordinatorMessage,
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
    TakeCheckpoint,
    TaskFinished,
    TaskReady,
    TaskStopped,
    TaskWaiting,
    WishDue,
    WishRecorded,
    WishSession,
)
from maestro_actors.personas import Personas
from maestro_actors.plan import (
    Standing,
    recorded_phases,
    replanned,
    require_free,
    stopped,
)
from maestro_actors.ports import Ports
from maestro_actors.proxy import encoded
from maestro_actors.receipt import Receipt, put_receipt
from maestro_actors.rework import plan_rerun, rerun, rerun_asked, retried
from maestro_actors.session_end import session_end
from maestro_actors.team import Team
from maestro_actors.whereabouts import stand
from maestro_actors.wish import (
    Asked,
    granted,
    intention,
    paused,
    stands,
    stuck_alarm,
    stuck_because,
    wished,
)
from maestro_storage.records import TASK_FINAL, TASK_PASSED, SessionRecord, TaskState
from maestro_storage.transition import Transition

RECOVERIES_MAX: Final = 50
"""Interrupted tasks that are settled at the same time after a start."""

_WISH_DUE: Final = encoded(WishDue())

_log: Final = logging.getLogger(__name__)


class Coordinator(MessageActor):
    """Runs one session until nothing more can run in it."""

    INBOX: ClassVar = msgspec.msgpack.Decoder(CoordinatorMessage)

    def __init__(
        self, ports: Ports, session_id: str, team: Team, claimed: Collection[str] | None = None
    ) -> None:
        """Take over a session; somebody waits for the phases in `claimed` already (None: all)."""
        super().__init__()
        self._claimed = None if claimed is None else set(claimed)
        self._ports = ports
        self._session_id = session_id
        self._address = coordinator_address(session_id)
        self._team = team
        self._channel = ports.channel
        self._halted = False
        self._alarmed = False

    def on_start(self) -> None:
        """Read the session, take up what was interrupted, and start what is ready."""
        stand(lambda: {"session_id": self._session_id})
        self._take_up()
        self._advance()

    def _take_up(self) -> None:
        """Begin with what is on record, as nobody runs anything of it: at first, or once more."""
        memory = self._ports.memory
        self._session: SessionRecord = memory.session(self._session_id)
        tasks = memory.tasks(self._session_id)
        checkpoints = memory.checkpoints(self._session_id)
        last = checkpoints[-1].number if checkpoints else 0
        last = max(last, self._session.checkpoints_made)
        self._checkpoints = Checkpoints(self._ports, self._session_id, last)
        self._ready: deque[str] = deque()
        self._in_flight: set[str] = set()
        self._to_recover: deque[str] = deque()
        self._recovering: set[str] = set()
        self._recording: set[str] = set()
        self._retrying: set[str] = set()
        """Tasks whose retry is not durable yet."""
        self._wishes = 0
        """Those that are not durable yet."""
        self._stopping = bool(intention(self._session))
        """What the session is to do before it runs is durable: nothing more begins."""
        self._dismissed = False
        """Every persona has been told to go, so that nobody writes any more."""
        self._ended = False
        self._entries = {
            record.task_id: Entry(record, record.state, record.waits_for, record.waits_on)
            for record in tasks
        }
        self._personas = Personas(self._ports, self._session, self._team, self._entries)
        self._graph = SessionGraph(
            self._team,
            done=(record.task_id for record in tasks if record.state in TASK_PASSED),
            recorded=recorded_phases(checkpoints),
            stretch=self._session.plan[0].phases if self._session.plan else None,
        )
        self._blockers = Blockers(
            self._team,
            self._graph,
            self._entries,
            self._ready,
            (self._in_flight, self._recovering, self._to_recover),
        )
        self._to_recover.extend(record.task_id for record in tasks if record.state == "running")
        for record in tasks:
            if record.state == "waiting" and not self._stopping:
                self._personas.of(record.task_id).recover()

    def handle(  # noqa: C901, PLR0911, PLR0912 - one case a message
        self, message: CoordinatorMessage
    ) -> SessionStatus | OrderTaken | CheckpointTaken | None:
        """Dispatch one message; orders and `GetSession` are answered."""
        match message:
            case TaskFinished():
                self._task_finished(message.task_id, message.state)
            case TaskWaiting():
                self._task_waiting(message)
            case TaskReady():
                self._task_ready(message.task_id)
            case TaskStopped():
                self._task_stopped(message.task_id)
                if self._entries[message.task_id].state in TASK_FINAL and not self._stopping:
                    # The usual end of a persona: all that follows was done when its task ended.
                    return None
            case HelpAnswered():
                self._help_answered(message.task_id)
            case WishSession():
                return self._wish(message.asked)
            case WishRecorded():
                self._wish_recorded(interrupt=message.interrupt)
            case WishDue():
                self._personas.stop_attempts(self._in_flight, kill=True)
            case TakeCheckpoint():
                return self._take_checkpoint(message.name, message.receipt)
            case RunPhases():
                return self._run_phases(message.phases)
            case RetryTask():
                return self._retry(message.task_id, message.receipt)
            case RunAgain():
                return self._rerun(message)
            case RerunRecorded():
                self._take_up()
            case PhaseRecorded():
                self._recording.discard(message.phase)
                self._graph.finish_phase(message.phase)
            case SessionRecorded():
                AccountantProxy(self._channel).forget_session(self._session_id)
                self._ports.system.timers.cancel(self._address)
                self._ports.system.stop(self._address)
                return None
            case HaltSession():
                self._halted = True
            case GetSession():
                return self._status()
            case _:
                assert_never(message)
        self._advance()
        return self._status() if isinstance(message, HaltSession) else None

    def _task_finished(self, task_id: str, state: TaskState) -> None:
        self._entries[task_id].state = state
        self._release(task_id)
        if state == "done":
            self._graph.finish_task(task_id)

    def _task_waiting(self, message: TaskWaiting) -> None:
        entry = self._entries[message.task_id]
        entry.state, entry.waits_for = "waiting", message.waits_for
        entry.waits_on = message.waits_on
        self._release(message.task_id)

    def _task_ready(self, task_id: str) -> None:
        """Queue a task that has begun ahead of those that have not: finish before you start."""
        # A persona that asks although it has a slot has failed, and with it its order to begin.
        self._release(task_id)
        entry = self._entries[task_id]
        if not entry.queued:
            entry.queued = True
            self._ready.appendleft(task_id)

    def _task_stopped(self, task_id: str) -> None:
        """Note a persona that is gone. Before its task ended, only repeated failure does that."""
        entry = self._entries[task_id]
        entry.alive = False
        if entry.state == "queued":
            # Answered before its persona, which had ended the task, was gone.
            self._queue(task_id)
        elif self._dismissed:
            return
        elif entry.state not in TASK_FINAL and entry.state != "help_needed":
            self._persona_failed(task_id, entry)

    def _persona_failed(self, task_id: str, entry: Entry) -> None:
        """Have the task of a persona that is gone ended durably."""
        if entry.queued:
            entry.queued = False
            self._ready.remove(task_id)
        if entry.failed:
            # Its undertaker has failed, too: the next start has another.
            entry.state = "help_needed"
            self._release(task_id)
        else:
            # Its slot is free only when its call, which may still run, has been closed.
            entry.state, entry.waits_for = "waiting", "person"
            self._personas.bury(task_id)

    def _help_answered(self, task_id: str) -> None:
        """Go on with a task that a person has decided on."""
        entry = self._entries[task_id]
        self._retrying.discard(task_id)
        if entry.state not in ("help_needed", "failed"):
            # Answered before this coordinator started, which has read the record as it is now.
            return
        entry.record = self._ports.memory.task(self._session_id, task_id)
        entry.state = entry.record.state
        if entry.state in TASK_PASSED:
            self._graph.finish_task(task_id)
        elif entry.state == "queued" and not entry.alive:
            self._queue(task_id)

    def _wish(self, asked: Asked) -> OrderTaken:
        """Make durable what is wished; what is done about it follows."""
        if self._ended or self._dismissed:
            return OrderTaken(taken=False)
        if stands(self._session, asked.wish):
            return OrderTaken(taken=True)
        self._session, draft = wished(self._session, asked, self._ports.now_ms(), self._ports.epoch)
        interrupt = asked.interrupt or asked.wish == "cancel"
        self._wishes += 1
        draft.then(self._address, encoded(WishRecorded(interrupt=interrupt)))
        self._ports.journal.append(draft)
        return OrderTaken(taken=True)

    def _wish_recorded(self, *, interrupt: bool) -> None:
        """Begin to stop, or go on after all."""
        self._wishes -= 1
        self._stopping = bool(intention(self._session))
        if not self._stopping:
            # Those that were not taken up at the start, because the session was to stop.
            for task_id, entry in self._entries.items():
                if entry.state == "waiting" and not entry.alive:
                    self._personas.of(task_id).recover()
        elif interrupt:
            self._personas.stop_attempts(self._in_flight, kill=False)
        deadline_ms = self._session.wish_deadline_ms
        timers = self._ports.system.timers
        if deadline_ms is None:
            timers.cancel(self._address)
        else:
            timers.at(self._address, deadline_ms, self._address, _WISH_DUE)

    def _rerun(self, order: RunAgain) -> OrderTaken:
        """Make durable that a phase is to run again; it does once nothing is in flight."""
        if self._ended or self._dismissed:
            return OrderTaken(taken=False)
        plan = plan_rerun(self._session, (), (), self._team, order.plan.from_phase)
        now_ms, epoch = self._ports.now_ms(), self._ports.epoch
        self._session, draft = rerun_asked(self._session, plan.from_phase, now_ms, epoch)
        self._wishes += 1
        draft.then(self._address, encoded(WishRecorded(interrupt=order.interrupt)))
        put_receipt(draft, order.receipt, epoch, order.plan)
        self._ports.journal.append(draft)
        return OrderTaken(taken=True)

    def _retry(self, task_id: str, receipt: Receipt | None) -> OrderTaken:
        """Try a failed task again; it is queued once that is durable."""
        if self._ended or self._dismissed:
            return OrderTaken(taken=False)
        if task_id not in self._retrying:
            draft = self._retried([task_id])
            put_receipt(draft, receipt, self._ports.epoch)
            self._ports.journal.append(draft)
        return OrderTaken(taken=True)

    def _retried(self, task_ids: Collection[str]) -> Transition:
        """Draft the retry of failed tasks, which are queued once it is durable."""
        if self._claimed is not None:
            # Whoever waited for a phase that could not go on any more has been told so.
            self._claimed &= self._standing().going_on(self._team)
        tasks = self._ports.memory.tasks(self._session_id)
        now_ms, epoch = self._ports.now_ms(), self._ports.epoch
        changed, draft = retried(self._session, tasks, self._team, task_ids, now_ms, epoch)
        for record in changed[len(task_ids) :]:
            # They cannot begin before the first ones are done.
            self._entries[record.task_id].record = record
            self._entries[record.task_id].state = record.state
        for task_id in task_ids:
            self._retrying.add(task_id)
            draft.then(self._address, encoded(HelpAnswered(task_id=task_id)))
        return draft

    def _run_phases(self, phases: tuple[str, ...]) -> OrderTaken:
        """Let phases run, too, with what has failed in them. Attempts follow into the journal."""
        if self._ended or self._dismissed or self._halted or intention(self._session):
            return OrderTaken(taken=False)
        standing = self._standing()
        phases = tuple(name for name in phases if name not in standing.recorded)
        require_free(self._session_id, standing.going_on(self._team), self._claimed, phases)
        plan = standing.joined_by(self._team, phases)
        failed = standing.failed_in(self._team, phases)
        draft = self._retried(failed) if failed else Transition()
        if plan != self._session.plan:
            now_ms, epoch = self._ports.now_ms(), self._ports.epoch
            self._session, planned = replanned(self._session, plan, now_ms, epoch)
            draft.join(planned)
            self._graph.extend_stretch(phases)
        if draft.changes:
            self._ports.journal.append(draft)
        if self._claimed is not None:
            self._claimed.update(phases)
        self._advance()
        return OrderTaken(taken=True)

    def _standing(self) -> Standing:
        states: dict[str, TaskState] = {
            task_id: "queued" if task_id in self._retrying else entry.state
            for task_id, entry in self._entries.items()
        }
        return Standing(states=states, recorded=self._graph.recorded, plan=self._session.plan)

    def _take_checkpoint(self, name: str, receipt: Receipt | None) -> CheckpointTaken:
        if self._ended or self._dismissed:
            return CheckpointTaken(number=0)
        return self._checkpoints.take(name, receipt)

    def _queue(self, task_id: str) -> None:
        self._entries[task_id].queued = True
        self._ready.append(task_id)

    def _release(self, task_id: str) -> None:
        self._in_flight.discard(task_id)
        self._recovering.discard(task_id)

    def _advance(self) -> None:
        """Start what can be started; end the session when nothing can."""
        if self._ended:
            return
        step = self._graph.advance()
        for task_id in step.tasks:
            # One that was interrupted or waits has a persona, which asks for the slot itself.
            if self._entries[task_id].state == "queued":
                self._queue(task_id)
        for phase in step.phases:
            self._record_phase(phase)
        if self._halted:
            if not self._in_flight and not self._recording:
                self._ended = True
                self._ports.system.stop(self._address)
            return
        while self._to_recover and len(self._recovering) < RECOVERIES_MAX:
            task_id = self._to_recover.popleft()
            self._recovering.add(task_id)
            # Nobody is to be asked for help with what is cancelled.
            self._personas.of(task_id).recover(excused=self._session.wish == "cancel")
        if self._stopping:
            self._come_to_rest()
            return
        self._begin()
        if not self._can_go_on():
            self._record_end()

    def _begin(self) -> None:
        """Give out the slots that are free."""
        while self._ready and len(self._in_flight) < self._team.max_parallel_workers:
            task_id = self._ready.popleft()
            self._in_flight.add(task_id)
            self._entries[task_id].queued = False
            self._entries[task_id].state = "running"
            self._personas.of(task_id).run_attempt()

    def _come_to_rest(self) -> None:
        """Grant the wish once nobody is left who could still write of the session's tasks."""
        if self._is_busy():
            return
        if not self._dismissed:
            self._dismissed = True
            self._personas.dismiss()
        if self._personas.are_gone:
            self._record_end()

    def _is_busy(self) -> bool:
        """Whether something is under way that ends by itself."""
        recording = self._recording or self._retrying or self._wishes
        return bool(self._in_flight or self._to_recover or self._recovering or recording)

    def _can_go_on(self) -> bool:
        # What is most often so comes first: the last one looks at every task. One that waits
        # without a persona would wait for ever.
        return (
            self._is_busy()
            or bool(self._ready)
            or any(entry.state == "waiting" and entry.alive for entry in self._entries.values())
        )

    def _record_phase(self, phase: str) -> None:
        """Write the checkpoint that ends a phase; the next phase starts once it is durable."""
        self._recording.add(phase)
        draft = self._checkpoints.following(phase)
        draft.then(self._address, encoded(PhaseRecorded(phase=phase)))
        self._ports.journal.append(draft)

    def _record_end(self) -> None:
        """Write why nothing more can run in the session, for now or for good."""
        self._ended = True
        session, now_ms, epoch = self._session, self._ports.now_ms(), self._ports.epoch
        if session.rerun_from and session.wish != "cancel":
            self._record_rerun()
            return
        stuck = [] if self._stopping else self._blockers.stuck()
        draft: Transition | None = None
        if stuck:
            draft = paused(session, stuck_because(stuck), now_ms, epoch)
            self._alarm(stuck, draft)
        elif not self._stopping and self._graph.stretch_over and not self._graph.finished:
            draft = stopped(session, now_ms, epoch)
        elif self._stopping:
            tasks = self._ports.memory.tasks(self._session_id)
            draft = granted(session, tasks, self._ready, now_ms, epoch)
        if draft is None:
            finished = self._graph.finished
            draft = session_end(session, self._entries, now_ms, epoch, finished=finished)
        draft.then(self._address, encoded(SessionRecorded()))
        # Behind all that the accountant has been given, such as an answer that raises a budget.
        AccountantProxy(self._channel).append(draft)

    def _record_rerun(self) -> None:
        """Queue what is to run again; the session begins with that once it is durable."""
        ports, session = self._ports, self._session
        tasks = ports.memory.tasks(self._session_id)
        points = ports.memory.checkpoints(self._session_id)
        plan = plan_rerun(session, tasks, points, self._team, session.rerun_from)
        draft = rerun(session, tasks, points, plan, ports.now_ms(), ports.epoch)
        draft.then(self._address, encoded(RerunRecorded()))
        # As below: an answer that came just before is not to be written after it.
        AccountantProxy(self._channel).append(draft)

    def _alarm(self, stuck: list[str], draft: Transition) -> None:
        """Tell once, durably and in the log, that tasks are stuck: we have lost track of them."""
        if not self._alarmed:
            self._alarmed = True
            names = ", ".join(stuck)
            _log.error("session %s is stuck: %s wait for nothing", self._session_id, names)
            draft.events.insert(0, stuck_alarm(self._session_id, stuck, self._ports.now_ms()))

    def _status(self) -> SessionStatus:
        stuck = [] if self._stopping or self._ended else self._blockers.stuck()
        if stuck:
            draft = Transition()
            self._alarm(stuck, draft)
            self._ports.journal.append(draft)
        return SessionStatus(
            session_id=self._session_id,
            state=self._session.state,
            in_flight=len(self._in_flight),
            tasks=self._blockers.statuses(intention(self._session) if self._stopping else ""),
        )
