"""An event as one line: of text for a reader, or of JSON for a program."""

from collections.abc import Callable
from typing import Final

import msgspec

from maestro_runtime.cli._output import instant, printable
from maestro_storage.records import EventRecord

Data = dict[str, str | int | float | bool | None]


class EventLine(msgspec.Struct, frozen=True, kw_only=True):
    """One event as JSON on stderr."""

    schema: str
    session_id: str
    sequence: int
    at_ms: int
    kind: str
    task_id: str
    data: Data


def event_line(event: EventRecord) -> EventLine:
    """Return an event as it is printed."""
    return EventLine(
        schema="maestro.event/1",
        session_id=event.session_id,
        sequence=event.sequence,
        at_ms=event.at_ms,
        kind=event.kind,
        task_id=event.task_id,
        data=event.data,
    )


def event_text(event: EventRecord | EventLine) -> str:
    """Return the line that tells a reader what happened."""
    text = _TEXTS.get(event.kind, _state)(event)
    return f"{instant(event.at_ms)[11:]} {event.task_id or event.session_id}: {printable(text)}"


def _state(event: EventRecord | EventLine) -> str:
    """Return what is said of a session that comes into a state, and of kinds not known here."""
    state = event.kind.removeprefix("session_").replace("_", " ")
    why = event.data.get("error") or event.data.get("reason")
    return f"{state}: {why}" if why else state


def _started(event: EventRecord | EventLine) -> str:
    data = event.data
    text = f"started: {data['tasks']} tasks in {data['phases']} phases"
    if "from_session" in data:
        where = f"kept from {data['from_session']}" if data["from_session"] else "given"
        text += f", {data['tasks_kept']} {where}"
    return text


def _rerun(event: EventRecord | EventLine) -> str:
    return f"runs again from phase {event.data['from_phase']}: {event.data['tasks']} tasks"


def _rerun_asked(event: EventRecord | EventLine) -> str:
    return f"is to run again from phase {event.data['from_phase']} once nothing is in flight"


def _plan_changed(event: EventRecord | EventLine) -> str:
    return f"runs {event.data['phases'] or 'everything that is left'}"


def _phase_finished(event: EventRecord | EventLine) -> str:
    return f"phase {event.data['phase']} finished, checkpoint {event.data['checkpoint']}"


def _checkpoint_taken(event: EventRecord | EventLine) -> str:
    return f"checkpoint {event.data['checkpoint']} taken as {event.data['name']}"


def _pruned(event: EventRecord | EventLine) -> str:
    return f"{event.data['checkpoints']} checkpoints pruned"


def _team_changed(event: EventRecord | EventLine) -> str:
    return f"goes on with a changed team: {event.data['summary']}"


def _engine_changed(event: EventRecord | EventLine) -> str:
    data = event.data
    return f"engine {data['engine']} of {data['persona_id']} is not what it was before"


def _stuck(event: EventRecord | EventLine) -> str:
    return str(event.data["reason"])


def _coordinator_failed(event: EventRecord | EventLine) -> str:
    data = event.data
    return f"its coordinator has failed, time {data['failures']} without progress: {data['error']}"


def _attempt_started(event: EventRecord | EventLine) -> str:
    return f"{_place(event.data)} started by {event.data['persona_id']}"


def _attempt_succeeded(event: EventRecord | EventLine) -> str:
    data = event.data
    return f"{_place(data)} succeeded, {data['tokens']} tokens{_healing(data)}"


def _attempt_failed(event: EventRecord | EventLine) -> str:
    data = event.data
    what = "interrupted" if event.kind == "attempt_interrupted" else data["failure"]
    text = f"{_place(data)} failed: {what}"
    if data["evidence"]:
        text += f" ({data['evidence']})"
    if data["delay_ms"] is not None:
        text += f"; next in {float(data['delay_ms'] or 0) / 1000:.1f} s"
    return text + _healing(data)


def _place(data: Data) -> str:
    return f"attempt {data.get('attempt')} of round {data.get('round')}"


def _healing(data: Data) -> str:
    return f"; healing: {data['healing']}" if data.get("healing") else ""


