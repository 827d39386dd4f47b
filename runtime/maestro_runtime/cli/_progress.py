"""Progress of a run on stderr: a live tree on a terminal, one line for each change elsewhere."""

import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TextIO

from maestro_runtime.cli._event_line import event_line, event_text
from maestro_runtime.cli._output import can_draw, json_text, printable, say
from maestro_runtime.reports.session import SessionReport
from maestro_storage.records import EventRecord

if TYPE_CHECKING:
    from rich.tree import Tree

Listener = Callable[[EventRecord], None]

IsNew = Callable[[EventRecord], bool]
"""Whether an event is one of this run, or was on record before it."""

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
def progress(report: SessionReport, is_new: IsNew, *, as_json: bool) -> Iterator[Listener]:
    """Show a session as it goes; yields the listener for its events, from the first one on.

    Args:
        report: Names the tasks.
        is_new: Lines are printed only for these events; the tree needs them all.
        as_json: One JSON object for each event, instead of text.
    """
    show = _print_json if as_json else _print_line
    # Not what `sys.stderr` may be by now: foreign words are let through in whole lines only.
    terminal = sys.__stderr__
    if not as_json and terminal is not None and can_draw(terminal):
        with _live(report, is_new, terminal) as listener:
            yield listener
    else:
        yield lambda event: show(event) if is_new(event) else None


def _print_line(event: EventRecord) -> None:
    say(event_text(event))


def _print_json(event: EventRecord) -> None:
    say(json_text(event_line(event)))


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
def _live(report: SessionReport, is_new: IsNew, terminal: TextIO) -> Iterator[Listener]:
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

    console = Console(file=terminal)
    # What personas print comes by stderr already.
    with Live(get_renderable=draw, console=console, refresh_per_second=8, redirect_stdout=False):
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
