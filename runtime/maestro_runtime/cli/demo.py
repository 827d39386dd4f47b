"""`maestro-runtime demo`: a team is run, killed in the middle of a phase, and resumed."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Final

import click
import msgspec

from maestro_runtime.cli._event_line import EventLine, event_text
from maestro_runtime.cli._exit import ExitCode
from maestro_runtime.cli._options import json_option
from maestro_runtime.cli._output import print_json, print_table, printable, say
from maestro_runtime.reports.session import SessionReport, TaskReport, session_report
from maestro_storage import Store

SESSION: Final = "demo"
SHOWN_COMMAND: Final = "$ maestro-runtime run examples/todo-api/team.toml"

KEPT: Final = "kept"
RUN_AGAIN: Final = "RUN AGAIN"


class Fate(msgspec.Struct, frozen=True, kw_only=True):
    """What the kill and the resume did to one task."""

    phase: str
    task_id: str
    state: str
    fate: str
    attempts: int
    interrupted: int
    """Attempts that the kill cut short."""
    tokens_used: int


@click.command("demo", epilog="Example: maestro-runtime demo --keep ./demo")
@click.option(
    "--keep",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Keep state and artifacts in DIR, which must be empty (default: a temporary directory).",
)
@json_option
def command(keep: Path | None, *, as_json: bool) -> None:
    """Run the todo-api team offline, kill it in the middle of a phase, resume it, and report.

    Needs no account, no network and no configuration; takes about ten seconds.
    """
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="maestro-demo-") as directory:
            sys.exit(_demo(Path(directory), _team_file(), as_json=as_json))
    if keep.exists() and any(keep.iterdir()):
        raise click.UsageError(f"--keep must name an empty directory, got {str(keep)!r}")
    sys.exit(_demo(keep, _team_file(), as_json=as_json))


def _demo(directory: Path, team_file: Path, *, as_json: bool) -> ExitCode:
    state_dir = directory / "state"
    argv = [
        *(sys.executable, "-m", "maestro_runtime", "run", str(team_file)),
        *("--state-dir", str(state_dir), "--output", str(directory / "output")),
        *("--session", SESSION, "--json"),
    ]
    say(SHOWN_COMMAND)
    victim = _Killer()
    code, _ = _run(argv, victim)
    if code != -signal.SIGKILL:
        say(f"the run was to be killed, but ended with exit code {code}")
        return ExitCode.NOT_FULFILLED
    with Store.inspect(state_dir) as store:
        before = session_report(store, SESSION)
    done = {task.task_id for task in before.tasks if task.state == "done"}
    cut_short = [task.task_id for task in before.tasks if task.state == "running"]
    say(f"\nkill -9: process {victim.pid} is gone, in the middle of a phase")
    say(f"durable: {len(done)} of {len(before.tasks)} tasks done, {before.tokens_used} tokens")
    say(f"in flight: {', '.join(cut_short) or 'nothing'}\n\n{SHOWN_COMMAND}")
    code, output = _run(argv, None)
    if code != ExitCode.DONE:
        say(f"the resumed run ended with exit code {code}")
        return ExitCode.NOT_FULFILLED
    after = msgspec.json.decode(output, type=SessionReport)
    fates = _fates(before, after)
    if as_json:
        print_json({"schema": "maestro.demo/1", "tasks": fates})
    else:
        _print_fates(before, after, fates)
    rerun = any(fate.fate == RUN_AGAIN for fate in fates)
    return ExitCode.NOT_FULFILLED if rerun else ExitCode.DONE


class _Killer:
    """Sends SIGKILL in the middle of the phase after `AFTER`: a task done, another in flight."""

    AFTER: Final = "design"

    def __init__(self) -> None:
        self.pid = 0
        self._armed = False
        self._done = 0
        self._running: set[str] = set()

    def __call__(self, pid: int, event: EventLine) -> None:
        """Follow one event of the run, which is process `pid`."""
        if event.kind == "phase_finished":
            self._armed = event.data["phase"] == self.AFTER
        elif event.kind == "attempt_started":
            self._running.add(event.task_id)
        elif event.kind == "task_done":
            self._running.discard(event.task_id)
            self._done += self._armed
        if self._done and self._running and not self.pid:
            self.pid = pid
            os.kill(pid, signal.SIGKILL)


def _run(argv: list[str], on_event: Callable[[int, EventLine], None] | None) -> tuple[int, bytes]:
    """Run a child to its end, passing its events on; return its exit code and its stdout."""
    # The same whatever is configured on this machine.
    plain = {name: value for name, value in os.environ.items() if not name.startswith("MAESTRO_")}
    with subprocess.Popen(  # noqa: S603 - our own program
        argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=plain
    ) as child:
        for line in _lines(child.stderr):
            if not line.startswith(b"{"):
                say(printable(line.decode(errors="replace").rstrip()))
                continue
            event = msgspec.json.decode(line, type=EventLine)
            say(event_text(event))
            if on_event is not None:
                on_event(child.pid, event)
        output = b"" if child.stdout is None else child.stdout.read()
    return child.returncode, output


def _lines(stream: IO[bytes] | None) -> Iterator[bytes]:
    """Yield whole lines; what a killed process left of its last one is dropped."""
    for line in stream or ():
        if line.endswith(b"\n"):
            yield line


def _fates(before: SessionReport, after: SessionReport) -> list[Fate]:
    """Compare each task with what it was when the process was killed."""
    old = {task.task_id: task for task in before.tasks}
    return [
        Fate(
            phase=task.phase,
            task_id=task.task_id,
            state=task.state,
            fate=_fate(old[task.task_id], task),
            attempts=len(task.attempts),
            interrupted=sum(attempt.state == "interrupted" for attempt in task.attempts),
            tokens_used=task.tokens_used,
        )
        for task in after.tasks
    ]


def _fate(was: TaskReport, now: TaskReport) -> str:
    if was.state == "done":
        return KEPT if was.attempts == now.attempts else RUN_AGAIN
    if any(attempt.state == "interrupted" for attempt in now.attempts):
        return "repeated: its call was in flight"
    return "continued" if was.attempts else "run after the resume"


def _print_fates(before: SessionReport, after: SessionReport, fates: list[Fate]) -> None:
    say("")
    print_table(
        ("PHASE", "CONTRACT", "STATE", "AFTER THE KILL", "ATTEMPTS", "TOKENS"),
        [
            (
                fate.phase,
                fate.task_id,
                fate.state,
                fate.fate,
                f"{fate.attempts}"
                + (f" ({fate.interrupted} cut short)" if fate.interrupted else ""),
                fate.tokens_used,
            )
            for fate in fates
        ],
    )
    lost = sum(
        attempt.tokens
        for task in after.tasks
        for attempt in task.attempts
        if attempt.state == "interrupted"
    )
    say(
        f"\n{sum(fate.fate == KEPT for fate in fates)} finished tasks kept, "
        f"{sum(fate.fate == RUN_AGAIN for fate in fates)} run again; "
        f"tokens: {after.tokens_used} in all, {before.tokens_used} kept from before the kill, "
        f"{lost} booked for the calls it cut short"
    )


def _team_file() -> Path:
    """Return the team of the demo: packaged with the runtime, or in the source tree."""
    packaged = Path(__file__).with_name("todo-api.toml")
    if packaged.exists():
        return packaged
    return Path(__file__).parents[3] / "examples" / "todo-api" / "team.toml"
