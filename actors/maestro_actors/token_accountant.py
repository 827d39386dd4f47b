"""The token accountant: no call leaves unreserved, none is booked twice.

Every opening and closing of a call passes through this one actor, last before the journal. It adds
the call's row and the persona's counters to the draft it is handed, so that they become durable
together with the attempt, and it keeps the order: a counter in the journal is never older than the
one before it.
"""

from dataclasses import dataclass, field
from typing import ClassVar, Final, assert_never

import msgspec
import pykka

from maestro_actors.errors import InternalError
from maestro_actors.identity import ACCOUNTANT_ADDRESS
from maestro_actors.message_actor import MessageActor
from maestro_actors.messages import (
    AccountantInbox,
    AppendDraft,
    BudgetFreed,
    CallDenied,
    CallParked,
    CloseCall,
    ForgetSession,
    GetUsage,
    OpenCall,
    PersonaUsage,
    RecordProcess,
    SessionUsage,
)
from maestro_actors.ports import Ports
from maestro_actors.proxy import Channel, Proxy, encoded
from maestro_storage.records import BudgetRecord, CallRecord
from maestro_storage.transition import Transition

_FREED: Final = encoded(BudgetFreed())


@dataclass(slots=True)
class _Budget:
    """The counters of one persona in one session, mirrored from its record."""

    limit: int
    spent: int = 0
    held: int = 0
    parked: list[str] = field(default_factory=list)
    """Addresses whose calls wait for tokens that are only held, not spent."""


