"""The coordinator: drives one session through its phases.

It knows which tasks may run, gives out the slots, and writes the checkpoint of each phase. It never
sees an engine: a persona tells it, once that is durable, that its task waits, is ready or has
ended. A task that waits holds no slot.
"""

from collections import deque
from dataclasses import dataclass
from typing import ClassVar, Final, assert_never

import msgspec
import pykka

from maestro_actors.graph import SessionGraph
from maestro_actors.identity import coordinator_address, persona_address
from maestro_actors.kernel import Restart
from maestro_actors.message_actor import MessageActor
from maestro_actors.messages import (
    CoordinatorMessage,
    GetSession,
    HaltSession,
    HelpAnswered,
    PhaseRecorded,
    SessionRecorded,
    SessionStatus,
    TaskFinished,
    TaskReady,
    TaskStatus,
    TaskStopped,
    TaskWaiting,
)
from maestro_actors.persona import Persona, PersonaProxy
from maestro_actors.ports import Ports
from maestro_actors.proxy import Channel, LocalChannel, Proxy, encoded
from maestro_actors.session import record_checkpoint
from maestro_actors.task import Assignment, Task
from maestro_actors.team import Team
from maestro_actors.token_accountant import AccountantProxy
from maestro_actors.undertaker import Undertaker
from maestro_storage.records import (
    TASK_FINAL,
    TASK_PASSED,
    CheckpointRecord,
    SessionRecord,
    SessionState,
    TaskRecord,
    TaskState,
    WaitsFor,
)
from maestro_storage.transition import Event, Transition

_SUPERVISION: Final = Restart()

RECOVERIES_MAX: Final = 50
"""Interrupted tasks that are settled at the same time after a start."""


@dataclass(slots=True)
class _Entry:
    """What the coordinator knows of one task between two messages."""

    record: TaskRecord
    """As read at the start or at an answer; only its names are used after that."""
    state: TaskState
    waits_for: WaitsFor
    """What it waits for, while its state is "waiting"."""
    alive: bool = False
    """A persona works on it."""
    queued: bool = False
    """It stands in the queue for a slot."""
    failed: bool = False
    """Its persona has failed too often, and an undertaker ends the task."""


