"""The circuit breaker: while an engine is down no call leaves; one probe finds out when it is up.

One for each engine, first in the path of every call: it lets an opening through to the accountant
or refuses it, and counts a closing before it passes it on. Its record travels in the draft of the
call that moved it, so breaker, attempt and ledger become durable together.
"""

from typing import ClassVar, Final, assert_never

import msgspec

from maestro_actors.accounting.accountant_proxy import AccountantProxy
from maestro_actors.breaker import Breaker
from maestro_actors.identity import breaker_address
from maestro_actors.message_actor import MessageActor
from maestro_actors.messages import (
    AppendDraft,
    BreakerChanged,
    BreakerClosed,
    BreakerMessage,
    BreakerStatus,
    CallRefused,
    CloseCall,
    GetBreaker,
    GovernBreaker,
    OpenCall,
    ResetBreaker,
    ReturnProbe,
    TripBreaker,
)
from maestro_actors.ports import Ports
from maestro_actors.proxy import Channel, Proxy, asks, encoded
from maestro_actors.team import BreakerPolicy
from maestro_storage.records import BreakerRecord
from maestro_storage.transition import Transition

WAITERS_MIN: Final = 64
"""Fewer refused calls may be gone, and still be in mind until the breaker closes."""

_CLOSED: Final = BreakerClosed()


class CircuitBreaker(MessageActor):
    """Guards one engine, or one endpoint of it, with a `Breaker`."""

    INBOX: ClassVar = msgspec.msgpack.Decoder(BreakerMessage)

    def __init__(self, ports: Ports, name: str, policy: BreakerPolicy) -> None:
        super().__init__()
        self._ports = ports
        self._name = name
        self._breaker = Breaker(name, policy)
        self._accountant = AccountantProxy(ports.channel)
        self._waiters: dict[str, None] = {}
        """Addresses of refused calls, in the order they asked."""
        self._waiters_max = WAITERS_MIN
        """After so many, those that are gone are forgotten."""
        self._refused_recorded = 0
        """Refusals that are on record, or on their way there."""

    def on_start(self) -> None:
        """Take up the recorded state; on record, too, it is open no longer than it can be."""
        record = self._ports.memory.breaker(self._name)
        if record is not None:
            self._breaker.restore(record)
            self._refused_recorded = record.refused_total
            if self._breaker.bring_back(self._ports.now_ms()):
                self._record_alone()

    def handle(  # noqa: C901 - one case a message
        self, message: BreakerMessage
    ) -> BreakerStatus | None:
        """Dispatch one message; only `GetBreaker` is answered."""
        match message:
            case OpenCall():
                self._acquire(message)
            case CloseCall():
                self._report(message)
            case ReturnProbe():
                if self._breaker.return_probe(message.call_id):
                    self._wake()
            case AppendDraft():
                self._append(message.draft)
            case TripBreaker():
                self._breaker.trip(self._ports.now_ms(), message.by)
                self._record_alone()
            case ResetBreaker():
                self._breaker.reset(message.by)
                self._record_alone()
                self._wake()
            case GovernBreaker():
                self._breaker.govern(message.policy)
            case BreakerChanged():
                self._ports.breaker_changed(message)
            case GetBreaker():
                return self._status()
            case _:
                assert_never(message)
        return None

    def _acquire(self, order: OpenCall) -> None:
        if not self._breaker.admits(order.call_id, order.at_ms):
            self._waiters[order.reply_to] = None
            if len(self._waiters) > self._waiters_max:
                self._forget_the_gone()
            retry_at_ms = self._breaker.ask_again_ms(order.at_ms)
            refused = CallRefused(call_id=order.call_id, retry_at_ms=retry_at_ms)
            self._ports.system.deliver(order.reply_to, refused)
            return
        # It no longer waits for this breaker: a later change is none of its business.
        self._waiters.pop(order.reply_to, None)
        if self._breaker.state != "closed":
            self._record(order.draft, order.at_ms)
            order.draft.event(self._breaker.event(order.caller.session_id, order.at_ms))
        self._accountant.open_call(order)

    def _report(self, order: CloseCall) -> None:
        breaker = self._breaker
        before = (breaker.state, breaker.failures, breaker.failed_total)
        breaker.report(order.call_id, order.at_ms, verdict=order.answered)
        if before[0] != breaker.state:
            self._record(order.draft, order.at_ms)
            order.draft.event(breaker.event(order.session_id, order.at_ms))
            if breaker.state == "closed":
                self._wake()
        elif before != (breaker.state, breaker.failures, breaker.failed_total):
            order.draft.put(self._recorded())
        self._accountant.close_call(order)

    def _append(self, draft: Transition) -> None:
        """Pass a draft on; if calls were refused since the record was written, with another one."""
        breaker = self._breaker
        # Whether a probe really leaves is the accountant's to say; its end will have the record.
        if breaker.refused_total != self._refused_recorded and breaker.state != "half_open":
            draft.put(self._recorded())
        self._accountant.append(draft)

    def _record_alone(self) -> None:
        draft = Transition()
        self._record(draft, self._ports.now_ms())
        # Behind the drafts that are on their way: an older state must not overwrite this one.
        self._accountant.append(draft)

    def _forget_the_gone(self) -> None:
        """Keep those that still wait: an engine may be down for days, and sessions come and go."""
        is_there = self._ports.system.ref
        self._waiters = {name: None for name in self._waiters if is_there(name) is not None}
        self._waiters_max = max(WAITERS_MIN, 2 * len(self._waiters))

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, {}
        for address in waiters:
            self._ports.system.deliver(address, _CLOSED)

    def _record(self, draft: Transition, at_ms: int) -> None:
        """Make a change of the state durable with a draft, and have listeners told after it."""
        breaker = self._breaker
        draft.put(self._recorded())
        changed = BreakerChanged(
            name=self._name,
            state=breaker.state,
            failures=breaker.failures,
            retry_at_ms=None if breaker.state == "closed" else breaker.retry_at_ms,
            at_ms=at_ms,
            by=breaker.changed_by,
        )
        draft.then(breaker_address(self._name), encoded(changed))

    def _recorded(self) -> BreakerRecord:
        """Return what goes into a draft that is passed on now."""
        # The accountant drops the draft of a probe that has to wait for its budget.
        if self._breaker.state != "half_open":
            self._refused_recorded = self._breaker.refused_total
        return self._breaker.record(self._ports.epoch)

    def _status(self) -> BreakerStatus:
        breaker = self._breaker
        return BreakerStatus(
            engine=self._name,
            state=breaker.state,
            failures=breaker.failures,
            retry_at_ms=None if breaker.state == "closed" else breaker.retry_at_ms,
            opened_total=breaker.opened_total,
            failed_total=breaker.failed_total,
            refused_total=breaker.refused_total,
        )


