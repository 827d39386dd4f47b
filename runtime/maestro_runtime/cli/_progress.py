"""Progress of a run on stderr: a live tree on a terminal, one line for each change elsewhere."""

import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

from maestro_runtime.cli._output import can_draw, instant, json_text, printable, say
from maestro_runtime.report import SessionReport
from maestro_storage.records import EventRecord

if TYPE_CHECKING:
    from rich.tree import Tree

Listener = Callable[[EventRecord], None]

_STYLES = {
    "done": "green",
    "running": "cyan",
    "waiting": "yellow",
    "skipped": "yellow",
    "failed": "red",
    "blocked": "red",
    "cancelled": "yellow",
    "help_needed": "magenta",
    "queued": "dim",
}
_MARKS = {
    "done": "✓",
    "running": "▶",
    "waiting": "…",
    "skipped": "»",
    "failed": "✗",
    "blocked": "✗",
    "cancelled": "✗",
    "help_needed": "?",
    "queued": "·",
}


class EventLine(msgspec.Struct, frozen=True, kw_only=True):
    """One event as JSON on stderr."""

    schema: str
    session_id: str
    sequence: int
    at_ms: int
    kind: str
    task_id: str
    data: dict[str, str | int | float | bool | None]


def event_text(event: EventRecord | EventLine) -> str:  # noqa: C901, PLR0912, PLR0915 - one case a kind
    """Return the line that tells a reader what happened."""
    data = event.data
    place = f"attempt {data.get('attempt')} of round {data.get('round')}"
    match event.kind:
        case "session_started":
            text = _started(data)
        case "attempt_started":
            text = f"{place} started by {data['persona_id']}"
        case "attempt_succeeded":
            text = f"{place} succeeded, {data['tokens']} tokens{_healing(data)}"
        case "attempt_failed" | "attempt_interrupted":
            what = "interrupted" if event.kind == "attempt_interrupted" else data["failure"]
            text = f"{place} failed: {what}"
            if data["evidence"]:
                text += f" ({data['evidence']})"
            if data["delay_ms"] is not None:
                text += f"; next in {float(data['delay_ms'] or 0) / 1000:.1f} s"
            text += _healing(data)
        case "task_waiting":
            text = _wait(event)
        case "task_done":
            text = f"done, quality {float(data['quality_score'] or 0):.2f}"
        case "task_failed" | "task_help_needed":
            what = "failed" if event.kind == "task_failed" else "needs a person"
            text = f"{what}: {data['failure']} ({data['evidence']})"
        case "task_skipped":
            text = "skipped: its contract is not fulfilled, what depends on it goes on"
        case "task_answered":
            by = f" by {data['by']}" if data["by"] else ""
            note = f": {data['note']}" if data["note"] else ""
            text = f"answered{by}: {str(data['answer']).replace('_', ' ')}{note}"
        case "ticket_filed":
            text = f"ticket {data['reference']}"
        case "ticket_delayed" | "alert_delayed":
            what = event.kind.removesuffix("_delayed")
            text = f"{what} not sent ({data['reason']}), is tried again"
        case "budget_alert":
            share = int(data["permille"] or 0) / 10
            text = f"budget {data['budget_id']} has reached {share:g} % of its limit"
        case "task_blocked":
            text = "cannot start: a task before it failed"
        case "phase_finished" | "checkpoint_taken" | "plan_changed":
            text = _progress_text(event.kind, data)
        case "checkpoints_pruned":
            text = f"{data['checkpoints']} checkpoints pruned"
        case "team_changed":
            text = f"goes on with a changed team: {data['summary']}"
        case "engine_changed":
            text = f"engine {data['engine']} of {data['persona_id']} is not what it was before"
        case "breaker_opened" | "breaker_closed" | "breaker_probed":
            text = _breaker(event)
        case "rerun_asked":
            text = f"is to run again from phase {data['from_phase']} once nothing is in flight"
        case "session_rerun":
            text = f"runs again from phase {data['from_phase']}: {data['tasks']} tasks"
        case _:
            state = event.kind.removeprefix("session_").replace("_", " ")
            why = data.get("error") or data.get("reason")
            text = f"{state}: {why}" if why else state
    return f"{instant(event.at_ms)[11:]} {event.task_id or event.session_id}: {printable(text)}"


def _wait(event: EventRecord | EventLine) -> str:
    data = event.data
    if data.get("limit"):
        when = _until(event, "deadline_ms", "at the earliest")
        return f"waits for room at a limit ({data['limit']}){when}"
    if not data.get("breaker"):
        return f"waits for {data['waits_for']}"
    when = _until(event, "deadline_ms", "asks again")
    return f"waits for circuit breaker of {data['breaker']}{when}"


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


def _started(data: dict[str, str | int | float | bool | None]) -> str:
    text = f"started: {data['tasks']} tasks in {data['phases']} phases"
    if "from_session" in data:
        where = f"kept from {data['from_session']}" if data["from_session"] else "given"
        text += f", {data['tasks_kept']} {where}"
    return text


def _progress_text(kind: str, data: dict[str, str | int | float | bool | None]) -> str:
    if kind == "plan_changed":
        return f"runs {data['phases'] or 'everything that is left'}"
    if kind == "checkpoint_taken":
        return f"checkpoint {data['checkpoint']} taken as {data['name']}"
    return f"phase {data['phase']} finished, checkpoint {data['checkpoint']}"