class TokenAccountant(MessageActor):
    """Reserves before a call, books after it; one for the whole runtime.

    If a handler fails the counters in memory may be ahead of the records, so nothing restarts this
    actor in place: its failure stops the process, and the next start reads the records.
    """

    INBOX: ClassVar = msgspec.msgpack.Decoder(AccountantInbox)

    def __init__(self, ports: Ports) -> None:
        super().__init__()
        self._ports = ports
        self._budgets: dict[tuple[str, str], _Budget] = {}
        self._open: dict[bytes, CallRecord] = {}

    def handle(self, message: AccountantInbox) -> SessionUsage | None:
        """Dispatch one message; only `GetUsage` is answered."""
        match message:
            case OpenCall():
                self._open_call(message)
            case CloseCall():
                self._close_call(message)
            case RecordProcess():
                self._record_process(message)
            case AppendDraft():
                self._ports.journal.append(message.draft)
            case ForgetSession():
                for key in [key for key in self._budgets if key[0] == message.session_id]:
                    del self._budgets[key]
            case GetUsage():
                return self._usage(message.session_id)
            case _:
                assert_never(message)
        return None

    def _open_call(self, order: OpenCall) -> None:
        budget = self._budget(order.session_id, order.persona_id, order.limit_tokens)
        if budget.spent + budget.held + order.need_tokens > budget.limit:
            self._refuse(order, budget)
            return
        budget.held += order.need_tokens
        call = CallRecord(
            session_id=order.session_id,
            call_id=order.call_id,
            task_id=order.task_id,
            persona_id=order.persona_id,
            engine=order.engine,
            round=order.round,
            attempt=order.attempt,
            state="open",
            reserved_tokens=order.need_tokens,
            opened_ms=order.at_ms,
            epoch=self._ports.epoch,
        )
        self._open[order.call_id] = call
        self._commit(order.draft, call, budget)

    def _refuse(self, order: OpenCall, budget: _Budget) -> None:
        """Park a call that only reservations stand in the way of; deny any other."""
        if budget.spent + order.need_tokens <= budget.limit:
            budget.parked.append(order.reply_to)
            answer = encoded(CallParked(call_id=order.call_id))
        else:
            answer = encoded(
                CallDenied(
                    call_id=order.call_id,
                    limit_tokens=budget.limit,
                    spent_tokens=budget.spent,
                    held_tokens=budget.held,
                    need_tokens=order.need_tokens,
                )
            )
        self._ports.system.deliver(order.reply_to, answer)

    def _close_call(self, order: CloseCall) -> None:
        call = self._call(order.session_id, order.call_id)
        budget = self._budget(order.session_id, order.persona_id, 0)
        lost = order.state == "lost"
        closed = msgspec.structs.replace(
            call,
            state=order.state,
            # Nobody knows what a lost call cost: its whole reservation is booked, visibly.
            input_tokens=call.reserved_tokens if lost else order.usage.input_tokens,
            output_tokens=0 if lost else order.usage.output_tokens,
            basis="reserved" if lost else order.usage.basis,
            closed_ms=order.at_ms,
            epoch=self._ports.epoch,
        )
        budget.held -= call.reserved_tokens
        budget.spent += closed.input_tokens + closed.output_tokens
        del self._open[order.call_id]
        self._commit(order.draft, closed, budget)
        # Whoever still finds no room parks again: the close that frees it is yet to come.
        parked, budget.parked = budget.parked, []
        for address in parked:
            self._ports.system.deliver(address, _FREED)

    def _record_process(self, order: RecordProcess) -> None:
        call = msgspec.structs.replace(
            self._call(order.session_id, order.call_id),
            pid=order.process.pid,
            pid_start_ticks=order.process.start_ticks,
            boot_id=order.process.boot_id,
        )
        self._open[order.call_id] = call
        order.draft.put(call)
        self._ports.journal.append(order.draft)

    def _commit(self, draft: Transition, call: CallRecord, budget: _Budget) -> None:
        draft.put(call)
        draft.put(
            BudgetRecord(
                session_id=call.session_id,
                persona_id=call.persona_id,
                limit_tokens=budget.limit,
                spent_tokens=budget.spent,
                held_tokens=budget.held,
                epoch=self._ports.epoch,
            )
        )
        self._ports.journal.append(draft)

    def _call(self, session_id: str, call_id: bytes) -> CallRecord:
        """Return an open call: from memory, or from the records if an older start opened it."""
        call = self._open.get(call_id)
        if call is None:
            call = self._ports.memory.call(session_id, call_id)
            if call is None or call.state != "open":
                state = "unknown" if call is None else call.state
                raise InternalError(f"call {call_id.hex()} is {state}, only an open one is closed")
            self._open[call_id] = call
        return call

    def _budget(self, session_id: str, persona_id: str, limit: int) -> _Budget:
        key = (session_id, persona_id)
        budget = self._budgets.get(key)
        if budget is None:
            record = self._ports.memory.budget(session_id, persona_id)
            budget = (
                _Budget(limit)
                if record is None
                else _Budget(record.limit_tokens, record.spent_tokens, record.held_tokens)
            )
            self._budgets[key] = budget
        return budget

    def _usage(self, session_id: str) -> SessionUsage:
        rows = sorted((key[1], row) for key, row in self._budgets.items() if key[0] == session_id)
        return SessionUsage(
            session_id=session_id,
            personas=tuple(
                PersonaUsage(
                    persona_id=persona_id,
                    limit_tokens=row.limit,
                    spent_tokens=row.spent,
                    held_tokens=row.held,
                )
                for persona_id, row in rows
            ),
        )


class AccountantProxy(Proxy):
    """Typed access to the token accountant."""

    def __init__(self, channel: Channel) -> None:
        super().__init__(channel, ACCOUNTANT_ADDRESS)

    def open_call(self, order: OpenCall) -> None:
        """Reserve; the answer goes to `order.reply_to`."""
        self._tell(order)

    def close_call(self, order: CloseCall) -> None:
        """Book the usage and commit the draft."""
        self._tell(order)

    def record_process(self, order: RecordProcess) -> None:
        """Write the engine's process into the row of its call."""
        self._tell(order)

    def append(self, draft: Transition) -> None:
        """Make a draft durable after all that was sent to this proxy before."""
        self._tell(AppendDraft(draft=draft))

    def forget_session(self, session_id: str) -> None:
        """Drop a finished session from memory."""
        self._tell(ForgetSession(session_id=session_id))

    def usage(self, session_id: str) -> pykka.Future[SessionUsage]:
        """Ask for the counters of the personas that have made a call since this start."""
        return self._ask(GetUsage(session_id=session_id), SessionUsage)
