"""What is on record of the books: calls, budgets, counters, alerts, usage."""

import hashlib
from typing import ClassVar, Literal

from maestro_storage.bookings import Correction, CounterKey, Fired, Hold
from maestro_storage.records._record import Record, key_of, names_key

CallState = Literal["open", "settled", "released", "lost"]


class CallRecord(Record, frozen=True, kw_only=True):
    """One billed use of an engine: the ledger's unit."""

    DATABASE: ClassVar[str] = "calls"

    session_id: str
    call_id: bytes
    """16 bytes, derived from (session, task, round, attempt): a replay has the same id."""
    task_id: str
    persona_id: str
    engine: str
    round: int
    attempt: int
    state: CallState
    reserved_tokens: int
    input_tokens: int = 0
    output_tokens: int = 0
    basis: str = ""
    """Who counted: "provider" or "estimated"; for a call that was lost, what it was booked with:
    "reserved", "floor" or "zero"."""
    opened_ms: int = 0
    closed_ms: int | None = None
    pid: int = 0
    """Leader of the engine's process group; 0 if the engine has no process."""
    pid_start_ticks: int = 0
    boot_id: str = ""
    epoch: int = 0
    phase: str = ""
    model: str = ""
    """Asked for; empty if the engine has none."""
    requests: int = 0
    cache_read_tokens: int = 0
    """Part of the input tokens, like the next one."""
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    """Part of the output tokens."""
    cost_nano_usd: int = 0
    """The most it may cost while it is open, and what a lost one is booked with."""
    cost_basis: str = ""
    """Where the price came from: "table", "list", or "unpriced", when the cost is not known."""
    outcome: str = ""
    """ "ok", or the class of the failure, once closed."""
    holds: tuple[Hold, ...] = ()
    """In every counter but that of the persona's budget, which holds `reserved_tokens`."""
    floor_tokens: int = 0
    """Fewest tokens it could have done with; 0: all that were reserved."""
    corrections: tuple[Correction, ...] = ()
    """Oldest first. The last one counts; the figures above stay what was booked at the close."""

    @property
    def key(self) -> bytes:
        """By session, then call."""
        return names_key(self.session_id) + self.call_id


class BudgetRecord(Record, frozen=True, kw_only=True):
    """What one persona has spent and reserved in one session."""

    DATABASE: ClassVar[str] = "budgets"

    session_id: str
    persona_id: str
    limit_tokens: int
    spent_tokens: int = 0
    held_tokens: int = 0
    """Reserved by open calls."""
    epoch: int = 0
    topped_up_tokens: int = 0
    """Part of the limit that was added to it in this session."""
    fired: tuple[Fired, ...] = ()
    """Alerts that were raised."""

    @property
    def key(self) -> bytes:
        """By session, then persona."""
        return names_key(self.session_id, self.persona_id)


class CounterRecord(Record, frozen=True, kw_only=True):
    """What a budget has counted in one window, and the rule it was last checked against."""

    DATABASE: ClassVar[str] = "counters"

    counter: CounterKey
    limit: int
    """In units of the metric, with what was topped up."""
    spent: int
    held: int
    """Reserved by open calls."""
    topped_up: int
    version: int
    alert_permille: tuple[int, ...]
    fired: tuple[Fired, ...]
    """Alerts that were raised."""
    steps: tuple[tuple[int, int], ...]
    """Start of each step of a rolling window, and what was spent in it."""
    updated_ms: int
    epoch: int

    @property
    def key(self) -> bytes:
        """By session (empty if the window is none), budget, rule, subject, then window."""
        return key_of(*self.counter)


class AlertRecord(Record, frozen=True, kw_only=True):
    """A budget has reached a share of its limit."""

    DATABASE: ClassVar[str] = "alerts"

    counter: CounterKey
    version: int
    limit: int
    permille: int
    """The share, in thousandths."""
    spent: int
    """By the call that crossed it."""
    session_id: str
    """Of that call."""
    persona_id: str
    at_ms: int
    epoch: int

    @property
    def key(self) -> bytes:
        """By counter, then version, limit and share: there is one for each."""
        return key_of(*self.counter, self.version, self.limit, self.permille)


class UsageRecord(Record, frozen=True, kw_only=True):
    """What like calls that ended in the same hour have used together; outlives its session.

    There may be several parts of a cell, and a correction has a cell of its own, in the hour of its
    call, with the difference, whose figures may be negative: only sums mean something. After some
    days the cells of a day become one.
    """

    DATABASE: ClassVar[str] = "usage"
    FIGURES: ClassVar[tuple[str, ...]] = (
        "calls",
        "requests",
        "input_tokens",
        "output_tokens",
        "cache_read_tokens",
        "cache_write_tokens",
        "reasoning_tokens",
        "cost_nano_usd",
        "unpriced_calls",
        "lost_calls",
        "duration_ms",
    )
    """The fields that add up."""

    hour_ms: int
    """Start of the hour, or of the day, UTC."""
    session_id: str
    phase: str
    task_id: str
    persona_id: str
    engine: str
    model: str
    outcome: str
    calls: int = 0
    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    cost_nano_usd: int = 0
    unpriced_calls: int = 0
    lost_calls: int = 0
    """Nobody knows what they used: their reservations are among the input tokens."""
    duration_ms: int = 0
    epoch: int = 0
    hours: int = 1
    """How many it covers: 1, or 24."""
    correction: str = ""
    """Of which call, and its id; empty for a cell of calls."""
    part: int = 0
    """1-based number of the cell among those with the same names that its start (`epoch`) has
    written; 0: of a day, a correction, or from before there were parts."""

    @property
    def key(self) -> bytes:
        """By hour, under no session; then by everything that tells the calls apart, and the part.

        Names have no zero byte, and each kind of cell another number of parts.
        """
        names: tuple[str, ...] = (
            self.session_id,
            self.phase,
            self.task_id,
            self.persona_id,
            self.engine,
            self.model,
            self.outcome,
        )
        if self.hours > 1 or self.correction:
            # Only then: the cells of calls keep the keys they have always had.
            names += (str(self.hours), self.correction)
        elif self.part:
            names += (f"{self.epoch}.{self.part}",)
        # A digest: so many names could be longer than a key.
        digest = hashlib.blake2b("\0".join(names).encode(), digest_size=16).digest()
        return names_key("") + self.hour_ms.to_bytes(8, "big") + digest
