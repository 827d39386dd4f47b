"""The persona: carries one task from its first attempt to its end.

A turn only changes state and sends; the engine works elsewhere and reports by message. One
transition opens an attempt, one closes it and says what follows. Between the two nothing of the
task changes, so its record always tells a restart where to go on.
"""

from typing import ClassVar, Final, Literal, assert_never

import msgspec

from maestro_actors.accounting.accountant_proxy import AccountantProxy
from maestro_actors.circuit_breaker import BreakerProxy
from maestro_actors.deadline import in_reach
from maestro_actors.engine import CallOrder, Outcome, Usage
from maestro_actors.help.ticket import write_ticket
from maestro_actors.ledger.rows import lost_tokens
from maestro_actors.message_actor import MessageActor
from maestro_actors.messages import (
    AttemptClosed,
    BreakerClosed,
    BudgetFreed,
    CallDenied,
    CallOpened,
    CallParked,
    CallRecovered,
    CallRefused,
    CloseCall,
    DeadlineReached,
    EngineFinished,
    EngineStarted,
    Flushed,
    GetTask,
    LimitFreed,
    OpenCall,
    PersonaMessage,
    PersonaStatus,
    ProcessRecorded,
    RecordProcess,
    RecoverTask,
    RunAttempt,
    StopAttempt,
    TaskReady,
    WaitRecorded,
)
from maestro_actors.ports import Ports
from maestro_actors.proxy import encoded
from maestro_actors.tasks import steps
from maestro_actors.tasks.attempt import Ending
from maestro_actors.tasks.task import Task
from maestro_actors.whereabouts import Whereabouts, stand
from maestro_storage.records import TASK_FINAL, CallState, TaskRecord, WaitsFor
from maestro_storage.transition import Transition

_RECOVER_TASK: Final = encoded(RecoverTask())
_DEADLINE_REACHED: Final = encoded(DeadlineReached())

_AWAITED: Final[dict[type[PersonaMessage], WaitsFor]] = {
    BudgetFreed: "budget",
    BreakerClosed: "breaker",
    LimitFreed: "limit",
}
"""What a task waits for until it hears this."""

_Step = Literal["ready", "opening", "running", "recording", "idle", "restarting", "recovering"]
"""ready: asked for a slot; opening: asked for a call; running: the engine works; recording: a
transition is on its way; idle: waits for what the record names; restarting: waits until all that
the instance before it sent is durable; recovering: asks the engine about an interrupted call."""


