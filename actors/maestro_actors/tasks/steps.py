"""What each step of a task writes: pure functions from its record to the next, with the draft.

The persona decides when a step happens; here stands what becomes durable by it. One step is one
transition, so a restart finds the task before the step or after it, never in between.
"""

from typing import Final, Literal

import msgspec

from maestro_actors.checks import Checked
from maestro_actors.engine import FailureClass, Outcome
from maestro_actors.errors import TokenBudgetExceeded
from maestro_actors.healing import BUILT_IN, Strategy, case_of, healed, known_of
from maestro_actors.identity import (
    call_id_of,
    fraction_of,
)
from maestro_actors.messages import (
    AttemptClosed,
    CallDenied,
    TaskFinished,
    TaskWaiting,
    WaitRecorded,
    encode,
)
from maestro_actors.proxy import encoded
from maestro_actors.tasks import retry
from maestro_actors.tasks.attempt import Ending, closed, history_of
from maestro_actors.tasks.contracts import Verdict, judge
from maestro_actors.tasks.diagnosis import capped, diagnose
from maestro_actors.tasks.task import Task
from maestro_storage.records import AttemptRecord, TaskRecord, WaitsFor
from maestro_storage.transition import Transition

PERSONA_FAILS: Final = "the persona itself failed too often within a minute; the log says how"
"""Evidence of a task that is ended for its persona."""

_ATTEMPT_CLOSED: Final = encoded(AttemptClosed())
_WAIT_RECORDED: Final = encoded(WaitRecorded())


def begun(task: Task, before: TaskRecord, now_ms: int) -> TaskRecord:
    """Return the record of a task whose next attempt begins."""
    attempt = before.attempt + 1
    return msgspec.structs.replace(
        before,
        state="running",
        waits_for="call",
        attempt=attempt,
        ordinal=before.ordinal + 1,
        call_id=call_id_of(before.session_id, before.task_id, before.round, attempt),
        deadline_ms=None,
        waits_on="",
        started_ms=before.started_ms or now_ms,
        epoch=task.assignment.epoch,
    )


def opening(task: Task, running: TaskRecord, need_tokens: int, now_ms: int) -> Transition:
    """Return the draft that begins the attempt of `running`; the engine starts after it."""
    call_id = running.call_id or b""
    draft = Transition()
    draft.put(running)
    draft.put(
        AttemptRecord(
            session_id=running.session_id,
            task_id=running.task_id,
            ordinal=running.ordinal,
            round=running.round,
            attempt=running.attempt,
            call_id=call_id,
            state="open",
            started_ms=now_ms,
            epoch=task.assignment.epoch,
        )
    )
    draft.event(
        task.event(
            "attempt_started",
            now_ms,
            {"round": running.round, "attempt": running.attempt, "reserved_tokens": need_tokens},
        )
    )
    return draft


def closing(
    task: Task,
    running: TaskRecord,
    ending: Ending,
    now_ms: int,
    strategies: tuple[Strategy, ...] = BUILT_IN,
    *,
    excused: bool = False,
) -> tuple[TaskRecord, Transition]:
    """Return what follows the attempt of `running`: the end of the task, or its next deadline.

    An attempt that was interrupted and is `excused`, because a person wanted the session to stop,
    never is the last one.
    """
    outcome = ending.outcome
    verdict = judge(task.contract, outcome)
    found = diagnose(verdict, outcome, running.findings)
    draft = Transition()
    after = msgspec.structs.replace(
        running,
        call_id=None,
        quality_score=verdict.quality_score,
        contract_fulfilled=verdict.contract_fulfilled,
        tokens_used=running.tokens_used + ending.tokens,
        checks=_checked(running, outcome, draft),
        epoch=task.assignment.epoch,
    )
    delay_ms, healing = None, capped(outcome.healing)
    if found.failure is None:
        if outcome.artifacts:
            manifest = draft.payload(after.session_id, encode(outcome.artifacts))
            after = msgspec.structs.replace(after, artifacts=manifest)
        if outcome.decisions:
            decisions = draft.payload(after.session_id, outcome.decisions)
            after = msgspec.structs.replace(after, decisions=decisions)
        after = _delivered(after, verdict, now_ms)
    else:
        after = msgspec.structs.replace(
            after,
            failure=found.failure,
            evidence=found.reasons,
            findings=found.findings or running.findings,
        )
        pause_seconds = outcome.retry_after_seconds
        excused = excused and found.failure == "interrupted"
        after, delay_ms = _decided(
            task, after, found.failure, pause_seconds, now_ms, excused=excused
        )
        case = case_of(task.contract, outcome, found, running)
        after, tried = healed(after, case, strategies)
        healing += tried
    draft.put(after)
    row = closed(running, ending, found, draft, now_ms=now_ms, epoch=after.epoch)
    if delay_ms is not None or healing:
        row = msgspec.structs.replace(row, delay_ms=delay_ms, healing=healing)
    draft.put(row)
    draft.event(task.event(*history_of(row)))
    _announce(task, draft, after, now_ms)
    return after, draft


def waiting(
    task: Task,
    before: TaskRecord,
    waits_for: WaitsFor,
    deadline_ms: int | None,
    now_ms: int,
    *,
    waits_on: str = "",
) -> tuple[TaskRecord, Transition]:
    """Return the wait for breaker, budget or limit; the attempt that could not open does not count.

    `waits_on` is the limit, in words.
    """
    after = msgspec.structs.replace(
        before,
        state="waiting",
        waits_for=waits_for,
        deadline_ms=deadline_ms,
        waits_on=waits_on,
        epoch=task.assignment.epoch,
    )
    draft = Transition()
    draft.put(after)
    data: dict[str, str | int | float | bool | None] = {
        "waits_for": waits_for,
        "deadline_ms": deadline_ms,
    }
    if waits_for == "breaker":
        data["breaker"] = task.persona.breaker
    if waits_on:
        data["limit"] = waits_on
    draft.event(task.event("task_waiting", now_ms, data))
    announced = TaskWaiting(task_id=after.task_id, waits_for=waits_for, waits_on=waits_on)
    draft.then(task.coordinator, encoded(announced))
    draft.then(task.address, _WAIT_RECORDED)
    return after, draft


