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

from maestro_runtime.cli._exit import ExitCode
from maestro_runtime.cli._output import print_table, printable, say
from maestro_runtime.cli._progress import EventLine, event_text
from maestro_runtime.report import SessionReport, session_report
from maestro_storage import Store

SESSION: Final = "demo"


@click.command("demo")
@click.option(
    "--keep",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Keep state and artifacts in DIR, which must be empty (default: a temporary directory).",
)
def command(keep: Path | None) -> None:
    """Run the todo-api team offline, kill it in the middle of a phase, resume it, and report.

    Needs no account, no network and no configuration; takes about ten seconds.
    """
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="maestro-demo-") as directory:
            sys.exit(_demo(Path(directory)))
    if keep.exists() and any(keep.iterdir()):
        raise click.UsageError(f"--keep must name an empty directory, got {str(keep)!r}")
    sys.exit(_demo(keep))


def _demo(directory: Path) -> ExitCode:
    state_dir = directory / "state"
    argv = [
        *(sys.executable, "-m", "maestro_runtime", "run", str(_team_file())),
        *("--state-dir", str(state_dir), "--output", str(directory / "output")),
        *("--session", SESSION, "--json"),
    ]
    say("$ maestro-runtime run examples/todo-api/team.toml")
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
    say(f"in flight: {', '.join(cut_short)}\n\n$ maestro-runtime run examples/todo-api/team.toml")
    code, output = _run(argv, None)
    if code != ExitCode.DONE:
        say(f"the resumed run ended with exit code {code}")
        return ExitCode.NOT_FULFILLED
    return _compare(before, msgspec.json.decode(output, type=SessionReport))


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
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:  # noqa: S603 - our own program
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


def _compare(before: SessionReport, after: SessionReport) -> ExitCode:
    """Print what the resumed run kept and what it repeated; fail if a finished task ran again."""
    old = {task.task_id: task for task in before.tasks}
    rows, rerun = [], []
    for task in after.tasks:
        was = old[task.task_id]
        interrupted = sum(attempt.state == "interrupted" for attempt in task.attempts)
        if was.state == "done":
            fate = "kept"
            if was.attempts != task.attempts:
                fate = "RUN AGAIN"
                rerun.append(task.task_id)
        elif interrupted:
            fate = "repeated: its call was in flight"
        else:
            fate = "continued" if was.attempts else "run after the resume"
        attempts = f"{len(task.attempts)}" + (f" ({interrupted} cut short)" if interrupted else "")
        rows.append((task.phase, task.task_id, task.state, fate, attempts, task.tokens_used))
    say("")
    print_table(("PHASE", "CONTRACT", "STATE", "AFTER THE KILL", "ATTEMPTS", "TOKENS"), rows)
    kept = sum(task.tokens_used for task in before.tasks)
    lost = sum(
        attempt.tokens
        for task in after.tasks
        for attempt in task.attempts
        if attempt.state == "interrupted"
    )
    say(
        f"\n{sum(row[3] == 'kept' for row in rows)} finished tasks kept, {len(rerun)} run again; "
        f"tokens: {after.tokens_used} in all, {kept} kept from before the kill, "
        f"{lost} booked for the calls it cut short"
    )
    return ExitCode.NOT_FULFILLED if rerun else ExitCode.DONE


def _team_file() -> Path:
    """Return the team of the demo: packaged with the runtime, or in the source tree."""
    packaged = Path(__file__).with_name("todo-api.toml")
    if packaged.exists():
        return packaged
    return Path(__file__).parents[3] / "examples" / "todo-api" / "team.toml"
