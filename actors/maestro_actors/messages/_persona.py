"""Messages of a persona."""

import msgspec

from maestro_actors.engine import Outcome, ProcessIdentity, Usage
from maestro_actors.ledger.amounts import Metric
from maestro_actors.messages._message import Message, Request
from maestro_storage.records import TaskState, WaitsFor


class PersonaStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Where the persona of a task stands; as far as it is durable."""

    session_id: str
    task_id: str
    persona_id: str
    state: TaskState
    waits_for: WaitsFor
    round: int
    """1-based."""
    attempt: int
    """Within the round; 0 before the first."""
    deadline_ms: int | None
    """When a wait ends, on the wall clock."""
    engine_runs: bool
    """Its call is in the hands of the engine."""


class RunAttempt(Message, frozen=True, kw_only=True):
    """Begin the next attempt: the coordinator has given the task a slot."""


class StopAttempt(Message, frozen=True, kw_only=True):
    """Cut the attempt in flight short, if there is one: somebody wants the session to stop."""

    kill: bool
    """Do not wait for its engine any longer."""
    deadline_ms: int | None = None
    """When it will be killed, on the wall clock: its programs have that long. None: they have what
    is usual."""


class RecoverTask(Message, frozen=True, kw_only=True):
    """Settle the call that a crash or a restart left open, then go on from the record."""

    excused: bool = False
    """That it was interrupted does not make it the last one: the session is being cancelled."""
    deadline_ms: int | None = None
    """As in `StopAttempt`, for a call that still runs."""


class CallOpened(Message, frozen=True, kw_only=True):
    """Attempt, call and reservation are durable: the engine may start."""

    call_id: bytes
    reserved_tokens: int
    """What the call may use: less than it asked for, if it was cut down."""


class CallRefused(Message, frozen=True, kw_only=True):
    """The circuit breaker is open."""

    call_id: bytes
    retry_at_ms: int


class CallParked(Message, frozen=True, kw_only=True):
    """What this call needs is held by others, or comes back later; `BudgetFreed` may follow."""

    call_id: bytes
    probe: bool = False
    retry_at_ms: int | None = None
    """When the budget begins anew, on the wall clock; None: it is only held."""
    limit: str = ""
    """The limit that it waits for instead of a budget, in words: `LimitFreed` follows, not before
    `retry_at_ms`."""


class CallDenied(Message, frozen=True, kw_only=True):
    """A budget cannot pay for this call in its window. Figures in units of its metric."""

    call_id: bytes
    limit: int
    spent: int
    held: int
    need: int | None
    """None: the call has no price, and the budget counts money."""
    budget_id: str
    """Empty: the token budget of the persona."""
    resets_at_ms: int | None
    park: bool
    """A person has to decide, even if the persona gives up on failure."""
    metric: Metric = "total"
    """Of the budget."""


class BudgetFreed(Message, frozen=True, kw_only=True):
    """A budget has changed: a call parked for it may ask again."""


class LimitFreed(Message, frozen=True, kw_only=True):
    """A limit has room for the call that waits for it: it may ask again."""


class BreakerClosed(Message, frozen=True, kw_only=True):
    """The engine answers again: a refused call may ask again."""


class EngineStarted(Message, frozen=True, kw_only=True):
    """The engine runs as this process and waits for it to be recorded."""

    call_id: bytes
    process: ProcessIdentity


class ProcessRecorded(Message, frozen=True, kw_only=True):
    """The process of the call is durable."""

    call_id: bytes


class EngineFinished(Message, frozen=True, kw_only=True):
    """The engine is through with the call, and its processes are gone."""

    call_id: bytes
    outcome: Outcome


class CallRecovered(Message, frozen=True, kw_only=True):
    """What the engine knows of a call that a crash interrupted; None if it cannot tell."""

    call_id: bytes
    usage: Usage | None


class AttemptClosed(Message, frozen=True, kw_only=True):
    """The end of the attempt, and the wait that follows from it, are durable."""


class WaitRecorded(Message, frozen=True, kw_only=True):
    """The task's wait for breaker or budget is durable."""


class DeadlineReached(Message, frozen=True, kw_only=True):
    """The deadline of the task has passed."""


class Flushed(Message, frozen=True, kw_only=True):
    """Everything this actor sent before it asked is durable."""

    restarts: int = 0
    """Of the actor when it asked: another instance has sent something since."""


class GetTask(Request[PersonaStatus], frozen=True, kw_only=True):
    """Ask where the task stands, and what it waits for; answered by `PersonaStatus`."""


PersonaMessage = (
    RunAttempt
    | StopAttempt
    | RecoverTask
    | CallOpened
    | CallRefused
    | CallParked
    | CallDenied
    | BudgetFreed
    | BreakerClosed
    | LimitFreed
    | EngineStarted
    | ProcessRecorded
    | EngineFinished
    | CallRecovered
    | AttemptClosed
    | WaitRecorded
    | DeadlineReached
    | Flushed
    | GetTask
)