class BreakerProxy(Proxy):
    """Typed access to one circuit breaker."""

    # Every persona has one.
    __slots__ = ()

    def __init__(self, channel: Channel, name: str) -> None:
        super().__init__(channel, breaker_address(name))

    def acquire(self, order: OpenCall) -> None:
        """Ask for a call; the answer goes to `order.reply_to`."""
        self._tell(order)

    def report(self, close: CloseCall) -> None:
        """Report a call's end, and have it booked."""
        self._tell(close)

    def return_probe(self, call_id: bytes) -> None:
        """Say that a call that was let through will not happen."""
        self._tell(ReturnProbe(call_id=call_id))

    def append(self, draft: Transition) -> None:
        """Make a draft durable after all that was sent to this proxy before."""
        self._tell(AppendDraft(draft=draft))

    def trip(self, by: str = "") -> None:
        """Open it by hand, for one reset delay; durable with the next commit."""
        self._tell(TripBreaker(by=by))

    def reset(self, by: str = "") -> None:
        """Close it by hand, and let those who wait ask again."""
        self._tell(ResetBreaker(by=by))

    def govern(self, policy: BreakerPolicy) -> None:
        """Have it follow another policy; a delay that has begun stays as it is."""
        self._tell(GovernBreaker(policy=policy))

    status = asks(GetBreaker)
