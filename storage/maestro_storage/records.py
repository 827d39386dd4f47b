"""The records that survive, one class per kind, each with its key.

Stored as msgpack arrays in the order of the fields, behind a schema version and a digest (see
`_seal.py`). A stored class only ever gains fields at its end, with defaults; then records written
by every released version keep decoding. `VERSION` grows when the meaning of a field changes.

Instants are wall-clock milliseconds since the epoch, durations milliseconds, digests raw bytes.
"""

import hashlib
from typing import ClassVar, Final, Literal, get_args

from maestro_storage._record import Record as Record  # noqa: PLC0414 - part of this module
from maestro_storage._record import key_of as key_of  # noqa: PLC0414 - as above
from maestro_storage.bookings import Correction, CounterKey, Fired, Hold
from maestro_storage.plan import Plan

SCHEMA_VERSION: Final = 1
"""Of the state directory as a whole; a directory with a newer one is refused untouched."""

KEY_BYTES_MAX: Final = 511
"""LMDB's limit for a key."""

NAME_BYTES_MAX: Final = 120
"""Longest session, contract, persona, phase or engine name in a key, in UTF-8 bytes."""

SessionState = Literal["running", "paused", "done", "failed", "help_needed", "cancelled"]
Wish = Literal["run", "pause", "cancel"]
TaskEnd = Literal["done", "skipped", "failed", "blocked", "cancelled"]
TaskState = Literal["queued", "running", "waiting", "help_needed", TaskEnd]
AttemptState = Literal["open", "ok", "failed", "interrupted"]
CallState = Literal["open", "settled", "released", "lost"]
BreakerState = Literal["closed", "open", "half_open"]
OutboxState = Literal["pending", "sending", "done"]
WaitsFor = Literal["nothing", "slot", "contract", "call", "deadline", "breaker", "budget", "person"]

SESSION_FINAL: Final[frozenset[SessionState]] = frozenset({"done", "failed", "cancelled"})
TASK_FINAL: Final[frozenset[TaskState]] = frozenset(get_args(TaskEnd))
TASK_PASSED: Final[frozenset[TaskState]] = frozenset({"done", "skipped"})
"""States that let dependents run. A skipped task's contract is not fulfilled: a person decided to
go on without it."""


class SessionRecord(Record, frozen=True, kw_only=True):
    """One execution of a team for one requirement."""

    DATABASE: ClassVar[str] = "sessions"

    session_id: str
    state: SessionState
    team_name: str
    team: bytes
    """Digest of the payload that holds the whole team as it was started."""
    output_dir: str
    input_dir: str | None
    created_ms: int
    updated_ms: int
    finished_ms: int | None = None
    error: str = ""
    """Why the session failed, in one line; empty otherwise."""
    epoch: int = 0
    origin_session: str = ""
    """Whose checkpoint it began with: its own name if it was imported; empty if with none."""
    origin_checkpoint: int = 0
    """Number of that checkpoint."""
    wish: Wish = "run"
    """What is asked of it and not done yet: "run" if that is nothing else."""
    wish_deadline_ms: int | None = None
    """When what is still in flight is killed, on the wall clock; None: it is waited for."""
    pause_reason: str = ""
    """Why the session is paused, or is to be, in one line; empty otherwise."""
    labels: dict[str, str] = {}  # noqa: RUF012 - msgspec copies it
    """What it is found by."""
    idempotency_key: str = ""
    """What the order that started it called itself; empty if nothing."""
    input_digest: bytes = b""
    """Of all else that an order with a key said."""
    versions: bytes | None = None
    """Digest of the payload with the versions of its contracts, personas and engines."""
    checkpoints_made: int = 0
    """Highest number of a checkpoint that a rerun has removed: no number is used twice."""
    plan: Plan = ()
    """What is left of its plan."""

    @property
    def key(self) -> bytes:
        """By session id."""
        return key_of(self.session_id)


class TaskRecord(Record, frozen=True, kw_only=True):
    """One contract being executed in a session: the unit of scheduling."""

    DATABASE: ClassVar[str] = "tasks"

    session_id: str
    task_id: str
    """The contract's id."""
    phase: str
    persona_id: str
    engine: str
    state: TaskState
    waits_for: WaitsFor
    round: int = 1
    """1-based; the round the next attempt belongs to while the task waits."""
    attempt: int = 0
    """Last attempt begun in this round, 1-based; 0 before the first."""
    ordinal: int = 0
    """Attempts begun over all rounds; never shrinks."""
    deadline_ms: int | None = None
    """When a waiting task goes on, on the wall clock."""
    call_id: bytes | None = None
    """The call in flight, while `state` is "running"."""
    tokens_used: int = 0
    quality_score: float = 0.0
    contract_fulfilled: bool = False
    failure: str = ""
    """Class of the last failed attempt; empty if there was none."""
    evidence: tuple[str, ...] = ()
    """What was wrong with the last failed attempt: the feedback of the next one."""
    artifacts: bytes | None = None
    """Digest of the payload with the manifest of the artifacts, once the task is done and if there
    are any."""
    started_ms: int | None = None
    finished_ms: int | None = None
    epoch: int = 0
    checks: bytes | None = None
    """Digest of the payload with what was found after the last attempt that was checked."""
    tickets: int = 0
    """Times the task has failed for good; each has a row in the outbox."""
    notes: tuple[str, ...] = ()
    """What persons wrote in their answers; part of the feedback of every further attempt."""
    advice: tuple[str, ...] = ()
    """What healing adds to the evidence as the feedback of the next attempt."""
    scope: tuple[str, ...] = ()
    """Globs that the next attempt still owes; empty for all of the contract."""
    findings: bytes = b""
    """Digest of files and faults after the last attempt that failed by its work."""
    tokens_kept: int = 0
    """What it cost before the session began, in the one it comes from; booked there, not here."""
    decisions: bytes | None = None
    """Digest of the payload with what its engine decided, as JSON, once the task is done."""

    @property
    def key(self) -> bytes:
        """By session, then task."""
        return key_of(self.session_id, self.task_id)


