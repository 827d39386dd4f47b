"""The circuit breaker: while an engine is down no call leaves; one probe finds out when it is up.

One for each engine, first in the path of every call: it lets an opening through to the accountant
or refuses it, and counts a closing before it passes it on. Its record travels in the draft of the
call that moved it, so breaker, attempt and ledger become durable together.
"""

from dataclasses import dataclass
from typing import ClassVar, Final, assert_never

import msgspec
import pykka

from maestro_actors.identity import breaker_address
from maestro_actors.message_actor import MessageActor
from maestro_actors.messages import (
    AcquireCall,
    BreakerClosed,
    BreakerMessage,
    BreakerStatus,
    CallRefused,
    CloseCall,
    Flush,
    GetBreaker,
    OpenCall,
    ReportCall,
    ReturnProbe,
)
from maestro_actors.ports import Ports
from maestro_actors.proxy import Channel, LocalChannel, Proxy, encoded
from maestro_actors.token_accountant import AccountantProxy
from maestro_storage.records import BreakerRecord, BreakerState
from maestro_storage.transition import Event

_CLOSED: Final = encoded(BreakerClosed())


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """When a breaker opens, and for how long."""

    failures_max: int = 5
    """Consecutive failures of the engine that open it."""
    reset_seconds: float = 30.0
    """Pause before the first probe; doubles with each probe that fails."""
    reset_max_seconds: float = 300.0
    """Upper bound of the pause."""


class CircuitBreaker(MessageActor):
    """Guards one engine: closed, open, or half open with exactly one probe in flight."""

    INBOX: ClassVar = msgspec.msgpack.Decoder(BreakerMessage)

    def __init__(self, ports: Ports, engine: str, policy: BreakerPolicy) -> None:
        super().__init__()
        self._ports = ports
        self._engine = engine
        self._policy = policy
        self._accountant = AccountantProxy(LocalChannel(ports.system))
        self._state: BreakerState = "closed"
        self._failures = 0
        self._opened_count = 0
        self._retry_at_ms = 0
        self._probe: bytes | None = None
        self._waiters: dict[str, None] = {}

    def on_start(self) -> None:
        """Take up the recorded state. A probe died with its process: the next call is the probe."""
        record = self._ports.memory.breaker(self._engine)
        if record is not None:
            self._state = "closed" if record.state == "closed" else "open"
            self._failures = record.failures
            self._opened_count = record.opened_count
            self._retry_at_ms = record.retry_at_ms or 0

    def handle(self, message: BreakerMessage) -> BreakerStatus | None:
        """Dispatch one message; only `GetBreaker` is answered."""
        match message:
            case AcquireCall():
                self._acquire(message.open)
            case ReportCall():
                self._report(message.verdict, message.close)
            case ReturnProbe():
                self._return_probe(message.call_id)
            case Flush():
                self._accountant.flush(message.reply_to)
            case GetBreaker():
                return self._status()
            case _:
                assert_never(message)
        return None

    def _acquire(self, order: OpenCall) -> None:
        if self._state != "closed":
            due = self._state == "open" and order.at_ms >= self._retry_at_ms
            # A persona that failed before its probe was opened asks for the same call again.
            if not due and order.call_id != self._probe:
                self._refuse(order)
                return
            self._state = "half_open"
            self._probe = order.call_id
            order.draft.put(self._record())
            order.draft.event(self._event("breaker_probed", order.session_id, order.at_ms))
        self._accountant.open_call(order)

    def _refuse(self, order: OpenCall) -> None:
        self._waiters[order.reply_to] = None
        # While a probe is out nobody knows when it ends: ask again after a plain pause, unless
        # its success wakes the waiters before.
        retry_at_ms = (
            self._retry_at_ms
            if self._state == "open"
            else order.at_ms + round(self._policy.reset_seconds * 1000)
        )
        self._ports.system.deliver(
            order.reply_to, encoded(CallRefused(call_id=order.call_id, retry_at_ms=retry_at_ms))
        )

    def _report(self, verdict: bool | None, close: CloseCall) -> None:
        before = (self._state, self._failures)
        if self._state == "half_open":
            if close.call_id == self._probe:
                self._probe = None
                self._end_probe(verdict, close.at_ms)
        elif self._state == "closed" and verdict is not None:
            self._failures = 0 if verdict else self._failures + 1
            if self._failures >= self._policy.failures_max:
                self._open(close.at_ms)
        # An open breaker learns nothing from calls that left before it opened.
        if before != (self._state, self._failures):
            close.draft.put(self._record())
            if before[0] != self._state:
                kind = "breaker_closed" if self._state == "closed" else "breaker_opened"
                close.draft.event(self._event(kind, close.session_id, close.at_ms))
        self._accountant.close_call(close)

    def _end_probe(self, verdict: bool | None, at_ms: int) -> None:
        if verdict is None:
            self._state = "open"
        elif verdict:
            self._state = "closed"
            self._failures = 0
            self._opened_count = 0
            self._wake()
        else:
            self._failures += 1
            self._open(at_ms)

    def _open(self, at_ms: int) -> None:
        pause = self._policy.reset_seconds * 2.0 ** min(self._opened_count, 32)
        self._state = "open"
        self._opened_count += 1
        self._retry_at_ms = at_ms + round(min(pause, self._policy.reset_max_seconds) * 1000)

    def _return_probe(self, call_id: bytes) -> None:
        if self._probe == call_id:
            self._probe = None
            self._state = "open"
            self._wake()

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, {}
        for address in waiters:
            self._ports.system.deliver(address, _CLOSED)

    def _record(self) -> BreakerRecord:
        return BreakerRecord(
            engine=self._engine,
            state=self._state,
            failures=self._failures,
            opened_count=self._opened_count,
            retry_at_ms=None if self._state == "closed" else self._retry_at_ms,
            epoch=self._ports.epoch,
        )

    def _event(self, kind: str, session_id: str, at_ms: int) -> Event:
        return Event(
            session_id,
            kind,
            at_ms,
            data={
                "engine": self._engine,
                "failures": self._failures,
                "retry_at_ms": None if self._state == "closed" else self._retry_at_ms,
            },
        )

    def _status(self) -> BreakerStatus:
        return BreakerStatus(
            engine=self._engine,
            state=self._state,
            failures=self._failures,
            retry_at_ms=None if self._state == "closed" else self._retry_at_ms,
        )


class BreakerProxy(Proxy):
    """Typed access to the circuit breaker of one engine."""

    def __init__(self, channel: Channel, engine: str) -> None:
        super().__init__(channel, breaker_address(engine))

    def acquire(self, order: OpenCall) -> None:
        """Ask for a call; the answer goes to `order.reply_to`."""
        self._tell(AcquireCall(open=order))

    def report(self, verdict: bool | None, close: CloseCall) -> None:
        """Report a call's end: True answered, False failed as an engine, None nothing learnt."""
        self._tell(ReportCall(verdict=verdict, close=close))

    def return_probe(self, call_id: bytes) -> None:
        """Say that a call that was let through will not happen."""
        self._tell(ReturnProbe(call_id=call_id))

    def flush(self, reply_to: str) -> None:
        """Have `Flushed` sent to `reply_to` once all that came before is durable."""
        self._tell(Flush(reply_to=reply_to))

    def status(self) -> pykka.Future[BreakerStatus]:
        """Ask for the state of the breaker."""
        return self._ask(GetBreaker(), BreakerStatus)
