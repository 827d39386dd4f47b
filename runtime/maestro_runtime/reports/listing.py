"""Sessions by what they are and what they wait for, newest first, page by page."""

import base64
import binascii
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final, Literal

import msgspec

from maestro_runtime.errors import CursorInvalid
from maestro_runtime.statements.booked import cost_of_call
from maestro_storage import Records
from maestro_storage.records import SessionRecord, SessionState, TaskRecord, Wish

SCHEMA: Final = "maestro.sessions/1"
"""Name and version of the JSON shape; a field is only ever added."""

LIMIT_DEFAULT: Final = 50
"""Sessions of a page."""

Blocker = Literal["call", "deadline", "breaker", "budget", "limit", "person"]
"""What a task that has begun can wait for."""

_CURSOR: Final = re.compile(r"(\d{1,15}) (.+)")

_Place = tuple[int, str]
"""Where a session stands in the order: the newest first, then by id."""


class SessionFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which sessions are listed: those for which all that is given holds.

    Persona, contract, phase and blocker are those of one and the same task.
    """

    states: tuple[SessionState, ...] = ()
    """One of them; none: any."""
    labels: tuple[tuple[str, str | None], ...] = ()
    """Keys and values; None: any value."""
    since_ms: int | None = None
    """Started at this instant or later."""
    until_ms: int | None = None
    """Started before this instant."""
    persona_id: str | None = None
    contract_id: str | None = None
    phase: str | None = None
    waits_for: Blocker | None = None
    min_tokens: int = 0
    """Used by the session, those it has kept from another not counted."""
    min_cost_nano_usd: int = 0
    """Of the calls that are closed and have a price."""


class SessionSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a list of sessions."""

    session_id: str
    state: SessionState
    team: str
    created_ms: int
    finished_ms: int | None
    tasks_done: int
    tasks: int
    tokens_used: int
    error: str
    wish: Wish
    """What is asked of it and not done yet: "run" if that is nothing else."""
    pause_reason: str
    """Why it is paused; empty if it is not."""
    set_aside: bool
    """Whether that is because its coordinator has failed too often."""
    labels: dict[str, str]
    waits_for: tuple[Blocker, ...]
    """What its tasks wait for that have begun, sorted, each once."""
    cost_nano_usd: int
    """Of the calls that are closed and have a price."""
    unpriced_calls: int
    """Those that are closed and have none: what they cost is not in the cost."""


class SessionPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some sessions of a list."""

    rows: tuple[SessionSummary, ...]
    next_cursor: str | None
    """Begins the next page; None if there is none."""


_ALL: Final = SessionFilter()
_BLOCKERS: Final[dict[str, Blocker]] = {
    "call": "call",
    "deadline": "deadline",
    "breaker": "breaker",
    "budget": "budget",
    "person": "person",
}


def list_sessions(
    store: Records,
    wanted: SessionFilter = _ALL,
    *,
    limit: int = LIMIT_DEFAULT,
    cursor: str | None = None,
) -> SessionPage:
    """Return a page of sessions, newest first; quarantined ones are left out.

    The pages of a list have every session once that was there at the first page and still is:
    sessions that are started meanwhile come before them. Reads the record of every session, but
    the tasks only of those on the page and of those that the filter must look into.

    Args:
        store: An open store, or a state that is looked at.
        wanted: Which sessions.
        limit: Most sessions of the page, at least 1.
        cursor: `next_cursor` of the page before, with the same filter; None: the first page.

    Raises:
        CursorInvalid: The cursor is none of ours.
    """
    after = None if cursor is None else _position(cursor)
    found = list(islice(_summaries(store, wanted, after), limit + 1))
    rows = tuple(found[:limit])
    more = len(found) > limit
    return SessionPage(rows=rows, next_cursor=_cursor(rows[-1]) if more else None)


def _summaries(
    store: Records, wanted: SessionFilter, after: _Place | None
) -> Iterator[SessionSummary]:
    candidates = [
        record
        for record in store.sessions.scan()
        if (after is None or _place(record) > after) and _is_wanted(record, wanted)
    ]
    for record in sorted(candidates, key=_place):
        tasks = list(store.tasks.scan(record.session_id))
        if tasks and not any(_is_wanted_task(task, wanted) for task in tasks):
            continue
        summary = _summary(store, record, tasks)
        if (
            summary.tokens_used >= wanted.min_tokens
            and summary.cost_nano_usd >= wanted.min_cost_nano_usd
        ):
            yield summary


def _is_wanted(record: SessionRecord, wanted: SessionFilter) -> bool:
    return (
        (not wanted.states or record.state in wanted.states)
        and (wanted.since_ms is None or record.created_ms >= wanted.since_ms)
        and (wanted.until_ms is None or record.created_ms < wanted.until_ms)
        and all(
            key in record.labels and value in (None, record.labels[key])
            for key, value in wanted.labels
        )
    )


def _is_wanted_task(task: TaskRecord, wanted: SessionFilter) -> bool:
    return (
        wanted.persona_id in (None, task.persona_id)
        and wanted.contract_id in (None, task.task_id)
        and wanted.phase in (None, task.phase)
        and wanted.waits_for in (None, task.waits_for)
    )


def _summary(store: Records, session: SessionRecord, tasks: Sequence[TaskRecord]) -> SessionSummary:
    calls = store.calls.scan(session.session_id)
    costs = [cost_of_call(call) for call in calls if call.state != "open"]
    blockers = {_BLOCKERS[task.waits_for] for task in tasks if task.waits_for in _BLOCKERS}
    return SessionSummary(
        session_id=session.session_id,
        state=session.state,
        team=session.team_name,
        created_ms=session.created_ms,
        finished_ms=session.finished_ms,
        tasks_done=sum(task.state == "done" for task in tasks),
        tasks=len(tasks),
        tokens_used=sum(task.tokens_used for task in tasks),
        error=session.error,
        wish=session.wish,
        pause_reason=session.pause_reason,
        set_aside=session.set_aside,
        labels=session.labels,
        waits_for=tuple(sorted(blockers)),
        cost_nano_usd=sum(cost or 0 for cost in costs),
        unpriced_calls=costs.count(None),
    )


def _place(record: SessionRecord | SessionSummary) -> _Place:
    return (-record.created_ms, record.session_id)


def _cursor(row: SessionSummary) -> str:
    """Return the cursor that begins behind a row: a place, so the row itself may vanish."""
    return base64.urlsafe_b64encode(f"{row.created_ms} {row.session_id}".encode()).decode()


def _position(cursor: str) -> _Place:
    try:
        text = base64.b64decode(cursor, altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        text = ""
    found = _CURSOR.fullmatch(text)
    if found is None:
        raise CursorInvalid(cursor)
    return (-int(found[1]), found[2])