def _healing(data: dict[str, str | int | float | bool | None]) -> str:
    return f"; healing: {data['healing']}" if data.get("healing") else ""


class Feed:
    """Hands the events of one session to a listener, each once, from the first one on.

    It is subscribed before the session starts; what arrives before `attach` is kept.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._early: list[EventRecord] = []
        self._attached: tuple[str, Listener] | None = None
        self._last = 0

    def __call__(self, event: EventRecord) -> None:
        """Take one durable event; called on the thread that made it so."""
        with self._lock:
            if self._attached is None:
                self._early.append(event)
            else:
                self._pass_on(event)

    def attach(self, session_id: str, history: Iterable[EventRecord], listener: Listener) -> None:
        """Pass on `history`, then what came early and is newer, then everything to come."""
        with self._lock:
            self._attached = (session_id, listener)
            for event in [*history, *self._early]:
                self._pass_on(event)
            self._early.clear()

    def _pass_on(self, event: EventRecord) -> None:
        if self._attached is None:
            return
        session_id, listener = self._attached
        if event.session_id == session_id and event.sequence > self._last:
            self._last = event.sequence
            listener(event)


@contextmanager
def progress(
    report: SessionReport, is_new: Callable[[EventRecord], bool], *, as_json: bool
) -> Iterator[Listener]:
    """Show a session as it goes; yields the listener for its events, from the first one on.

    Args:
        report: Names the tasks.
        is_new: Lines are printed only for these events; the tree needs them all.
        as_json: One JSON object for each event, instead of text.
    """
    show = _print_json if as_json else _print_line
    if not as_json and can_draw(sys.stderr):
        with _live(report, is_new) as listener:
            yield listener
    else:
        yield lambda event: show(event) if is_new(event) else None


def _print_line(event: EventRecord) -> None:
    say(event_text(event))


def _print_json(event: EventRecord) -> None:
    say(json_text(event_line(event)))


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


@dataclass(slots=True)
class _Line:
    """What the live tree shows of one task."""

    phase: str
    title: str
    state: str = "queued"
    note: str = ""
    deadline_ms: int | None = None
    tokens: int = 0

    def apply(self, event: EventRecord) -> None:
        """Follow one event of the task."""
        data = event.data
        place = f"attempt {data.get('attempt')} of round {data.get('round')}"
        self.deadline_ms = None
        match event.kind:
            case "attempt_started":
                self.state, self.note = "running", place
            case "attempt_failed" | "attempt_interrupted":
                self.state = "waiting"
                self.note = f"{place}: {data['failure']}"
                self.tokens += int(data["tokens"] or 0)
                if data["delay_ms"] is not None:
                    self.deadline_ms = event.at_ms + int(data["delay_ms"])
            case "attempt_succeeded":
                self.tokens += int(data["tokens"] or 0)
            case "task_waiting":
                self.state, self.note = "waiting", f"for {data['waits_for']}"
                if data["deadline_ms"] is not None:
                    self.deadline_ms = int(data["deadline_ms"])
            case "task_answered" | "task_retried":
                self.state, self.note = "queued", ""
            case kind if kind.startswith("task_"):
                self.state = kind.removeprefix("task_")
                self.note = str(data.get("evidence") or "")
            case _:
                # Tickets and alerts go their own way: where the task stands is not changed.
                pass

    def text(self, now_ms: int) -> str:
        """Return the line as it is shown now."""
        parts = [f"{_MARKS.get(self.state, ' ')} {self.title}", self.state.replace("_", " ")]
        if self.note:
            parts.append(self.note)
        if self.deadline_ms is not None:
            parts.append(f"next in {max(0, self.deadline_ms - now_ms) / 1000:.0f} s")
        if self.tokens:
            parts.append(f"{self.tokens:,} tokens")
        return printable("  ".join(parts))


_CHANGES: Final = frozenset({"team_changed", "engine_changed"})
"""What the user is to read, though it is about no task of the tree."""


@contextmanager
def _live(report: SessionReport, is_new: Callable[[EventRecord], bool]) -> Iterator[Listener]:
    """Draw the tree a few times a second, whatever the number of events."""
    # rich costs tens of milliseconds at import: only a terminal pays for it.
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    lines = {
        task.task_id: _Line(task.phase, f"{task.contract} ({task.persona_id})")
        for task in report.tasks
    }
    lock = threading.Lock()

    def listener(event: EventRecord) -> None:
        if event.task_id in lines:
            with lock:
                lines[event.task_id].apply(event)
        elif event.kind in _CHANGES and is_new(event):
            console.print(Text(event_text(event)))

    def draw() -> "Tree":
        with lock:
            return _tree(report, list(lines.values()), time.time_ns() // 1_000_000)

    console = Console(stderr=True)
    with Live(get_renderable=draw, console=console, refresh_per_second=8):
        yield listener


def _tree(report: SessionReport, lines: list[_Line], now_ms: int) -> "Tree":
    from rich.text import Text
    from rich.tree import Tree

    tokens = sum(line.tokens for line in lines)
    root = Tree(Text(f"{report.session_id}  {report.team}  {tokens:,} tokens"))
    for phase in dict.fromkeys(line.phase for line in lines):
        members = [line for line in lines if line.phase == phase]
        done = sum(line.state == "done" for line in members)
        branch = root.add(Text(f"{phase}  {done}/{len(members)}", style="bold"))
        for line in members:
            branch.add(Text(line.text(now_ms), style=_STYLES.get(line.state, "")))
    return root
