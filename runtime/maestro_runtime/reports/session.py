"""What a user sees of a session: frozen views with a stable JSON shape, read from the records."""

from collections.abc import Collection
from typing import Final

import msgspec

from maestro_actors.checks import Checked, CheckResult, decode_checked
from maestro_actors.engine import Artifact
from maestro_actors.help.posting import posting_id_of, posting_id_of_session
from maestro_actors.sessions.graph import SessionGraph
from maestro_actors.sessions.plan import recorded_phases
from maestro_actors.sessions.queue import in_order
from maestro_actors.team import Team
from maestro_actors.verbs.wish import intention
from maestro_actors.versions import Version, decode_versions
from maestro_runtime.recorded import recorded_team
from maestro_storage import Records
from maestro_storage.records import (
    TASK_FINAL,
    TASK_PASSED,
    AttemptRecord,
    OutboxState,
    SessionRecord,
    SessionState,
    TaskRecord,
    TaskState,
    WaitsFor,
    Wish,
)

SCHEMA: Final = "maestro.session/1"
"""Name and version of the JSON shape; a field is only ever added."""

_decode_manifest = msgspec.msgpack.Decoder(tuple[Artifact, ...]).decode


class AttemptReport(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt of a task."""

    round: int
    attempt: int
    """1-based, within the round."""
    ordinal: int
    """1-based, over all rounds."""
    state: str
    failure: str
    evidence: tuple[str, ...]
    tokens: int
    delay_seconds: float | None
    """Pause decided after it; None if none followed."""
    started_ms: int
    finished_ms: int | None
    call_id: str
    tokens_saved: int = 0
    """Estimate of what edits spared the engine against writing the changed files in full."""
    healing: tuple[str, ...] = ()
    """What was repaired in the files it left, then what was decided for the next attempt."""


class TicketReport(msgspec.Struct, frozen=True, kw_only=True):
    """Where a ticket is."""

    posting_id: str
    state: OutboxState
    """ "pending" or "sending" until the sink has it, then "done"."""
    reference: str
    """What a person finds it by, once done."""
    tries: int


class TaskReport(msgspec.Struct, frozen=True, kw_only=True):
    """One task: what it delivered, or what it waits for."""

    task_id: str
    contract: str
    phase: str
    persona_id: str
    engine: str
    state: TaskState
    waits_for: WaitsFor
    detail: str
    """The deadline, contract, engine or person it waits for, in words; empty if it waits for
    nothing."""
    deadline_ms: int | None
    tokens_used: int
    quality_score: float
    contract_fulfilled: bool
    failure: str
    evidence: tuple[str, ...]
    artifacts: tuple[Artifact, ...]
    attempts: tuple[AttemptReport, ...]
    ticket: TicketReport | None
    """Of the failure that ended it; None for a task that has not failed for good."""
    checks: tuple[CheckResult, ...]
    """Of the last attempt that was checked; empty if there was none."""
    claimed_missing: tuple[str, ...]
    """Files of the contract that the engine then said it wrote, and that were not there."""
    tokens_saved: int = 0
    """Of all attempts together; see `AttemptReport`."""
    tokens_kept: int = 0
    """What it cost in the session this one comes from, where it is booked."""


class SessionReport(msgspec.Struct, frozen=True, kw_only=True):
    """One session, whole."""

    schema: str
    session_id: str
    state: SessionState
    team: str
    requirement: str
    output_dir: str
    input_dir: str | None
    created_ms: int
    finished_ms: int | None
    duration_seconds: float | None
    """From creation to the end; None while it has not ended."""
    tokens_used: int
    error: str
    tasks: tuple[TaskReport, ...]
    tokens_kept: int = 0
    """Of all tasks together; not part of `tokens_used`."""
    origin_session: str = ""
    """Whose checkpoint it began with: its own name if it was imported; empty if with none."""
    origin_checkpoint: int = 0
    """Number of that checkpoint."""
    wish: Wish = "run"
    """What is asked of it and not done yet: "run" if that is nothing else."""
    pause_reason: str = ""
    """Why it is paused; empty if it is not."""
    labels: dict[str, str] = {}
    idempotency_key: str = ""
    """Of the order that started it; empty if that had none."""
    rerun_from: str = ""
    """Phase that is to run again, with all after it, once nothing is in flight; empty if none."""
    versions: tuple[Version, ...] = ()
    """Of its contracts, personas and engines; none for a session that has not run yet."""
    queue_place: int = 0
    """Which one it is of those that wait to run, 1-based; 0: it is not queued."""
    set_aside: bool = False
    """Whether it is paused because its coordinator has failed too often."""
    ticket: TicketReport | None = None
    """Of its being set aside; None if it is not."""

    @property
    def over_budget(self) -> bool:
        """Whether a task ended because its budget could not pay for another attempt."""
        # An attempt that was made and ran into a limit hit another one: that of its workspace.
        return any(
            task.failure == "limit"
            and task.state in ("failed", "help_needed")
            and all(attempt.failure != "limit" for attempt in task.attempts)
            for task in self.tasks
        )


def session_report(store: Records, session_id: str) -> SessionReport:
    """Read one session whole.

    Raises:
        NotFound: There is no such session.
        SessionQuarantined: One of its records is damaged.
    """
    session = store.require_session(session_id)
    team = recorded_team(store, session)
    tasks = {record.task_id: record for record in store.tasks.scan(session_id)}
    if len(tasks) < len(team.contracts):
        # Read over a line, it may have been removed in between.
        store.require_session(session_id)
    attempts: dict[str, list[AttemptRecord]] = {task_id: [] for task_id in tasks}
    for attempt in store.attempts.scan(session_id):
        # Those of a contract that was removed from the team are only history.
        attempts.setdefault(attempt.task_id, []).append(attempt)
    for task_id in _startable(store, session, team, tasks.values()):
        # Nothing is written when a predecessor ends: that a slot is all it waits for shows here.
        if tasks[task_id].state == "queued":
            tasks[task_id] = msgspec.structs.replace(tasks[task_id], waits_for="slot")
    reports = tuple(
        _task_report(store, session, tasks[contract.id], contract.name, attempts[contract.id])
        for contract in team.contracts
    )
    return SessionReport(
        schema=SCHEMA,
        session_id=session_id,
        state=session.state,
        team=session.team_name,
        requirement=team.requirement,
        output_dir=session.output_dir,
        input_dir=session.input_dir,
        created_ms=session.created_ms,
        finished_ms=session.finished_ms,
        duration_seconds=_seconds(session),
        tokens_used=sum(report.tokens_used for report in reports),
        error=session.error,
        tasks=reports,
        tokens_kept=sum(report.tokens_kept for report in reports),
        origin_session=session.origin_session,
        origin_checkpoint=session.origin_checkpoint,
        wish=session.wish,
        pause_reason=session.pause_reason,
        labels=session.labels,
        idempotency_key=session.idempotency_key,
        rerun_from=session.rerun_from,
        versions=session_versions(store, session),
        queue_place=_queue_place(store, session),
        set_aside=session.set_aside,
        ticket=_session_ticket(store, session),
    )


def _queue_place(store: Records, session: SessionRecord) -> int:
    if session.state != "queued":
        return 0
    return in_order(store.sessions.scan()).index(session) + 1


def session_versions(store: Records, session: SessionRecord) -> tuple[Version, ...]:
    """Read the versions of a session; none for one that has not run yet."""
    if session.versions is None:
        return ()
    return decode_versions(store.payloads.require(session.versions))


def _startable(
    store: Records, session: SessionRecord, team: Team, tasks: Collection[TaskRecord]
) -> tuple[str, ...]:
    """Return the tasks whose predecessors are all done or skipped."""
    graph = SessionGraph(
        team,
        done=(record.task_id for record in tasks if record.state in TASK_PASSED),
        recorded=recorded_phases(store.checkpoints.scan(session.session_id)),
        stretch=session.plan[0].phases if session.plan else None,
    )
    return graph.advance().tasks


def _task_report(
    store: Records,
    session: SessionRecord,
    record: TaskRecord,
    contract: str,
    attempts: list[AttemptRecord],
) -> TaskReport:
    manifest = None if record.artifacts is None else store.payloads.require(record.artifacts)
    found = Checked()
    if record.checks is not None:
        found = decode_checked(store.payloads.require(record.checks))
    return TaskReport(
        task_id=record.task_id,
        contract=contract,
        phase=record.phase,
        persona_id=record.persona_id,
        engine=record.engine,
        state=record.state,
        waits_for=record.waits_for,
        detail=_blocker(session, record, store.epoch),
        deadline_ms=record.deadline_ms,
        tokens_used=record.tokens_used,
        quality_score=record.quality_score,
        contract_fulfilled=record.contract_fulfilled,
        failure=record.failure,
        evidence=record.evidence,
        artifacts=() if manifest is None else _decode_manifest(manifest),
        attempts=tuple(_attempt_report(attempt) for attempt in attempts),
        checks=found.results,
        claimed_missing=found.claimed_missing,
        tokens_saved=sum(attempt.tokens_saved for attempt in attempts),
        ticket=ticket_report(store, record),
        tokens_kept=record.tokens_kept,
    )


def ticket_report(store: Records, record: TaskRecord) -> TicketReport | None:
    """Read where the ticket of a task's final failure is; None if it has not failed for good."""
    if record.state not in ("failed", "help_needed"):
        return None
    return _ticket(store, record.session_id, posting_id_of(record))


def _session_ticket(store: Records, session: SessionRecord) -> TicketReport | None:
    if not session.set_aside:
        return None
    return _ticket(store, session.session_id, posting_id_of_session(session))


def _ticket(store: Records, session_id: str, posting_id: str) -> TicketReport | None:
    row = store.outbox.get(session_id, posting_id)
    if row is None:
        return None
    return TicketReport(
        posting_id=row.outbox_id, state=row.state, reference=row.reference, tries=row.attempts
    )


def _attempt_report(record: AttemptRecord) -> AttemptReport:
    return AttemptReport(
        round=record.round,
        attempt=record.attempt,
        ordinal=record.ordinal,
        state=record.state,
        failure=record.failure,
        evidence=record.evidence,
        tokens=record.tokens,
        delay_seconds=None if record.delay_ms is None else record.delay_ms / 1000,
        started_ms=record.started_ms,
        finished_ms=record.finished_ms,
        call_id=record.call_id.hex(),
        tokens_saved=record.tokens_saved,
        healing=record.healing,
    )


def _blocker(session: SessionRecord, record: TaskRecord, epoch: int) -> str:
    """Say in words what keeps a task from going on, and what is wished of its session."""
    text = waits_for_text(record)
    if record.state in TASK_FINAL:
        return text
    if session.state == "queued" and record.waits_for == "slot":
        text = "other sessions to end"
    if record.state == "running" and record.epoch != epoch:
        text = f"recovery of {text.removesuffix(', in flight')}"
    if session.state == "paused":
        text += ", and for its session to be resumed"
    if wanted := intention(session):
        text += f"; its session is to {wanted}"
    return text


def waits_for_text(record: TaskRecord) -> str:
    """Say in words what a task waits for; empty for a finished one."""
    texts: dict[WaitsFor, str] = {
        "nothing": "",
        "slot": "a free worker",
        "contract": "contracts or phases before it",
        "call": f"attempt {record.attempt} of round {record.round}, in flight",
        "deadline": f"attempt {record.attempt + 1} of round {record.round}, after its back-off",
        "breaker": f"engine {record.engine}, whose circuit breaker is open",
        "budget": f"tokens that other calls of {record.persona_id} hold",
        "limit": f"room at a limit ({record.waits_on})",
        "person": "a person",
    }
    return texts[record.waits_for]


def _seconds(session: SessionRecord) -> float | None:
    if session.finished_ms is None:
        return None
    return (session.finished_ms - session.created_ms) / 1000
