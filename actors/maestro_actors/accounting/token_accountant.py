"""The token accountant: no call leaves unreserved, none is booked twice.

Every opening and closing of a call passes through this one actor, last before the journal. It asks
the ledger, adds the call's row and the counters to the draft it is handed, so that they become
durable together with the attempt, and it keeps the order: a counter in the journal is never older
than the one before it.
"""

from collections.abc import Iterable
from typing import ClassVar, Final, TypeVar, assert_never

import msgspec

from maestro_actors.accounting.adjustment import correct, topped_up
from maestro_actors.accounting.attendant import Attendant
from maestro_actors.accounting.daybook import Daybook
from maestro_actors.accounting.opening import cut_down, row_of_opening
from maestro_actors.accounting.parking import ParkingLot, Place
from maestro_actors.accounting.turnstile import Turnstile
from maestro_actors.errors import InternalError
from maestro_actors.help.alert import write_alert
from maestro_actors.identity import ACCOUNTANT_ADDRESS
from maestro_actors.ledger.amounts import Amounts, reserved, used
from maestro_actors.ledger.budget import Budget, Caller
from maestro_actors.ledger.counter import Counter
from maestro_actors.ledger.decision import Clamp, Deny, Grant, Wait
from maestro_actors.ledger.history import History
from maestro_actors.ledger.ledger import Change, Ledger
from maestro_actors.ledger.prices import RateCard, cost_at_most
from maestro_actors.ledger.rows import (
    figures_of,
    holds_of,
    loader,
    lost,
    outdated,
    persona_budget,
    persona_of,
    runtime_budget,
    settled,
    usage_of,
)
from maestro_actors.limits import CallLimits
from maestro_actors.message_actor import MessageActor
from maestro_actors.messages import (
    AccountantMessage,
    AppendDraft,
    BudgetLapsed,
    CallCorrected,
    CallDenied,
    CallOpened,
    CallsGoverned,
    CloseCall,
    CorrectCall,
    CorrectionRecorded,
    ForgetSession,
    GetUsage,
    GovernCalls,
    HandIn,
    OpenCall,
    PersonaUsage,
    RaiseBudget,
    RecordProcess,
    ReturnRoom,
    SessionUsage,
    SlotFreed,
    ThrottleDue,
    ToppedUp,
    TopUp,
)
from maestro_actors.ports import Ports
from maestro_actors.proxy import encoded
from maestro_actors.receipt import put_receipt
from maestro_storage.errors import NotFound
from maestro_storage.records import CallRecord
from maestro_storage.transition import Transition

AnswerT = TypeVar("AnswerT")

_HAND_IN: Final = HandIn()


