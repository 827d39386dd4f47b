"""Messages of a coordinator."""

import msgspec

from maestro_actors.messages._message import Message, Request
from maestro_actors.messages._persona import Flushed
from maestro_actors.receipt import Receipt
from maestro_actors.verbs.rework import Rerun
from maestro_actors.verbs.wish import Asked
from maestro_storage.records import (
    SessionState,
    TaskState,
    WaitsFor,
)


class TaskStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Where one task stands, and what it waits for."""

    task_id: str
    phase: str
    persona_id: str
    state: TaskState
    waits_for: WaitsFor
    detail: str = ""
    """The contract, the limit, or the position in the queue, the task waits for; that it is
    recovered; what the session is to do."""


class SessionStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Where a session stands."""

    session_id: str
    state: SessionState
    in_flight: int
    """Tasks that hold a slot."""
    tasks: tuple[TaskStatus, ...]


class TaskWaiting(Message, frozen=True, kw_only=True):
    """The task waits and gives its slot back."""

    task_id: str
    waits_for: WaitsFor
    waits_on: str = ""
    """See `TaskRecord`."""


class TaskReady(Message, frozen=True, kw_only=True):
    """The task could go on and asks for a slot."""

    task_id: str


class SlotFreed(Message, frozen=True, kw_only=True):
    """The engine of a task has ended; what became of it is handed in, and not durable yet."""

    task_id: str


class TaskFinished(Message, frozen=True, kw_only=True):
    """The task has reached a state it does not leave by itself; durable. Its persona is gone."""

    task_id: str
    state: TaskState


class TaskStopped(Message, frozen=True, kw_only=True):
    """The persona of a task is gone before that ended: sent away, or because it kept failing."""

    task_id: str


class HelpAnswered(Message, frozen=True, kw_only=True):
    """A person's answer to the task is durable; its record says what follows."""

    task_id: str


class WishSession(Message, frozen=True, kw_only=True):
    """Run, pause or cancel the session. Answered by `OrderTaken`."""

    asked: Asked


class WishRecorded(Message, frozen=True, kw_only=True):
    """What is wished of the session is durable."""

    interrupt: bool


class WishDue(Message, frozen=True, kw_only=True):
    """The deadline of a wish is over: kill what has not stopped."""


class RetryTask(Message, frozen=True, kw_only=True):
    """Try a failed task again. Answered by `OrderTaken`."""

    task_id: str
    receipt: Receipt | None = None


class RunAgain(Message, frozen=True, kw_only=True):
    """Run a phase and all after it again. Answered by `OrderTaken`."""

    plan: Rerun
    """What that does, as far as it is known."""
    interrupt: bool
    """Whether attempts in flight are to be cut short."""
    receipt: Receipt | None = None


class RerunRecorded(Message, frozen=True, kw_only=True):
    """A phase and all after it are queued again; durable. Nothing is in flight."""


class PhaseRecorded(Message, frozen=True, kw_only=True):
    """The checkpoint of the phase is durable."""

    phase: str


class SessionRecorded(Message, frozen=True, kw_only=True):
    """The session's final state is durable."""


class SuccessionRecorded(Message, frozen=True, kw_only=True):
    """What a coordinator that has failed had sent is durable, and so is that it has failed."""

    restarts: int
    """How many have failed before the one that has brought it to rest, also in its `Flushed`."""


class HaltSession(Message, frozen=True, kw_only=True):
    """Start nothing more; what is in flight may end. Answered by `SessionStatus`."""


class GetSession(Request[SessionStatus], frozen=True, kw_only=True):
    """Ask where the session stands; answered by `SessionStatus`."""


class RunPhases(Message, frozen=True, kw_only=True):
    """Let phases run now, besides those that do. Answered by `OrderTaken`."""

    phases: tuple[str, ...]


class TakeCheckpoint(Message, frozen=True, kw_only=True):
    """Write down where the session stands, under a name. Answered by `CheckpointTaken`."""

    name: str
    receipt: Receipt | None = None


CoordinatorMessage = (
    TaskWaiting
    | TaskReady
    | SlotFreed
    | TaskFinished
    | TaskStopped
    | HelpAnswered
    | WishSession
    | WishRecorded
    | WishDue
    | RetryTask
    | RunAgain
    | RerunRecorded
    | PhaseRecorded
    | SessionRecorded
    | SuccessionRecorded
    | Flushed
    | HaltSession
    | GetSession
    | RunPhases
    | TakeCheckpoint
)


class OrderTaken(msgspec.Struct, frozen=True, kw_only=True):
    """Answer to an order to a session."""

    taken: bool
    """Whether it is on its way to be durable; else the session is coming to an end, and what it
    came to is to be looked at first."""


class CheckpointTaken(msgspec.Struct, frozen=True, kw_only=True):
    """The checkpoint that was asked for; durable with the next commit."""

    number: int
    """0: the session was about to end, and none was written."""

    @property
    def taken(self) -> bool:
        """Whether it was written."""
        return self.number > 0
