"""What the actors need from outside, as the narrowest protocols that do.

Time, storage and engines enter here and nowhere else, so a test can replace each of them.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from maestro_actors.checks import CheckResult
from maestro_actors.engine import CallOrder, Estimate
from maestro_actors.healing import BUILT_IN, Strategy
from maestro_actors.kernel import ActorSystem
from maestro_actors.ledger.prices import PriceBook
from maestro_actors.ledger.rows import CounterRow
from maestro_actors.messages import BreakerChanged
from maestro_actors.proxy import LocalChannel
from maestro_storage.bookings import CounterKey
from maestro_storage.records import (
    AttemptRecord,
    BreakerRecord,
    CallRecord,
    CheckpointRecord,
    OutboxRecord,
    SessionRecord,
    TaskRecord,
)
from maestro_storage.transition import Transition


class Journal(Protocol):
    """Where transitions become durable, in the order they are appended."""

    def append(self, transition: Transition) -> None:
        """Queue a transition; its deliveries leave once it is durable."""


class Memory(Protocol):
    """What is durable, read by an actor that starts or restarts, or begins an attempt."""

    def session(self, session_id: str) -> SessionRecord:
        """Return the session; it exists."""

    def tasks(self, session_id: str) -> list[TaskRecord]:
        """Return all tasks of the session, by task id."""

    def task(self, session_id: str, task_id: str) -> TaskRecord:
        """Return one task; it exists."""

    def known_checks(self, record: TaskRecord) -> tuple[CheckResult, ...]:
        """Return the results of the task's last attempt that was checked."""

    def call(self, session_id: str, call_id: bytes) -> CallRecord | None:
        """Return one row of the ledger."""

    def calls_since(self, at_ms: int) -> list[CallRecord]:
        """Return the calls of all sessions that were opened at an instant or later."""

    def counter(self, key: CounterKey) -> CounterRow | None:
        """Return the row of a counter, or None before its first call."""

    def counted_until_ms(self) -> int:
        """Return when a counter that belongs to no session changed last, 0 if there is none."""

    def breaker(self, engine: str) -> BreakerRecord | None:
        """Return the breaker of an engine, or None if it never moved."""

    def checkpoints(self, session_id: str) -> list[CheckpointRecord]:
        """Return the checkpoints of the session, oldest first."""

    def attempts(self, session_id: str, task_id: str) -> list[AttemptRecord]:
        """Return all attempts of a task, oldest first."""

    def unsent(self) -> list[OutboxRecord]:
        """Return the rows of the outbox that are not done, of all sessions, oldest first."""

    def outbox(self, session_id: str) -> list[OutboxRecord]:
        """Return the outbox rows of a session, oldest first."""

    def payload(self, digest: bytes) -> bytes:
        """Return a payload that a record refers to."""


class Engines(Protocol):
    """Who runs the engines. Nothing here blocks; answers come back as messages."""

    def estimate(self, order: CallOrder) -> Estimate:
        """Return the tokens to reserve for a call."""

    def start(self, order: CallOrder, reply_to: str) -> None:
        """Run one call; `EngineStarted` may follow, `EngineFinished` always does."""

    def process_recorded(self, call_id: bytes) -> None:
        """The process that `EngineStarted` named is durable: its output may be read."""

    def recover(self, order: CallOrder, reply_to: str, deadline_ms: int | None = None) -> None:
        """Find out what an interrupted call used; `CallRecovered` always follows.

        A call that still runs, because only its persona or coordinator has failed, is stopped
        first, as by `cancel`.
        """

    def cancel(self, call_id: bytes, deadline_ms: int | None = None) -> None:
        """Stop a call that may be in flight; its `EngineFinished` still follows.

        Its programs may take until the deadline, on the wall clock, to end; None: what is usual.
        """

    def kill(self, call_id: bytes) -> None:
        """Wait no longer for a call that may be in flight; its `EngineFinished` follows at once."""


def _unheard(_change: BreakerChanged) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Everything an actor of the runtime may touch."""

    system: ActorSystem
    journal: Journal
    memory: Memory
    engines: Engines
    epoch: int
    """This start of the state directory; every record written carries it."""
    prices: PriceBook = field(default_factory=lambda: PriceBook({}))
    breaker_changed: Callable[[BreakerChanged], None] = _unheard
    """Told of each change of a circuit breaker once it is durable, in order; never raises."""
    strategies: tuple[Strategy, ...] = BUILT_IN
    """Asked about failed attempts, in this order."""
    channel: LocalChannel = field(init=False)
    """To the actors of `system`; one for all, because every persona sends through it."""

    def __post_init__(self) -> None:
        """Lead the channel to the system."""
        object.__setattr__(self, "channel", LocalChannel(self.system))

    def now_ms(self) -> int:
        """Return the wall clock in milliseconds."""
        return self.system.clock.now_ms()
