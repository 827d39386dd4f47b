"""What is on record of a session: itself, its tasks and attempts, its history, what it sends."""

from typing import ClassVar, Final, Literal, get_args

from maestro_storage.plan import Plan
from maestro_storage.records._record import Record, key_of, names_key

SessionState = Literal["queued", "running", "paused", "done", "failed", "help_needed", "cancelled"]
Wish = Literal["run", "pause", "cancel"]
TaskEnd = Literal["done", "skipped", "failed", "blocked", "cancelled"]
TaskState = Literal["queued", "running", "waiting", "help_needed", TaskEnd]
AttemptState = Literal["open", "ok", "failed", "interrupted"]
OutboxState = Literal["pending", "sending", "done"]
WaitsFor = Literal[
    "nothing", "slot", "contract", "call", "deadline", "breaker", "budget", "limit", "person"
]

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
    rerun_from: str = ""
    """Phase that is to run again, with all after it, once nothing is in flight; empty if none."""
    removal: bool = False
    """Whether it is deleted once it has ended."""
    priority: int = 0
    """It goes before sessions with less, -100 to 100."""
    queued_ms: int | None = None
    """Since when it waits for others to end, while its state is "queued"."""
    failures: int = 0
    """How often its coordinator has failed by a bug since a task has last ended."""
    failures_at: int = 0
    """How many tasks had ended by the last of these failures."""
    set_aside: bool = False
    """Whether it is paused because its coordinator has failed too often."""
    tickets: int = 0
    """Times it was set aside; each has a row in the outbox."""

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
    waits_on: str = ""
    """The limit that it waits for, in words, while `waits_for` is "limit"."""

    @property
    def key(self) -> bytes:
        """By session, then task."""
        return names_key(self.session_id, self.task_id)


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
        return names_key(self.session_id, self.task_id) + self.ordinal.to_bytes(8, "big")


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
        return names_key(self.session_id) + self.sequence.to_bytes(8, "big")


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
    """What is sent: "ticket" or "alert"."""
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
