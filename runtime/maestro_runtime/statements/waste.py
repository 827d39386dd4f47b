"""Waste: what was paid for attempts whose output was not used, by persona and by reason."""

from itertools import groupby

import msgspec

from maestro_runtime.statements.booked import cost_of_call, tokens_of
from maestro_storage import Records
from maestro_storage.records import TASK_FINAL, AttemptRecord, CallRecord, TaskRecord


class WasteRow(msgspec.Struct, frozen=True, kw_only=True):
    """What one persona has used in the sessions at hand: `tokens` = used + wasted + undecided."""

    persona_id: str
    tokens: int
    used_tokens: int
    """Of the attempts that fulfilled a contract."""
    wasted_tokens: int
    """Of attempts of finished tasks that failed, were interrupted or lost; and of all attempts of
    tasks that failed or were skipped."""
    undecided_tokens: int
    """Of tasks that have not ended."""
    wasted_calls: int
    wasted_nano_usd: int | None
    """Of the wasted calls that have a price; None if none has."""
    wasted_unpriced_calls: int
    reasons: dict[str, int]
    """Wasted tokens by the failure class of the attempt; "task_failed" or "task_skipped" for one
    that went well in a task that did not."""


def waste(store: Records, session_id: str | None = None) -> list[WasteRow]:
    """Read what was wasted in one session, or in all that are kept, by persona.

    Calls that belong to no task, those of a `TokenTracker`, are left out: nobody judges them.

    Raises:
        NotFound: There is no such session.
        SessionQuarantined: One of its records is damaged.
    """
    prefix = () if session_id is None else (store.require_session(session_id).session_id,)
    books: dict[str, _Book] = {}
    # By session, so that no more than the attempts of one are held at a time.
    for name, calls in groupby(store.calls.scan(*prefix), key=lambda call: call.session_id):
        tasks = {task.task_id: task for task in store.tasks.scan(name)}
        attempts = {attempt.call_id: attempt for attempt in store.attempts.scan(name)}
        for call in calls:
            task = tasks.get(call.task_id)
            if task is not None and call.state != "open":
                reason = _reason(task, attempts.get(call.call_id))
                books.setdefault(call.persona_id, _Book()).add(call, reason)
    return [books[persona_id].row(persona_id) for persona_id in sorted(books)]


def _reason(task: TaskRecord, attempt: AttemptRecord | None) -> str | None:
    """Return why a call was wasted; empty if it was used, None if that is not decided."""
    if task.state not in TASK_FINAL:
        return None
    if attempt is not None and attempt.state != "ok":
        return attempt.failure or attempt.state
    return "" if task.state == "done" else f"task_{task.state}"


class _Book:
    """The sums of one persona."""

    def __init__(self) -> None:
        self._used = self._undecided = self._calls = self._nano_usd = self._unpriced = 0
        self._reasons: dict[str, int] = {}

    def add(self, call: CallRecord, reason: str | None) -> None:
        tokens = tokens_of(call)
        if reason is None:
            self._undecided += tokens
        elif not reason:
            self._used += tokens
        else:
            self._reasons[reason] = self._reasons.get(reason, 0) + tokens
            self._calls += 1
            cost_nano_usd = cost_of_call(call)
            self._nano_usd += cost_nano_usd or 0
            self._unpriced += cost_nano_usd is None

    def row(self, persona_id: str) -> WasteRow:
        wasted = sum(self._reasons.values())
        unpriced = 0 < self._calls == self._unpriced
        return WasteRow(
            persona_id=persona_id,
            tokens=self._used + wasted + self._undecided,
            used_tokens=self._used,
            wasted_tokens=wasted,
            undecided_tokens=self._undecided,
            wasted_calls=self._calls,
            wasted_nano_usd=None if unpriced else self._nano_usd,
            wasted_unpriced_calls=self._unpriced,
            reasons=dict(sorted(self._reasons.items())),
        )