class Persona(MessageActor):
    """Works on one task; lives from the task's first slot until it has ended."""

    INBOX: ClassVar = msgspec.msgpack.Decoder(PersonaMessage)

    def __init__(self, ports: Ports, task: Task, record: TaskRecord) -> None:
        super().__init__()
        self._ports = ports
        self._task = task
        self._breaker = BreakerProxy(ports.channel, task.persona.breaker)
        self._record = record
        self._step: _Step = "ready"
        self._begun = record
        """The record of the attempt that is being opened; `_record` once that is durable."""
        self._order: CallOrder | None = None
        self._started_ms = 0
        self._woken = False
        """What the wait that is being recorded waits for has happened already."""
        self._cut_short = False
        """Somebody wants the attempt to end: that it was interrupted does not speak against it."""
        self._told_to_stop: StopAttempt | None = None
        """What was said of the call that is being opened."""

    def on_start(self) -> None:
        """After a failure, begin again from the record, once all that was sent is durable."""
        stand(self._whereabouts)
        if self.restarts:
            self._begin_again()

    def handle(  # noqa: C901, PLR0912 - one case a message
        self, message: PersonaMessage
    ) -> PersonaStatus | None:
        """Dispatch one message; one that belongs to another step or call is out of date."""
        match message:
            case EngineFinished():
                if self._expects("running", message.call_id):
                    self._close(message.outcome)
            case CallOpened():
                if self._expects("opening", message.call_id):
                    self._start_engine(message.reserved_tokens)
            case AttemptClosed() | WaitRecorded():
                if self._step == "recording":
                    self._settle_down()
            case RunAttempt():
                if self._step == "ready":
                    self._open()
            case StopAttempt():
                self._stop_attempt(message)
            case DeadlineReached():
                if self._step == "idle":
                    self._settle_down()
            case BudgetFreed() | BreakerClosed() | LimitFreed():
                self._wake(_AWAITED[type(message)])
            case CallRefused():
                if self._expects("opening", message.call_id):
                    self._return_room()
                    self._wait("breaker", message.retry_at_ms)
            case CallParked():
                if self._expects("opening", message.call_id):
                    self._park(message)
            case CallDenied():
                if self._expects("opening", message.call_id):
                    self._breaker.return_probe(message.call_id)
                    self._end_unaffordable(message)
            case EngineStarted():
                if self._expects("running", message.call_id):
                    self._record_process(message)
            case ProcessRecorded():
                self._ports.engines.process_recorded(message.call_id)
            case RecoverTask():
                self._cut_short = message.excused
                self._take_up(message.deadline_ms)
            case CallRecovered():
                if self._expects("recovering", message.call_id):
                    self._close_interrupted(message.usage)
            case Flushed():
                self._flushed(message)
            case GetTask():
                return self._status()
            case _:
                assert_never(message)
        return None

    def _status(self) -> PersonaStatus:
        record = self._record
        return PersonaStatus(
            session_id=record.session_id,
            task_id=record.task_id,
            persona_id=record.persona_id,
            state=record.state,
            waits_for=record.waits_for,
            round=record.round,
            attempt=record.attempt,
            deadline_ms=record.deadline_ms,
            engine_runs=self._step == "running",
        )

    def _begin_again(self) -> None:
        self._step = "restarting"
        barrier = Transition()
        barrier.then(self._task.address, encoded(Flushed(restarts=self.restarts)))
        self._breaker.append(barrier)

    def _flushed(self, flushed: Flushed) -> None:
        """All that an instance before this one sent is durable: the record is what it left."""
        if self._step == "restarting" and flushed.restarts == self.restarts:
            record = self._record
            self._record = self._ports.memory.task(record.session_id, record.task_id)
            self._take_up()

    def _expects(self, step: _Step, call_id: bytes) -> bool:
        order = self._order
        return self._step == step and order is not None and order.call_id == call_id.hex()

    def _open(self) -> None:
        """Ask for a call: the breaker first, then the budget, then the journal."""
        now_ms = self._ports.now_ms()
        running = self._begun = steps.begun(self._task, self._record, now_ms)
        self._order = self._task.order(running)
        estimate = self._ports.engines.estimate(self._order)
        need_tokens = max(1, estimate.need_tokens)
        self._started_ms = now_ms
        self._cut_short = False
        self._told_to_stop = None
        self._step = "opening"
        self._breaker.acquire(
            OpenCall(
                call_id=running.call_id or b"",
                caller=self._task.caller(running),
                round=running.round,
                attempt=running.attempt,
                need_tokens=need_tokens,
                limit_tokens=self._task.persona.token_budget,
                at_ms=now_ms,
                reply_to=self.actor_urn,
                draft=steps.opening(self._task, running, need_tokens, now_ms),
                floor_tokens=estimate.floor_tokens,
                budgets=self._task.assignment.budgets,
                priority=self._task.assignment.priority,
            )
        )

    def _start_engine(self, reserved_tokens: int) -> None:
        """The attempt is durable: only now may anything leave the process for it."""
        self._record = self._begun
        self._step = "running"
        if self._order is not None:
            self._order = msgspec.structs.replace(
                self._order,
                token_budget=reserved_tokens,
                known_checks=self._ports.memory.known_checks(self._record),
            )
            self._ports.engines.start(self._order, self.actor_urn)
            if self._told_to_stop is not None:
                self._stop_attempt(self._told_to_stop)

    def _stop_attempt(self, stop: StopAttempt) -> None:
        """Stop the engine; the call that is being opened is stopped when it begins."""
        self._cut_short = self._cut_short or self._step in ("opening", "running")
        if self._step == "opening":
            self._told_to_stop = stop
        elif self._step in ("running", "recovering"):
            call_id = self._record.call_id or b""
            if stop.kill:
                self._ports.engines.kill(call_id)
            else:
                self._ports.engines.cancel(call_id, stop.deadline_ms)

    def _record_process(self, started: EngineStarted) -> None:
        draft = Transition()
        draft.then(self._task.address, encoded(ProcessRecorded(call_id=started.call_id)))
        AccountantProxy(self._ports.channel).record_process(
            RecordProcess(
                session_id=self._record.session_id,
                call_id=started.call_id,
                process=started.process,
                draft=draft,
            )
        )

    def _close(self, outcome: Outcome) -> None:
        answered = None if outcome.failure == "interrupted" else not outcome.engine_fault
        ending = Ending(outcome, outcome.usage.total, self._started_ms)
        self._close_call(ending, "settled", answered=answered)

    def _close_interrupted(self, usage: Usage | None) -> None:
        """Close the call that a crash left open; without an answer, by the policy of the team."""
        call = self._ports.memory.call(self._record.session_id, self._record.call_id or b"")
        policy = self._task.assignment.lost_policy
        booked_tokens, opened_ms = (
            (0, 0) if call is None else (lost_tokens(call, policy), call.opened_ms)
        )
        outcome = Outcome(
            usage=usage or Usage(),
            failure="interrupted",
            evidence=("the runtime stopped while this attempt was running",),
        )
        tokens = booked_tokens if usage is None else usage.total
        state: CallState = "lost" if usage is None else "settled"
        self._close_call(Ending(outcome, tokens, opened_ms), state, answered=None)

    def _close_call(self, ending: Ending, state: CallState, *, answered: bool | None) -> None:
        now_ms = self._ports.now_ms()
        running, assignment = self._record, self._task.assignment
        self._record, draft = steps.closing(
            self._task,
            running,
            ending,
            now_ms,
            self._ports.strategies,
            excused=self._cut_short,
        )
        self._add_ticket(draft, now_ms, ending.outcome.healing)
        self._breaker.report(
            CloseCall(
                call_id=running.call_id or b"",
                session_id=running.session_id,
                at_ms=now_ms,
                answered=answered,
                persona_id=running.persona_id,
                state=state,
                usage=ending.outcome.usage,
                draft=draft,
                outcome="ok" if self._record.state == "done" else self._record.failure,
                lost_policy=assignment.lost_policy,
                coordinator=self._task.coordinator if assignment.frees_early else "",
            ),
        )
        self._step = "recording"
        if self._has_ended:
            self._leave()

    def _wait(self, waits_for: WaitsFor, deadline_ms: int | None, waits_on: str = "") -> None:
        self._record, draft = steps.waiting(
            self._task,
            self._record,
            waits_for,
            deadline_ms,
            self._ports.now_ms(),
            waits_on=waits_on,
        )
        self._step = "recording"
        if waits_for == "breaker":
            # By way of the breaker, which adds that it has refused.
            self._breaker.append(draft)
        else:
            self._ports.journal.append(draft)

    def _park(self, parked: CallParked) -> None:
        self._breaker.return_probe(parked.call_id)
        self._wait("limit" if parked.limit else "budget", parked.retry_at_ms, parked.limit)

    def _return_room(self) -> None:
        """Let others have the room that this task was woken for."""
        if self._record.waits_for in ("budget", "limit"):
            AccountantProxy(self._ports.channel).return_room(self._task.address)

    def _end_unaffordable(self, denied: CallDenied) -> None:
        now_ms = self._ports.now_ms()
        self._end_task(*steps.unaffordable(self._task, self._record, denied, now_ms), now_ms)

    def _end_task(self, ended: TaskRecord, draft: Transition, now_ms: int) -> None:
        """End the task without an attempt."""
        self._record = ended
        self._add_ticket(draft, now_ms)
        self._ports.journal.append(draft)
        self._leave()

    def _add_ticket(self, draft: Transition, now_ms: int, healing: tuple[str, ...] = ()) -> None:
        """Put the ticket of a final failure into the transition that ends the task."""
        record = self._record
        if record.state in ("failed", "help_needed"):
            attempts = self._ports.memory.attempts(record.session_id, record.task_id)
            write_ticket(draft, self._task, record, attempts, now_ms, healing=healing)

    def _settle_down(self) -> None:
        """The record is durable: end, wait for what it names, or go on if there is nothing."""
        record = self._record
        if self._has_ended:
            self._leave()
            return
        self._step = "idle"
        # At a limit it has its turn, whatever the instant says that it waits for at least.
        deadline_ms = None if record.waits_for == "limit" else record.deadline_ms
        due = deadline_ms is not None and deadline_ms <= self._ports.now_ms()
        if self._woken or due or record.state != "waiting":
            self._ask_for_slot()
        elif deadline_ms is not None:
            address = self._task.address
            self._ports.system.timers.at(address, deadline_ms, address, _DEADLINE_REACHED)

    def _leave(self) -> None:
        """End: the transition on its way ends the task, and tells the coordinator so itself."""
        self.end(unheard=True)

    @property
    def _has_ended(self) -> bool:
        return self._record.state in TASK_FINAL or self._record.state == "help_needed"

    def _wake(self, awaited: WaitsFor) -> None:
        """Go on, if that is what the task waits for: a word about an older wait may come late."""
        if self._record.waits_for != awaited:
            return
        if self._step == "idle":
            self._ask_for_slot()
        elif self._step == "recording":
            self._woken = True

    def _ask_for_slot(self) -> None:
        self._step = "ready"
        self._woken = False
        self._ports.system.timers.cancel(self._task.address)
        ready = TaskReady(task_id=self._record.task_id)
        self._ports.system.deliver(self._task.coordinator, ready)

    def _take_up(self, deadline_ms: int | None = None) -> None:
        """Take the task up where its record stands; a call that still runs ends by the deadline."""
        record = self._record
        if record.state == "running":
            self._step = "recovering"
            self._order = self._task.order(record)
            self._ports.engines.recover(self._order, self._task.address, deadline_ms)
        else:
            # It may have come free in another life, and nobody would say so again.
            self._woken = record.waits_for in ("budget", "breaker", "limit")
            deadline_ms = self._deadline_in_reach()
            if deadline_ms == record.deadline_ms:
                self._settle_down()
            else:
                self._wait("deadline", deadline_ms)

    def _deadline_in_reach(self) -> int | None:
        """Return the deadline of the record, brought back if the wall clock was set back."""
        record, now_ms = self._record, self._ports.now_ms()
        deadline_ms = record.deadline_ms
        # Breaker, budget and limit are asked again, and say themselves until when.
        if record.waits_for != "deadline" or deadline_ms is None or deadline_ms <= now_ms:
            return deadline_ms
        last = self._ports.memory.attempts(record.session_id, record.task_id)[-1]
        return in_reach(deadline_ms, now_ms, last.delay_ms or 0)

    def _whereabouts(self) -> Whereabouts:
        record = self._record
        call = {} if record.call_id is None else {"call_id": record.call_id.hex()}
        return {
            "session_id": record.session_id,
            "task_id": record.task_id,
            "round": record.round,
            "attempt": record.attempt,
            **call,
        }