def _waiting(event: EventRecord | EventLine) -> str:
    data = event.data
    if data.get("limit"):
        when = _until(event, "deadline_ms", "at the earliest")
        return f"waits for room at a limit ({data['limit']}){when}"
    if data["waits_for"] == "deadline":
        when = _until(event, "deadline_ms", "goes on")
        return f"waits anew, because the wall clock was set back{when}"
    if not data.get("breaker"):
        return f"waits for {data['waits_for']}"
    when = _until(event, "deadline_ms", "asks again")
    return f"waits for circuit breaker of {data['breaker']}{when}"


def _done(event: EventRecord | EventLine) -> str:
    return f"done, quality {float(event.data['quality_score'] or 0):.2f}"


def _failed(event: EventRecord | EventLine) -> str:
    what = "failed" if event.kind == "task_failed" else "needs a person"
    return f"{what}: {event.data['failure']} ({event.data['evidence']})"


def _skipped(_event: EventRecord | EventLine) -> str:
    return "skipped: its contract is not fulfilled, what depends on it goes on"


def _blocked(_event: EventRecord | EventLine) -> str:
    return "cannot start: a task before it failed"


def _answered(event: EventRecord | EventLine) -> str:
    data = event.data
    by = f" by {data['by']}" if data["by"] else ""
    note = f": {data['note']}" if data["note"] else ""
    return f"answered{by}: {str(data['answer']).replace('_', ' ')}{note}"


def _filed(event: EventRecord | EventLine) -> str:
    return f"ticket {event.data['reference']}"


def _delayed(event: EventRecord | EventLine) -> str:
    what = event.kind.removesuffix("_delayed")
    return f"{what} not sent ({event.data['reason']}), is tried again"


def _alert(event: EventRecord | EventLine) -> str:
    share = int(event.data["permille"] or 0) / 10
    return f"budget {event.data['budget_id']} has reached {share:g} % of its limit"


def _breaker(event: EventRecord | EventLine) -> str:
    data = event.data
    change = event.kind.removeprefix("breaker_")
    by = f" by {data['by']}" if data.get("by") else ""
    probe = _until(event, "retry_at_ms", "next probe") if change == "opened" else ""
    return f"circuit breaker of {data['engine']} {change}{by}{probe}"


def _until(event: EventRecord | EventLine, key: str, what: str) -> str:
    """Return when something follows that the event names an instant for."""
    if event.data.get(key) is None:
        return ""
    return f"; {what} in {max(0, int(event.data[key] or 0) - event.at_ms) / 1000:.1f} s"


_TEXTS: Final[dict[str, Callable[[EventRecord | EventLine], str]]] = {
    "session_started": _started,
    "session_rerun": _rerun,
    "rerun_asked": _rerun_asked,
    "plan_changed": _plan_changed,
    "phase_finished": _phase_finished,
    "checkpoint_taken": _checkpoint_taken,
    "checkpoints_pruned": _pruned,
    "team_changed": _team_changed,
    "engine_changed": _engine_changed,
    "session_stuck": _stuck,
    "coordinator_failed": _coordinator_failed,
    "attempt_started": _attempt_started,
    "attempt_succeeded": _attempt_succeeded,
    "attempt_failed": _attempt_failed,
    "attempt_interrupted": _attempt_failed,
    "task_waiting": _waiting,
    "task_done": _done,
    "task_failed": _failed,
    "task_help_needed": _failed,
    "task_skipped": _skipped,
    "task_blocked": _blocked,
    "task_answered": _answered,
    "ticket_filed": _filed,
    "ticket_delayed": _delayed,
    "alert_delayed": _delayed,
    "budget_alert": _alert,
    "breaker_opened": _breaker,
    "breaker_closed": _breaker,
    "breaker_probed": _breaker,
}
"""What each kind of event says."""

KINDS: Final = frozenset(_TEXTS) | {
    "alert_sent",
    "budget_topped_up",
    "call_corrected",
    "call_cut",
    "cancel_asked",
    "pause_asked",
    "session_admitted",
    "session_cancelled",
    "session_done",
    "session_failed",
    "session_help_needed",
    "session_paused",
    "session_queued",
    "session_resumed",
    "task_cancelled",
    "task_retried",
}
"""All kinds of events; those without a text say what they are called."""

FAMILIES: Final = frozenset(kind.partition("_")[0] for kind in KINDS)
"""What kinds begin with."""


def is_of(kind: str, family: str) -> bool:
    """Whether a kind is another one, or begins with its words."""
    return f"{kind}_".startswith(f"{family}_")
