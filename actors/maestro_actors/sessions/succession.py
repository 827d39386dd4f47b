"""The succession of a coordinator: what comes before the next one when one has failed by a bug.

What is durable has happened, all else has not, as after a crash.
"""

from collections.abc import Collection, Iterable
from typing import Final

import msgspec

from maestro_actors.accounting.accountant_proxy import AccountantProxy
from maestro_actors.circuit_breaker import BreakerProxy
from maestro_actors.help.ticket import write_session_ticket
from maestro_actors.identity import call_id_of, coordinator_address, persona_address
from maestro_actors.messages import (
    CheckpointTaken,
    CoordinatorMessage,
    Flushed,
    GetSession,
    HaltSession,
    OrderTaken,
    RetryTask,
    RunAgain,
    RunPhases,
    SessionRecorded,
    SessionStatus,
    SuccessionRecorded,
    TakeCheckpoint,
    TaskFinished,
    TaskStopped,
    WishSession,
)
from maestro_actors.ports import Ports
from maestro_actors.proxy import encoded
from maestro_actors.sessions.personas import send_away
from maestro_actors.team import Team
from maestro_actors.verbs.wish import REASON_CHARS_MAX, cancelled, paused
from maestro_storage.records import TASK_FINAL, SessionRecord, TaskRecord
from maestro_storage.transition import Event, Transition

FAILURES_MAX: Final = 3
"""So often the coordinator of a session may fail without a task ending in between."""


class Tenure:
    """What the coordinators of one session leave to each other, until it has come to rest."""

    def __init__(self) -> None:
        self.halted = False
        """Nothing more is to begin."""
        self.failure = ""
        """What the one before has failed at, in one line."""
        self.failures = 0
        """How many have failed: all that were before the one there is."""

    def failed(self, error: BaseException) -> None:
        """Note why there is to be another one."""
        text = " ".join(f"{type(error).__name__}: {error}".split())
        self.failure = text[:REASON_CHARS_MAX]
        self.failures += 1


