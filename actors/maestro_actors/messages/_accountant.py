"""Messages of the token accountant."""

import msgspec

from maestro_actors.engine import ProcessIdentity, Usage
from maestro_actors.help.answer import Answer
from maestro_actors.ledger.amounts import LostPolicy
from maestro_actors.ledger.budget import Budget, Caller
from maestro_actors.limits import CallLimits
from maestro_actors.messages._message import Message, Request
from maestro_actors.receipt import Receipt
from maestro_storage.records import (
    CallState,
    TaskRecord,
)
from maestro_storage.transition import Transition


class CallCorrected(msgspec.Struct, frozen=True, kw_only=True):
    """A correction is valid and on its way to the journal."""

    call_id: bytes
    tokens: int
    """Of the call, as it counts now."""


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


class OpenCall(Message, frozen=True, kw_only=True):
    """Reserve tokens for a call and make its opening durable.

    It goes through the circuit breaker, which may refuse it. Answered to `reply_to` by `CallOpened`
    (a delivery of the transition), `CallRefused`, `CallParked` or `CallDenied`.
    """

    call_id: bytes
    caller: Caller
    """Whose call it is: all that budgets and limits look at."""
    at_ms: int
    reply_to: str
    round: int
    attempt: int
    need_tokens: int
    """Most tokens the call is expected to use; at least 1."""
    limit_tokens: int
    """Budget of the persona in this session."""
    draft: Transition
    """The records of task and attempt; the accountant adds call and budget."""
    floor_tokens: int = 0
    """Fewest tokens the call can do with, so that it may be cut down; 0: all it needs."""
    budgets: tuple[Budget, ...] = ()
    """Of the team; those that do not count this call are passed over."""
    priority: int = 0
    """Of the session."""


class CloseCall(Message, frozen=True, kw_only=True):
    """Book what a call used and make its end durable, with everything in `draft`.

    It goes through the circuit breaker, which counts its result.
    """

    call_id: bytes
    session_id: str
    at_ms: int
    answered: bool | None
    """True: the engine answered. False: it failed as an engine. None: nothing was learnt."""
    persona_id: str
    state: CallState
    usage: Usage
    """Ignored for a "lost" call: `lost_policy` says what is booked instead."""
    draft: Transition
    outcome: str = ""
    """ "ok", or the class of the failure."""
    lost_policy: LostPolicy = "reservation"
    coordinator: str = ""
    """Who is told, as soon as the draft is handed in, that the slot is free; empty: nobody."""


class CorrectCall(Message, frozen=True, kw_only=True):
    """Book what a closed call has really used, over what it was closed with.

    Answered by `CallCorrected` before it is durable. The same correction of the same call again
    changes nothing.
    """

    session_id: str
    call_id: bytes
    correction_id: str
    """Names it within the call; 1 to 100 characters."""
    usage: Usage
    """All of it, not the difference."""
    reason: str
    """For the history; at most 500 characters."""
    at_ms: int


class CorrectionRecorded(Message, frozen=True, kw_only=True):
    """The corrections of a call are durable, up to and with this one."""

    call_id: bytes
    correction_id: str


class ReturnRoom(Message, frozen=True, kw_only=True):
    """A call that was woken for room cannot be made now, or waits no more: the next may have it."""

    address: str
    """Who was woken."""


class BudgetLapsed(Message, frozen=True, kw_only=True):
    """Whoever was woken for a budget has had the time to ask; the room may go to others."""


class GovernCalls(Message, frozen=True, kw_only=True):
    """Follow other limits and budgets of the whole runtime. Answered by `CallsGoverned`."""

    limits: CallLimits
    budgets: tuple[Budget, ...]


class CallsGoverned(msgspec.Struct, frozen=True, kw_only=True):
    """Limits and budgets are in force."""


class HandIn(Message, frozen=True, kw_only=True):
    """Hand in what was entered of calls; the accountant tells itself, behind all that waits."""


class ThrottleDue(Message, frozen=True, kw_only=True):
    """A limit may let somebody through by now, or room has been kept for long enough."""


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


class ToppedUp(msgspec.Struct, frozen=True, kw_only=True):
    """What a top-up has done."""

    budget_id: str
    metric: str
    subject: str
    session_id: str
    limit: int
    """With what was added."""
    left: int
    retried: tuple[tuple[str, str], ...]
    """Session and contract of each task that the budget had stopped, and that is tried again: at
    once if its session runs, else when it is resumed."""


class TopUp(Message, frozen=True, kw_only=True):
    """Raise the limit of a budget, with all that follows from it, in one transition.

    Answered by `ToppedUp` before it is durable.
    """

    budget: Budget
    caller: Caller
    """Somebody the counter counts."""
    metric: str
    amount: int
    """In units of the metric; at least 1."""
    at_ms: int
    retried: tuple[tuple[str, str], ...]
    draft: Transition
    """The entry in the history, and the tasks that are tried again; the counter is added."""
    receipt: Receipt | None = None


class GetUsage(Request[SessionUsage], frozen=True):
    """Ask what the personas of a session have spent; answered by `SessionUsage`."""

    session_id: str


class AppendDraft(Message, frozen=True, kw_only=True):
    """Pass a draft through breaker and accountant into the journal.

    It comes after everything its sender sent before: all three keep the order.
    """

    draft: Transition


AccountantMessage = (
    OpenCall
    | CloseCall
    | RecordProcess
    | RaiseBudget
    | ForgetSession
    | TopUp
    | CorrectCall
    | CorrectionRecorded
    | ReturnRoom
    | BudgetLapsed
    | GovernCalls
    | HandIn
    | ThrottleDue
    | GetUsage
    | AppendDraft
)
