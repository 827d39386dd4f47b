"""Every message of the runtime, as one tagged union per receiving actor.

Commands are orders, events are past tense. All are frozen and msgpack-encoded when they are sent,
so no two actors ever share an object, and the same bytes can travel over a socket. Only the proxy
of an actor builds its messages; everybody else calls the proxy.
"""

from typing import Final

import msgspec

from maestro_actors.answer import Answer
from maestro_actors.engine import Outcome, ProcessIdentity, Usage
from maestro_actors.ledger.budget import Budget, Caller
from maestro_storage.records import (
    BreakerState,
    CallState,
    SessionState,
    TaskRecord,
    TaskState,
    WaitsFor,
)
from maestro_storage.transition import Transition

MESSAGE_BYTES_MAX: Final = 4 << 20
"""Largest encoded message an actor accepts (4 MiB); a bigger one raises MessageTooLarge."""

encode = msgspec.msgpack.Encoder().encode
"""Encode one message or reply; safe to share, it keeps no state between calls."""


class Message(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Base of all messages: the class name is the tag."""


# Token accountant


class OpenCall(Message, frozen=True, kw_only=True):
    """Reserve tokens for a call and make its opening durable.

    Answered to `reply_to` by `CallOpened` (a delivery of the transition), `CallParked` or
    `CallDenied`.
    """

    session_id: str
    task_id: str
    persona_id: str
    engine: str
    call_id: bytes
    round: int
    attempt: int
    need_tokens: int
    """Most tokens the call is expected to use; at least 1."""
    limit_tokens: int
    """Budget of the persona in this session."""
    at_ms: int
    reply_to: str
    draft: Transition
    """The records of task and attempt; the accountant adds call and budget."""
    floor_tokens: int = 0
    """Fewest tokens the call can do with, so that it may be cut down; 0: all it needs."""
    phase: str = ""
    model: str = ""
    tags: tuple[str, ...] = ()
    budgets: tuple[Budget, ...] = ()
    """Of the team; those that do not count this call are passed over."""


class CloseCall(Message, frozen=True, kw_only=True):
    """Book what a call used and make its end durable, with everything in `draft`."""

    session_id: str
    persona_id: str
    call_id: bytes
    state: CallState
    usage: Usage
    """Ignored for a "lost" call: the reservation is booked instead."""
    at_ms: int
    draft: Transition
    outcome: str = ""
    """ "ok", or the class of the failure."""


class RecordProcess(Message, frozen=True, kw_only=True):
    """Write the process of an open call into its row, before its output is read."""

    session_id: str
    call_id: bytes
    process: ProcessIdentity
    draft: Transition


class RaiseBudget(Message, frozen=True, kw_only=True):
    """Add the tokens that an answer grants to a persona's budget and make its draft durable."""

    task: TaskRecord
    """The task that was answered; names session and persona."""
    limit_tokens: int
    """Budget of the persona in this session before its first call."""
    answer: Answer
    draft: Transition


class ForgetSession(Message, frozen=True, kw_only=True):
    """Drop the session's budgets from memory; the records stay."""

    session_id: str


class TopUp(Message, frozen=True, kw_only=True):
    """Raise the limit of a budget in its running window; wakes the calls that wait for it."""

    budget: Budget
    caller: Caller
    """Somebody the counter counts; the event goes into the history of its session."""
    amount: int
    """In units of the metric; at least 1."""
    reason: str
    at_ms: int


class GetUsage(Message, frozen=True, kw_only=True):
    """Ask what the personas of a session have spent; answered by `SessionUsage`."""

    session_id: str


AccountantMessage = (
    OpenCall | CloseCall | RecordProcess | RaiseBudget | ForgetSession | TopUp | GetUsage
)


class PersonaUsage(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens of one persona in one session."""

    persona_id: str
    limit_tokens: int
    spent_tokens: int
    held_tokens: int
    """Reserved by calls in flight."""


class SessionUsage(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens of a session, by persona, in the order of the persona ids."""

    session_id: str
    personas: tuple[PersonaUsage, ...]


# Circuit breaker


class AcquireCall(Message, frozen=True, kw_only=True):
    """Let a call through to the accountant, or refuse it with `CallRefused`."""

    open: OpenCall


class ReportCall(Message, frozen=True, kw_only=True):
    """Count the result of a call, then pass its closing on to the accountant."""

    verdict: bool | None
    """True: the engine answered. False: it failed as an engine. None: nothing was learnt."""
    close: CloseCall


class ReturnProbe(Message, frozen=True, kw_only=True):
    """A call that was let through as the probe will not happen."""

    call_id: bytes


class AppendDraft(Message, frozen=True, kw_only=True):
    """Pass a draft through breaker and accountant into the journal.

    It comes after everything its sender sent before: all three keep the order.
    """

    draft: Transition


class TripBreaker(Message, frozen=True, kw_only=True):
    """Open the breaker by hand."""


class ResetBreaker(Message, frozen=True, kw_only=True):
    """Close the breaker by hand and forget its failures."""


class GetBreaker(Message, frozen=True, kw_only=True):
    """Ask for the state of the breaker; answered by `BreakerStatus`."""


BreakerMessage = (
    AcquireCall | ReportCall | ReturnProbe | AppendDraft | TripBreaker | ResetBreaker | GetBreaker
)
AccountantInbox = AccountantMessage | AppendDraft


class BreakerStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The circuit breaker of one engine."""

    engine: str
    state: BreakerState
    failures: int
    """Consecutive failures of the engine."""
    retry_at_ms: int | None
    """When an open breaker lets a probe through, on the wall clock."""


# Persona


class RunAttempt(Message, frozen=True, kw_only=True):
    """Begin the next attempt: the coordinator has given the task a slot."""


class RecoverTask(Message, frozen=True, kw_only=True):
    """Settle the call that a crash or a restart left open, then go on from the record."""


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


class BudgetFreed(Message, frozen=True, kw_only=True):
    """A budget has changed: a call parked for it may ask again."""


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
    """The end of the attempt, and what follows from it, is durable."""


class WaitRecorded(Message, frozen=True, kw_only=True):
    """The task's wait for breaker or budget is durable."""


class DeadlineReached(Message, frozen=True, kw_only=True):
    """The deadline of the task has passed."""


class Flushed(Message, frozen=True, kw_only=True):
    """Everything this actor sent before it asked is durable."""


PersonaMessage = (
    RunAttempt
    | RecoverTask
    | CallOpened
    | CallRefused
    | CallParked
    | CallDenied
    | BudgetFreed
    | BreakerClosed
    | EngineStarted
    | ProcessRecorded
    | EngineFinished
    | CallRecovered
    | AttemptClosed
    | WaitRecorded
    | DeadlineReached
    | Flushed
)


# Coordinator


class TaskWaiting(Message, frozen=True, kw_only=True):
    """The task waits and gives its slot back."""

    task_id: str
    waits_for: WaitsFor


class TaskReady(Message, frozen=True, kw_only=True):
    """The task could go on and asks for a slot."""

    task_id: str


class TaskFinished(Message, frozen=True, kw_only=True):
    """The task has reached a state it does not leave by itself; durable."""

    task_id: str
    state: TaskState


class TaskStopped(Message, frozen=True, kw_only=True):
    """The persona of a task is gone, by its own end or because it kept failing."""

    task_id: str


class HelpAnswered(Message, frozen=True, kw_only=True):
    """A person's answer to the task is durable; its record says what follows."""

    task_id: str


class PhaseRecorded(Message, frozen=True, kw_only=True):
    """The checkpoint of the phase is durable."""

    phase: str


class SessionRecorded(Message, frozen=True, kw_only=True):
    """The session's final state is durable."""


class HaltSession(Message, frozen=True, kw_only=True):
    """Start nothing more; what is in flight may end. Answered by `SessionStatus`."""


class GetSession(Message, frozen=True, kw_only=True):
    """Ask where the session stands; answered by `SessionStatus`."""


CoordinatorMessage = (
    TaskWaiting
    | TaskReady
    | TaskFinished
    | TaskStopped
    | HelpAnswered
    | PhaseRecorded
    | SessionRecorded
    | HaltSession
    | GetSession
)


class TaskStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Where one task stands, and what it waits for."""

    task_id: str
    phase: str
    persona_id: str
    state: TaskState
    waits_for: WaitsFor
    detail: str = ""
    """The contract, or the position in the queue, the task waits for."""


class SessionStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Where a session stands."""

    session_id: str
    state: SessionState
    in_flight: int
    """Tasks that hold a slot."""
    tasks: tuple[TaskStatus, ...]


# Help desk


class TicketWritten(Message, frozen=True, kw_only=True):
    """The ticket of a final failure is durable in the outbox, and pending."""

    session_id: str
    posting_id: str


class SendingRecorded(Message, frozen=True, kw_only=True):
    """It is durable that a posting is about to be sent: now the sink may have it."""

    session_id: str
    posting_id: str
    doubtful: bool
    """An earlier try may have arrived."""


class TicketSent(Message, frozen=True, kw_only=True):
    """The sink has taken a posting."""

    session_id: str
    posting_id: str
    reference: str
    """What a person finds the ticket by: a key, a path, the id of a message."""


class TicketNotSent(Message, frozen=True, kw_only=True):
    """The sink could not deliver a posting."""

    session_id: str
    posting_id: str
    reason: str
    doubtful: bool
    """It may have arrived all the same."""


class SendingSettled(Message, frozen=True, kw_only=True):
    """What became of the posting is durable."""


class PostingDue(Message, frozen=True, kw_only=True):
    """A posting has waited long enough to be tried again."""


class AnswerHelp(Message, frozen=True, kw_only=True):
    """Apply a person's answer to a task that needs help; answered by `AnswerTaken`.

    The answer is durable once the history has its "task_answered".
    """

    session_id: str
    task_id: str
    answer: Answer


class AnswerRecorded(Message, frozen=True, kw_only=True):
    """An answer that the desk has passed on is durable."""

    session_id: str
    task_id: str


HelpDeskMessage = (
    TicketWritten
    | SendingRecorded
    | TicketSent
    | TicketNotSent
    | SendingSettled
    | PostingDue
    | AnswerHelp
    | AnswerRecorded
    | Flushed
)


class AnswerTaken(msgspec.Struct, frozen=True, kw_only=True):
    """An answer is valid and on its way to the journal."""

    session_id: str
    task_id: str