class Succession:
    """Brings what a coordinator has left behind to rest; belongs to the one in its place.

    Its personas go first. Then a barrier takes the way of all that was sent, through each breaker
    and the accountant to the journal; when it is back, the records say all there is.
    """

    def __init__(
        self, ports: Ports, session_id: str, team: Team, tenure: Tenure, *, resumed: bool
    ) -> None:
        """Begin with nothing; failures count anew in a session that was given up and `resumed`."""
        self.failures: Final = tenure.failures
        """Before this: tells it from those before."""
        self._ports = ports
        self._resumed = resumed
        self._session_id = session_id
        self._address = coordinator_address(session_id)
        self._tenure = tenure
        self._team = team
        self._breakers = {persona.breaker for persona in team.personas.values()}
        self._barriers = 0
        self._alive: set[str] = set()
        self._sent_away: set[str] = set()

    def begin(self) -> None:
        """Send the personas away that are still there."""
        system = self._ports.system
        for task in self._ports.memory.tasks(self._session_id):
            address = persona_address(self._session_id, task.task_id)
            if system.ref(address) is not None:
                self._alive.add(task.task_id)
                self._sent_away.add(task.task_id)
                send_away(self._ports, address)
                system.watch(address, self._address, TaskStopped(task_id=task.task_id))
        if not self._alive:
            self._flush()

    def handle(
        self, message: CoordinatorMessage
    ) -> SessionStatus | OrderTaken | CheckpointTaken | None:
        """Take what this waits for; orders are to be given again to who comes after it."""
        match message:
            case TaskStopped() | TaskFinished() if message.task_id in self._alive:
                # One that had just come to its end has gone with that, and not because it was sent.
                self._alive.discard(message.task_id)
                if not self._alive:
                    self._flush()
            case Flushed() if message.restarts == self.failures:
                self._barriers -= 1
                if not self._barriers:
                    self._record()
            case WishSession() | RetryTask() | RunAgain() | RunPhases():
                return OrderTaken(taken=False)
            case TakeCheckpoint():
                return CheckpointTaken(number=0)
            case GetSession() | HaltSession():
                self._tenure.halted = self._tenure.halted or isinstance(message, HaltSession)
                session = self._ports.memory.session(self._session_id)
                return SessionStatus(
                    session_id=self._session_id, state=session.state, in_flight=0, tasks=()
                )
            case _:
                # Meant for the one that has failed; what it says is on record.
                pass
        return None

    def _flush(self) -> None:
        self._barriers = len(self._breakers)
        for name in self._breakers:
            barrier = Transition()
            barrier.then(self._address, encoded(Flushed(restarts=self.failures)))
            BreakerProxy(self._ports.channel, name).append(barrier)

    def _record(self) -> None:
        """Write down that there is another coordinator, or that there had better be none."""
        ports, memory = self._ports, self._ports.memory
        session, tasks = memory.session(self._session_id), memory.tasks(self._session_id)
        if self._resumed:
            session = msgspec.structs.replace(session, failures=0)
        self._give_back(task for task in tasks if task.task_id in self._sent_away)
        why, now_ms = self._tenure.failure, ports.now_ms()
        after, draft = noted(session, tasks, why, now_ms, ports.epoch)
        if after.failures < FAILURES_MAX:
            draft.then(self._address, encoded(SuccessionRecorded(restarts=self.failures)))
        else:
            for task in tasks:
                if task.state == "running" and task.call_id:
                    # Nobody is left whom it could answer.
                    ports.engines.kill(task.call_id)
            draft.join(set_aside(after, tasks, why, now_ms, ports.epoch))
            draft.then(self._address, encoded(SessionRecorded()))
        # As every end of a session: behind what the accountant has been given meanwhile.
        AccountantProxy(ports.channel).append(draft)

    def _give_back(self, tasks: Iterable[TaskRecord]) -> None:
        """Return what personas have been given, or will be, by answers that find them gone."""
        channel = self._ports.channel
        for task in tasks:
            address = persona_address(self._session_id, task.task_id)
            AccountantProxy(channel).return_room(address)
            if task.state != "running":
                asked = call_id_of(task.session_id, task.task_id, task.round, task.attempt + 1)
                breaker = self._team.personas[task.persona_id].breaker
                BreakerProxy(channel, breaker).return_probe(asked)


def noted(
    session: SessionRecord, tasks: Collection[TaskRecord], why: str, now_ms: int, epoch: int
) -> tuple[SessionRecord, Transition]:
    """Return the transition that tells of a failure, and the session's record after it.

    Args:
        session: As its record stands.
        tasks: Theirs.
        why: What its coordinator has failed at, in one line.
        now_ms: Wall clock.
        epoch: Start of the state directory that writes the records.
    """
    ended = sum(task.state in TASK_FINAL or task.state == "help_needed" for task in tasks)
    failures = session.failures + 1 if session.failures_at == ended else 1
    after = msgspec.structs.replace(
        session, failures=failures, failures_at=ended, updated_ms=now_ms, epoch=epoch
    )
    draft = Transition()
    draft.put(after)
    data: dict[str, str | int | float | bool | None] = {"error": why, "failures": failures}
    draft.event(Event(session.session_id, "coordinator_failed", now_ms, data=data))
    return after, draft


def set_aside(
    session: SessionRecord, tasks: Collection[TaskRecord], why: str, now_ms: int, epoch: int
) -> Transition:
    """Return the transition by which a session rests whose coordinator fails each time.

    It is paused, with a ticket; the next one begins to count anew. One that is to be cancelled is,
    unless a call is open that only a coordinator could settle.
    """
    session = msgspec.structs.replace(session, failures=0)
    if session.wish == "cancel" and all(task.state != "running" for task in tasks):
        return cancelled(session, tasks, now_ms, epoch)
    reason = f"set aside: its coordinator failed {FAILURES_MAX} times without progress: {why}"
    aside = msgspec.structs.replace(
        session,
        set_aside=True,
        pause_reason=reason[:REASON_CHARS_MAX],
        tickets=session.tickets + 1,
        epoch=epoch,
    )
    draft = paused(aside, aside.pause_reason, now_ms, epoch)
    write_session_ticket(draft, aside, tasks, now_ms)
    return draft
