"""Running a session in the foreground: progress, the report at the end, and its exit code."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Final, NoReturn

import pykka

from maestro_runtime.cli._exit import ExitCode
from maestro_runtime.cli._output import say, stdout_reserved
from maestro_runtime.cli._progress import Feed, progress
from maestro_runtime.cli._report import exit_code, print_report
from maestro_runtime.config.tickets import resolve_ticket_settings
from maestro_runtime.daemon import reachable
from maestro_runtime.errors import TeamChanged
from maestro_runtime.log import configure_logs
from maestro_runtime.options import RuntimeOptions
from maestro_runtime.report import SessionReport
from maestro_runtime.runtime import Runtime, open_runtime
from maestro_runtime.session import Session
from maestro_runtime.tickets import configured_sink
from maestro_storage.records import SESSION_FINAL, SessionState

SIGNAL_SECONDS: Final = 0.2
"""Longest delay of Ctrl-C and SIGTERM."""

TICKET_SECONDS: Final = 5.0
"""How long a command waits for the tickets of its session before it leaves them pending."""


class _Terminated(BaseException):
    """SIGTERM arrived; a BaseException so that nothing on the way takes it for an error."""


def run_in_foreground(
    state_dir: Path,
    start: Callable[[Runtime], Session],
    *,
    as_json: bool,
    wanted: SessionState | None = None,
) -> NoReturn:
    """Open the state, run one session to its end, print its report and exit with its code.

    The code is 0 if the session has come to the state that is `wanted`.
    """
    sink = configured_sink(resolve_ticket_settings(os.environ), state_dir)
    redactor = configure_logs(as_json=as_json, secrets=sink.secrets)
    with _terminable():
        session_id = ""
        try:
            options = RuntimeOptions(tickets=sink, redactor=redactor)
            with (
                stdout_reserved(),
                open_runtime(state_dir, options) as runtime,
                reachable(runtime),
            ):
                # Subscribed before the session starts, so that no event of it is missed.
                feed = Feed()
                runtime.subscribe(feed)
                session = start(runtime)
                session_id = session.session_id
                report = _watch(runtime, session, feed, as_json=as_json)
        except TeamChanged:
            say("nothing was run; to go on with a changed team, accept it: --accept-changes")
            raise
        except KeyboardInterrupt:
            _say_resume(session_id, "interrupted")
            sys.exit(ExitCode.INTERRUPTED)
        except _Terminated:
            _say_resume(session_id, "terminated")
            sys.exit(ExitCode.TERMINATED)
    print_report(report, as_json=as_json)
    sys.exit(ExitCode.DONE if report.state == wanted else exit_code(report))


def _watch(runtime: Runtime, session: Session, feed: Feed, *, as_json: bool) -> SessionReport:
    """Show progress until nothing more can run in the session."""
    report = session.report()
    if report.state in SESSION_FINAL:
        say(f"session {session.session_id} has already ended; run --session NAME starts another")
        runtime.settle_tickets(session.session_id, TICKET_SECONDS)
        return session.report()
    if report.state == "paused":
        # It may be about to be cancelled.
        _wait(session)
        return session.report()
    first = next(runtime.store.events.scan(session.session_id, limit=1))
    # Not "has attempts": a new session may have begun some by now.
    verb = "started" if first.epoch == runtime.store.epoch else "resumed"
    say(f"session {session.session_id} {verb}; workspace {report.output_dir}")
    with progress(report, runtime.store.epoch, as_json=as_json) as listener:
        feed.attach(session.session_id, runtime.store.events.scan(session.session_id), listener)
        _wait(session)
        runtime.settle_tickets(session.session_id, TICKET_SECONDS)
    return session.report()


def _wait(session: Session) -> None:
    """Wait for the end, never deaf to a signal for long.

    The kernel may hand a signal to any thread, but Python runs its handler in the main thread,
    which nothing wakes from a lock: it has to look up by itself.
    """
    while True:
        try:
            session.result(SIGNAL_SECONDS)
        except pykka.Timeout:
            continue
        else:
            return


def _say_resume(session_id: str, what: str) -> None:
    if session_id:
        say(f"{what}; to go on: maestro-runtime session resume {session_id}")


@contextmanager
def _terminable() -> Iterator[None]:
    """Turn SIGTERM into an exception of the main thread, so that the state is closed in order."""

    def terminate(_signal: int, _frame: FrameType | None) -> None:
        raise _Terminated

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