class Coordinator(MessageActor):
    """Runs one session until nothing more can run in it."""

    INBOX: ClassVar = msgspec.msgpack.Decoder(CoordinatorMessage)

    def __init__(self, ports: Ports, session_id: str, team: Team) -> None:
        super().__init__()
        self._ports = ports
        self._session_id = session_id
        self._address = coordinator_address(session_id)
        self._team = team
        self._contracts = {contract.id: contract for contract in team.contracts}
        self._channel = LocalChannel(ports.system)
        self._session: SessionRecord | None = None
        self._entries: dict[str, _Entry] = {}
        self._ready: deque[str] = deque()
        self._in_flight: set[str] = set()
        self._to_recover: deque[str] = deque()
        self._recovering: set[str] = set()
        self._recording: set[str] = set()
        self._checkpoint_number = 0
        self._halted = False
        self._ended = False

    def on_start(self) -> None:
        """Read the session, take up what was interrupted, and start what is ready."""
        memory = self._ports.memory
        self._session = memory.session(self._session_id)
        tasks = memory.tasks(self._session_id)
        checkpoints = memory.checkpoints(self._session_id)
        self._checkpoint_number = checkpoints[-1].number if checkpoints else 0
        self._entries = {
            record.task_id: _Entry(record, record.state, record.waits_for) for record in tasks
        }
        self._assignment = Assignment(
            session_id=self._session_id,
            requirement=self._team.requirement,
            workspace=self._session.output_dir,
            input_dir=self._session.input_dir,
            seed=self._team.seed,
            epoch=self._ports.epoch,
            budgets=self._team.budgets,
            lost_policy=self._team.lost_policy,
        )
        self._graph = SessionGraph(
            self._team,
            done=(record.task_id for record in tasks if record.state in TASK_PASSED),
            recorded=(checkpoint.phase for checkpoint in checkpoints),
        )
        self._to_recover.extend(record.task_id for record in tasks if record.state == "running")
        for record in tasks:
            if record.state == "waiting":
                self._persona(record.task_id).recover()
        self._advance()

    def handle(self, message: CoordinatorMessage) -> SessionStatus | None:
        """Dispatch one message; `GetSession` and `HaltSession` are answered."""
        match message:
            case TaskFinished():
                self._task_finished(message.task_id, message.state)
            case TaskWaiting():
                self._task_waiting(message.task_id, message.waits_for)
            case TaskReady():
                self._task_ready(message.task_id)
            case TaskStopped():
                self._task_stopped(message.task_id)
            case HelpAnswered():
                self._help_answered(message.task_id)
            case PhaseRecorded():
                self._recording.discard(message.phase)
                self._graph.finish_phase(message.phase)
            case SessionRecorded():
                AccountantProxy(self._channel).forget_session(self._session_id)
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

    def _task_waiting(self, task_id: str, waits_for: WaitsFor) -> None:
        entry = self._entries[task_id]
        entry.state = "waiting"
        entry.waits_for = waits_for
        self._release(task_id)

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
        elif entry.state not in TASK_FINAL and entry.state != "help_needed":
            self._persona_failed(task_id, entry)

    def _persona_failed(self, task_id: str, entry: _Entry) -> None:
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
            self._spawn(task_id, Undertaker)

    def _help_answered(self, task_id: str) -> None:
        """Go on with a task that a person has decided on."""
        entry = self._entries[task_id]
        if entry.state != "help_needed":
            # Answered before this coordinator started, which has read the record as it is now.
            return
        entry.record = self._ports.memory.task(self._session_id, task_id)
        entry.state = entry.record.state
        if entry.state in TASK_PASSED:
            self._graph.finish_task(task_id)
        elif entry.state == "queued" and not entry.alive:
            self._queue(task_id)

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
            self._persona(task_id).recover()
        while self._ready and len(self._in_flight) < self._team.max_parallel_workers:
            task_id = self._ready.popleft()
            self._in_flight.add(task_id)
            self._entries[task_id].queued = False
            self._entries[task_id].state = "running"
            self._persona(task_id).run_attempt()
        if not self._can_go_on():
            self._record_end()

    def _can_go_on(self) -> bool:
        # What is most often so comes first: the last one looks at every task.
        return bool(
            self._in_flight
            or self._ready
            or self._to_recover
            or self._recovering
            or self._recording
            or any(entry.state == "waiting" for entry in self._entries.values())
        )

    def _persona(self, task_id: str) -> PersonaProxy:
        """Return the proxy of a task's persona, started if it is not there."""
        if not self._entries[task_id].alive:
            self._spawn(task_id, Persona)
        return PersonaProxy(self._channel, self._session_id, task_id)

    def _spawn(self, task_id: str, kind: type[Persona]) -> None:
        entry = self._entries[task_id]
        entry.alive = True
        entry.failed = kind is Undertaker
        contract = self._contracts[task_id]
        spec = self._team.personas[contract.provider_persona_id]
        address = persona_address(self._session_id, task_id)
        self._ports.system.spawn(
            kind,
            self._ports,
            Task(self._assignment, spec, contract),
            entry.record,
            address=address,
            supervision=_SUPERVISION,
        )
        stopped = encoded(TaskStopped(task_id=task_id))
        self._ports.system.watch(address, self._address, stopped)

    def _record_phase(self, phase: str) -> None:
        """Write the checkpoint that ends a phase; the next phase starts once it is durable."""
        self._recording.add(phase)
        self._checkpoint_number += 1
        now_ms = self._ports.now_ms()
        done = [
            record
            for record in self._ports.memory.tasks(self._session_id)
            if record.state in TASK_FINAL
        ]
        draft = Transition()
        record_checkpoint(
            draft,
            CheckpointRecord(
                session_id=self._session_id,
                number=self._checkpoint_number,
                phase=phase,
                at_ms=now_ms,
                epoch=self._ports.epoch,
            ),
            done,
        )
        draft.then(self._address, encoded(PhaseRecorded(phase=phase)))
        self._ports.journal.append(draft)

    def _record_end(self) -> None:
        """Write why nothing more can run: all is done, a person is needed, or a task failed."""
        self._ended = True
        now_ms = self._ports.now_ms()
        states = {entry.state for entry in self._entries.values()}
        state: SessionState = "failed"
        if self._graph.finished:
            state = "done"
        elif "help_needed" in states:
            state = "help_needed"
        draft = Transition()
        if state == "failed":
            self._block_rest(draft, now_ms)
        final = state != "help_needed"
        if self._session is not None:
            draft.put(
                msgspec.structs.replace(
                    self._session,
                    state=state,
                    updated_ms=now_ms,
                    finished_ms=now_ms if final else None,
                    error=self._error(state),
                    epoch=self._ports.epoch,
                )
            )
        draft.event(
            Event(self._session_id, f"session_{state}", now_ms, data={"error": self._error(state)})
        )
        draft.then(self._address, encoded(SessionRecorded()))
        self._ports.journal.append(draft)

    def _block_rest(self, draft: Transition, now_ms: int) -> None:
        """End the tasks that can never start because one before them failed."""
        for task_id, entry in self._entries.items():
            if entry.state not in TASK_FINAL:
                entry.state = "blocked"
                draft.put(
                    msgspec.structs.replace(
                        entry.record,
                        state="blocked",
                        waits_for="nothing",
                        finished_ms=now_ms,
                        epoch=self._ports.epoch,
                    )
                )
                draft.event(Event(self._session_id, "task_blocked", now_ms, task_id))

    def _error(self, state: SessionState) -> str:
        culprit = {"failed": "failed", "help_needed": "help_needed"}.get(state)
        names = [task_id for task_id, entry in self._entries.items() if entry.state == culprit]
        if not names:
            return ""
        what = "failed" if state == "failed" else "need a person"
        return f"{len(names)} of {len(self._entries)} tasks {what}: {', '.join(names[:5])}"

    def _status(self) -> SessionStatus:
        places = {task_id: place for place, task_id in enumerate(self._ready, 1)}
        return SessionStatus(
            session_id=self._session_id,
            state="running" if self._session is None else self._session.state,
            in_flight=len(self._in_flight),
            tasks=tuple(
                self._task_status(task_id, entry, places.get(task_id))
                for task_id, entry in self._entries.items()
            ),
        )

    def _task_status(self, task_id: str, entry: _Entry, place: int | None) -> TaskStatus:
        contract = self._contracts[task_id]
        detail = ""
        waits_for: WaitsFor
        if place is not None:
            waits_for, detail = "slot", f"place {place}"
        elif entry.state == "queued":
            waits_for, detail = "contract", self._predecessor(task_id)
        elif entry.state == "running":
            waits_for = "call"
        elif entry.state == "waiting":
            waits_for = entry.waits_for
        elif entry.state == "help_needed":
            waits_for = "person"
        else:
            waits_for = "nothing"
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
        phase = next(phase for phase in self._team.phases if phase.name == contract.phase)
        waited_for = (name for name in phase.after if not self._graph.is_recorded(name))
        return next((f"phase {name}" for name in waited_for), "")


class CoordinatorProxy(Proxy):
    """Typed access to the coordinator of one session."""

    def __init__(self, channel: Channel, session_id: str) -> None:
        super().__init__(channel, coordinator_address(session_id))

    def status(self) -> pykka.Future[SessionStatus]:
        """Ask where the session stands."""
        return self._ask(GetSession(), SessionStatus)

    def halt(self) -> pykka.Future[SessionStatus]:
        """Start nothing more; the coordinator stops once nothing is in flight."""
        return self._ask(HaltSession(), SessionStatus)