class TokenAccountant(MessageActor):
    """Reserves before a call, books after it; one for the whole runtime.

    If a handler fails the counters in memory may be ahead of the records, so nothing restarts this
    actor in place: its failure stops the process, and the next start reads the records.
    """

    INBOX: ClassVar = msgspec.msgpack.Decoder(AccountantMessage)

    def __init__(self, ports: Ports) -> None:
        super().__init__()
        self._ports = ports
        self._ledger = Ledger(loader(ports.memory.counter), ports.memory.counted_until_ms())
        self._history = History()
        self._daybook = Daybook(ports)
        self._open: dict[bytes, CallRecord] = {}
        self._parked = ParkingLot(lambda address: ports.system.ref(address) is not None)
        self._attendant = Attendant(ports, self._parked, self._ledger.standing)
        self._turnstile: Turnstile | None = None
        """There is one as soon as there was a limit."""
        self._budgets: tuple[Budget, ...] = ()
        """Of the whole runtime."""
        self._corrected: dict[bytes, CallRecord] = {}
        """Calls with a correction that is not durable yet."""

    def handle(  # noqa: C901, PLR0912 - one case a message
        self, message: AccountantMessage
    ) -> SessionUsage | CallCorrected | ToppedUp | CallsGoverned | None:
        """Dispatch one message; requests, `CorrectCall` and `GovernCalls` are answered."""
        match message:
            case OpenCall():
                self._open_call(message)
            case CloseCall():
                self._close_call(message)
            case RecordProcess():
                self._record_process(message)
            case AppendDraft():
                self._enter(message.draft)
            case HandIn():
                self._daybook.hand_in()
            case RaiseBudget():
                self._raise_budget(message)
            case ForgetSession():
                self._ledger.forget_session(message.session_id)
            case TopUp():
                return self._handed_in(self._top_up(message))
            case CorrectCall():
                return self._handed_in(self._correct(message))
            case CorrectionRecorded():
                self._forget_correction(message)
            case ReturnRoom():
                self._return_room(message.address)
            case BudgetLapsed():
                self._attendant.lapse()
            case GovernCalls():
                return self._handed_in(self._govern(message))
            case ThrottleDue():
                if self._turnstile is not None:
                    self._turnstile.due()
            case GetUsage():
                return self._handed_in(self._usage(message.session_id))
            case _:
                assert_never(message)
        return None

    def on_stop(self) -> None:
        """Hand in what would still have waited for others."""
        self._daybook.hand_in()

    def _enter(self, draft: Transition, counters: Iterable[Counter] = (), at_ms: int = 0) -> None:
        """Have a draft handed in, with the rows of the counters it has moved.

        At once, if no message waits here; else with the drafts of those that do.
        """
        daybook = self._daybook
        daybook.enter(draft, counters, at_ms)
        if daybook.is_full or self.actor_inbox.empty():
            daybook.hand_in()
        elif len(daybook) == 1:
            # It comes behind all that waits.
            self._ports.system.deliver(self.actor_urn, _HAND_IN)

    def _handed_in(self, answer: AnswerT) -> AnswerT:
        """Return an answer; who has it may count on that everything before it is handed in."""
        self._daybook.hand_in()
        return answer

    def _open_call(self, order: OpenCall) -> None:
        woken = self._parked.leave(order.reply_to)
        turnstile = self._turnstile
        if turnstile is None:
            self._answer(order, woken)
        elif turnstile.admits(order):
            if tokens := self._answer(order, woken):
                turnstile.begin(order, tokens)
            turnstile.wake()
        if woken is not None:
            # It may have been refused elsewhere, or need less: then the room is for the next.
            self._attendant.wake([woken.key])

    def _answer(self, order: OpenCall, woken: Place | None) -> int:
        """Open a call, park it or deny it; return what is reserved for it, 0 if it is not open."""
        caller = order.caller
        card = self._ports.prices.card(caller.model or caller.engine, order.at_ms)
        need = floor = _amounts(order.need_tokens, card)
        if 0 < order.floor_tokens < order.need_tokens:
            floor = _amounts(order.floor_tokens, card)
        answer = self._ledger.reserve(
            order.call_id,
            caller,
            (
                persona_budget(caller.persona_id, order.limit_tokens),
                *order.budgets,
                *self._budgets,
            ),
            need=need,
            floor=floor,
            at_ms=order.at_ms,
        )
        if isinstance(answer, Wait | Deny):
            # Who may not begin writes that himself, behind what it was decided by.
            self._daybook.hand_in()
        match answer:
            case Wait():
                self._attendant.park(
                    order, Place(answer.key, answer.amount, denied=False), None, woken
                )
            case Deny():
                self._refuse(order, answer, woken)
            case Grant() | Clamp():
                self._grant(order, answer, card)
                return answer.tokens
        return 0

    def _grant(self, order: OpenCall, granted: Grant | Clamp, card: RateCard | None) -> None:
        call = self._open[order.call_id] = row_of_opening(order, granted, card, self._ports.epoch)
        draft = order.draft
        draft.put(call)
        if isinstance(granted, Clamp):
            draft.event(cut_down(order, granted))
        opened = CallOpened(call_id=order.call_id, reserved_tokens=granted.tokens)
        draft.then(order.reply_to, encoded(opened))
        self._enter(draft, granted.counters, order.at_ms)

    def _refuse(self, order: OpenCall, denied: Deny, woken: Place | None) -> None:
        """Deny a call, or park it until its budget begins anew, if it ever does."""
        park = denied.budget.action == "park"
        if park and denied.resets_at_ms is not None:
            place = Place(denied.key, denied.least, denied=True)
            self._attendant.park(order, place, denied.resets_at_ms, woken)
            return
        message = CallDenied(
            call_id=order.call_id,
            limit=denied.limit,
            spent=denied.spent,
            held=denied.held,
            need=denied.need,
            budget_id="" if persona_of(denied.key) else denied.budget.id,
            resets_at_ms=denied.resets_at_ms,
            park=park,
            metric=denied.budget.metric,
        )
        self._ports.system.deliver(order.reply_to, message)

    def _close_call(self, order: CloseCall) -> None:
        call = self._call(order.session_id, order.call_id)
        if order.state == "released":
            closed = msgspec.structs.replace(call, state="released", cost_nano_usd=0)
            change = self._ledger.release(order.call_id)
        else:
            card = self._ports.prices.card(call.model or call.engine, call.opened_ms)
            if order.state == "lost":
                closed = lost(call, order.lost_policy, card)
                change = self._ledger.lose(order.call_id, order.lost_policy)
            else:
                closed = settled(call, order.usage, card)
                money = None if closed.cost_basis == "unpriced" else closed.cost_nano_usd
                change = self._ledger.settle(order.call_id, used(order.usage, money))
        closed = msgspec.structs.replace(
            closed, outcome=order.outcome, closed_ms=order.at_ms, epoch=self._ports.epoch
        )
        del self._open[order.call_id]
        order.draft.put(closed)
        order.draft.put(self._history.add(closed, self._ports.epoch))
        self._book(order.draft, change, closed, order.at_ms)
        if order.coordinator:
            # Not before: what begins in the slot must stand behind its end in the journal.
            freed = SlotFreed(task_id=closed.task_id)
            self._ports.system.deliver(order.coordinator, freed)
        if self._turnstile is not None:
            self._turnstile.end(closed)

    def _book(self, draft: Transition, change: Change, call: CallRecord, at_ms: int) -> None:
        """Complete a draft with what the ledger has changed for a call, and hand it on."""
        for alert in change.alerts:
            write_alert(draft, alert, call, at_ms, self._ports.epoch)
        self._enter(draft, change.counters, at_ms)
        self._attendant.wake(counter.key for counter in change.counters)

    def _correct(self, order: CorrectCall) -> CallCorrected:
        call = self._corrected.get(order.call_id)
        if call is None:
            call = self._ports.memory.call(order.session_id, order.call_id)
        if call is None:
            raise NotFound("call", f"{order.session_id}/{order.call_id.hex()}")
        card = self._ports.prices.card(call.model or call.engine, call.opened_ms)
        done = correct(self._ledger, call, order, card, self._ports.epoch)
        if done is not None:
            call = self._corrected[order.call_id] = done.call
            recorded = CorrectionRecorded(call_id=order.call_id, correction_id=order.correction_id)
            done.draft.then(ACCOUNTANT_ADDRESS, encoded(recorded))
            self._book(done.draft, done.change, call, order.at_ms)
        return CallCorrected(call_id=order.call_id, tokens=usage_of(figures_of(call)).total)

    def _forget_correction(self, recorded: CorrectionRecorded) -> None:
        call = self._corrected.get(recorded.call_id)
        if call is not None and call.corrections[-1].correction_id == recorded.correction_id:
            del self._corrected[recorded.call_id]

    def _top_up(self, order: TopUp) -> ToppedUp:
        change, done = topped_up(self._ledger, order)
        put_receipt(order.draft, order.receipt, self._ports.epoch, done)
        self._enter(order.draft, change.counters, order.at_ms)
        self._attendant.wake(counter.key for counter in change.counters)
        return done

    def _return_room(self, address: str) -> None:
        woken = self._parked.leave(address)
        if woken is not None:
            self._attendant.wake([woken.key])
        if self._turnstile is not None:
            self._turnstile.leave(address)

    def _govern(self, order: GovernCalls) -> CallsGoverned:
        if self._turnstile is None and order.limits != CallLimits():
            self._turnstile = Turnstile(self._ports)
        if self._turnstile is not None:
            self._turnstile.govern(order.limits, self._open.values())
        self._budgets = tuple(map(runtime_budget, order.budgets))
        changed = self._ledger.govern(self._budgets)
        self._enter(Transition(), changed, self._ports.now_ms())
        self._attendant.dismiss(outdated(self._budgets))
        self._attendant.wake(counter.key for counter in changed)
        return CallsGoverned()

    def _record_process(self, order: RecordProcess) -> None:
        call = msgspec.structs.replace(
            self._call(order.session_id, order.call_id),
            pid=order.process.pid,
            pid_start_ticks=order.process.start_ticks,
            boot_id=order.process.boot_id,
        )
        self._open[order.call_id] = call
        order.draft.put(call)
        self._enter(order.draft)

    def _raise_budget(self, order: RaiseBudget) -> None:
        task = order.task
        budget = persona_budget(task.persona_id, order.limit_tokens)
        caller = Caller(task.session_id, task.persona_id)
        at_ms = self._ports.now_ms()
        change = self._ledger.top_up(budget, caller, order.answer.add_tokens, at_ms)
        self._enter(order.draft, change.counters, at_ms)
        self._attendant.wake(counter.key for counter in change.counters)

    def _call(self, session_id: str, call_id: bytes) -> CallRecord:
        """Return an open call: from memory, or from the records if an older start opened it."""
        call = self._open.get(call_id)
        if call is None:
            call = self._ports.memory.call(session_id, call_id)
            if call is None or call.state != "open":
                state = "unknown" if call is None else call.state
                raise InternalError(f"call {call_id.hex()} is {state}, only an open one is closed")
            self._open[call_id] = call
            self._ledger.adopt(call_id, holds_of(call))
        return call

    def _usage(self, session_id: str) -> SessionUsage:
        rows = sorted(
            (persona_id, counter)
            for counter in self._ledger.counters(session_id)
            if (persona_id := persona_of(counter.key))
        )
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


def _amounts(tokens: int, card: RateCard | None) -> Amounts:
    """Return the most that a call of so many tokens may take."""
    return reserved(tokens, None if card is None else cost_at_most(tokens, card))