class AttemptRecord(Record, frozen=True, kw_only=True):
    """One level-1 try of a task. Written before its engine starts."""

    DATABASE: ClassVar[str] = "attempts"

    session_id: str
    task_id: str
    ordinal: int
    round: int
    attempt: int
    call_id: bytes
    state: AttemptState
    failure: str = ""
    evidence: tuple[str, ...] = ()
    delay_ms: int | None = None
    """Pause decided after this attempt; None if none followed."""
    tokens: int = 0
    message: bytes | None = None
    """Digest of the payload with the engine's closing words."""
    started_ms: int = 0
    finished_ms: int | None = None
    epoch: int = 0
    tokens_saved: int = 0
    """Estimate of what edits spared the engine against writing the changed files in full."""
    healing: tuple[str, ...] = ()
    """What was repaired in the files it left, then what was decided for the next attempt."""

    @property
    def key(self) -> bytes:
        """By session, task, then ordinal."""
        return key_of(self.session_id, self.task_id, self.ordinal)


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
        return key_of(self.session_id, self.call_id)


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
        return key_of(self.session_id, self.persona_id)


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

    After some days the cells of a day become one. A correction has a cell of its own, in the hour
    of its call, with the difference: its figures may be negative, so only sums mean something.
    """

    DATABASE: ClassVar[str] = "usage"

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

    @property
    def key(self) -> bytes:
        """By hour, under no session; then by everything that tells the calls apart."""
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
        # A digest: so many names could be longer than a key.
        digest = hashlib.blake2b("\0".join(names).encode(), digest_size=16).digest()
        return key_of("", self.hour_ms, digest)


class BreakerRecord(Record, frozen=True, kw_only=True):
    """The circuit breaker of one engine; shared by all sessions."""

    DATABASE: ClassVar[str] = "breakers"

    engine: str
    state: BreakerState
    failures: int = 0
    """Consecutive failures that speak against the engine."""
    opened_count: int = 0
    """Times in a row it has opened without a success in between."""
    retry_at_ms: int | None = None
    """When an open breaker lets one probe through."""
    epoch: int = 0
    opened_total: int = 0
    """Times it has opened since there are records of it."""
    failed_total: int = 0
    """Calls that failed by the engine's fault, whatever the state was; exact."""
    refused_total: int = 0
    """Calls refused before this record was written: a refusal alone writes none."""
    changed_by: str = ""
    """Who opened or closed it by hand; empty once a call has changed it."""

    @property
    def key(self) -> bytes:
        """By engine."""
        return key_of(self.engine)


class EventRecord(Record, frozen=True, kw_only=True):
    """One line of a session's history. Sequences are gapless from 1."""

    DATABASE: ClassVar[str] = "events"

    session_id: str
    sequence: int
    at_ms: int
    kind: str
    """Past tense: "attempt_failed", "phase_finished" ..."""
    task_id: str = ""
    data: dict[str, str | int | float | bool | None] = {}  # noqa: RUF012 - msgspec copies it
    epoch: int = 0

    @property
    def key(self) -> bytes:
        """By session, then sequence."""
        return key_of(self.session_id, self.sequence)


class CheckpointRecord(Record, frozen=True, kw_only=True):
    """The durable state of a session after a transition that ended a phase."""

    DATABASE: ClassVar[str] = "checkpoints"

    session_id: str
    number: int
    """1-based, in the order of the session's history."""
    phase: str
    """"init" for the one written at the start."""
    at_ms: int
    summary: bytes = b""
    """Digest of the payload with the state, tokens and artifacts of every finished task."""
    tokens_used: int = 0
    tasks_done: int = 0
    epoch: int = 0
    on_demand: bool = False
    """`phase` is a name that somebody gave it: no phase ends with it."""

    @property
    def key(self) -> bytes:
        """By session, then number."""
        return key_of(self.session_id, self.number)


class OutboxRecord(Record, frozen=True, kw_only=True):
    """One message that must leave the process exactly as often as it is recorded."""

    DATABASE: ClassVar[str] = "outbox"

    session_id: str
    outbox_id: str
    kind: str
    state: OutboxState
    payload: bytes
    """Digest of the payload with what is to be sent."""
    attempts: int = 0
    deadline_ms: int | None = None
    reference: str = ""
    """What the sink answered, once done."""
    created_ms: int = 0
    epoch: int = 0

    @property
    def key(self) -> bytes:
        """By session, then outbox id."""
        return key_of(self.session_id, self.outbox_id)


class ValueRecord(Record, frozen=True, kw_only=True):
    """A value that a program keeps under a name; it belongs to no session."""

    DATABASE: ClassVar[str] = "values"

    name: str
    value: bytes
    """JSON, in UTF-8."""
    updated_ms: int
    epoch: int = 0

    @property
    def key(self) -> bytes:
        """By name."""
        return key_of(self.name)


RECORD_TYPES: Final[tuple[type[Record], ...]] = (
    SessionRecord,
    TaskRecord,
    AttemptRecord,
    CallRecord,
    BudgetRecord,
    CounterRecord,
    AlertRecord,
    UsageRecord,
    BreakerRecord,
    EventRecord,
    CheckpointRecord,
    OutboxRecord,
    ValueRecord,
)
"""Every kind of record. A new kind is added here and nowhere else in the storage."""