def unaffordable(
    task: Task, before: TaskRecord, denied: CallDenied, now_ms: int
) -> tuple[TaskRecord, Transition]:
    """Return the end of a task whose budget cannot pay for another attempt."""
    error = TokenBudgetExceeded(
        before.persona_id,
        denied.limit,
        denied.spent,
        denied.held,
        denied.need,
        denied.budget_id,
        denied.resets_at_ms,
        denied.metric,
    )
    failed = msgspec.structs.replace(
        before,
        failure="limit",
        evidence=(str(error),),
        advice=known_of(before),
        epoch=task.assignment.epoch,
    )
    after = (
        _ended(failed, "help_needed", now_ms) if denied.park else _given_up(task, failed, now_ms)
    )
    return _ending(task, after, now_ms)


def abandoned(task: Task, before: TaskRecord, now_ms: int) -> tuple[TaskRecord, Transition]:
    """Return the end of a task without an open call, whose persona fails again and again.

    It waits for a person whatever `give_up_on_failure` says: the work is not what has failed.
    """
    failed = msgspec.structs.replace(
        before,
        failure="permanent",
        evidence=(PERSONA_FAILS,),
        advice=known_of(before),
        epoch=task.assignment.epoch,
    )
    return _ending(task, _ended(failed, "help_needed", now_ms), now_ms)


def _ending(task: Task, after: TaskRecord, now_ms: int) -> tuple[TaskRecord, Transition]:
    """Return the record of a task that ends without an attempt, with its draft."""
    draft = Transition()
    draft.put(after)
    _announce(task, draft, after, now_ms)
    return after, draft


def _decided(
    task: Task,
    after: TaskRecord,
    failure: FailureClass,
    retry_after_seconds: float | None,
    now_ms: int,
    *,
    excused: bool,
) -> tuple[TaskRecord, int | None]:
    """Return the record after a failure, and the pause before the next attempt, if any."""
    drawn = fraction_of(f"{task.assignment.seed}\0{after.session_id}\0{after.task_id}")
    decision = retry.decide(
        task.persona.retry,
        retry.Place(after.round, after.attempt),
        failure,
        seed=int(drawn * (1 << 53)),
        retry_after_seconds=retry_after_seconds,
    )
    if excused and isinstance(decision, retry.Stop):
        decision = retry.Retry(after.round + 1, 0.0)
    if isinstance(decision, retry.Stop):
        return _given_up(task, after, now_ms), None
    delay_ms = round(decision.delay_seconds * 1000)
    return (
        msgspec.structs.replace(
            after,
            state="waiting",
            waits_for="deadline",
            round=decision.round,
            attempt=after.attempt if decision.round == after.round else 0,
            deadline_ms=now_ms + delay_ms,
        ),
        delay_ms,
    )


def _checked(running: TaskRecord, outcome: Outcome, draft: Transition) -> bytes | None:
    """Keep what was found; an attempt that was not checked leaves the findings before it."""
    if not outcome.checks and not outcome.claimed_missing:
        return running.checks
    found = Checked(results=outcome.checks, claimed_missing=outcome.claimed_missing)
    return draft.payload(running.session_id, encode(found))


def _delivered(after: TaskRecord, verdict: Verdict, now_ms: int) -> TaskRecord:
    """Return the end of a task that owes nothing more, or only a person's answer."""
    if not verdict.questions:
        return _ended(after, "done", now_ms)
    # No further attempt could answer it, so the task waits whatever `give_up_on_failure` says.
    unanswered = msgspec.structs.replace(after, failure="unanswered", evidence=verdict.questions)
    return _ended(unanswered, "help_needed", now_ms)


def _given_up(task: Task, after: TaskRecord, now_ms: int) -> TaskRecord:
    return _ended(after, "failed" if task.persona.give_up_on_failure else "help_needed", now_ms)


def _ended(
    after: TaskRecord, state: Literal["done", "failed", "help_needed"], now_ms: int
) -> TaskRecord:
    return msgspec.structs.replace(
        after,
        state=state,
        waits_for="person" if state == "help_needed" else "nothing",
        tickets=after.tickets + (state != "done"),
        deadline_ms=None,
        finished_ms=now_ms,
    )


def _announce(task: Task, draft: Transition, after: TaskRecord, now_ms: int) -> None:
    """Tell the coordinator, once it is durable, whether the task waits or has ended.

    Only a persona whose task waits is told, too: one whose task has ended has nothing left to do.
    """
    if after.state == "waiting":
        waiting_for = TaskWaiting(task_id=after.task_id, waits_for=after.waits_for)
        draft.then(task.coordinator, encoded(waiting_for))
        draft.then(task.address, _ATTEMPT_CLOSED)
        return
    failed = after.state != "done"
    draft.event(
        task.event(
            f"task_{after.state}",
            now_ms,
            {
                "tokens": after.tokens_used,
                "quality_score": after.quality_score,
                "failure": after.failure if failed else "",
                "evidence": after.evidence[0] if failed and after.evidence else "",
            },
        )
    )
    draft.then(task.coordinator, encoded(TaskFinished(task_id=after.task_id, state=after.state)))
