"""Running a session in the foreground: progress, the report at the end, and its exit code.

Who owns the state runs it, this process if nobody does; what is seen is the same.
"""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Final, NoReturn

import msgspec
import pykka

from maestro_runtime.cli._access import open_owner, open_records
from maestro_runtime.cli._at_rest import AtRest
from maestro_runtime.cli._attending import Attendance
from maestro_runtime.cli._exit import ExitCode
from maestro_runtime.cli._options import state_path
from maestro_runtime.cli._output import print_json, print_lines, say, stdout_reserved
from maestro_runtime.cli._owner import Owner
from maestro_runtime.cli._printed import printed, stderr_cleaned
from maestro_runtime.cli._process import Terminated
from maestro_runtime.cli._progress import Feed, IsNew, Listener, progress
from maestro_runtime.cli._report import exit_code, print_report
from maestro_runtime.cli._sessions import find_session, to_go_on, to_leave_safe_mode, to_type
from maestro_runtime.cli._waiting import TICKET_SECONDS, Deadline, TimedOut
from maestro_runtime.config.tickets import resolve_ticket_settings
from maestro_runtime.daemon import reachable
from maestro_runtime.errors import SafeMode, TeamChanged
from maestro_runtime.garbage import collect_seldom
from maestro_runtime.log import configure_logs
from maestro_runtime.options import RuntimeOptions
from maestro_runtime.reports.session import SessionReport, session_report
from maestro_runtime.runtime import Runtime
from maestro_runtime.session import Session
from maestro_runtime.starting.first_order import require_startable
from maestro_runtime.supervisor import SessionRequest, session_of
from maestro_runtime.tickets import configured_sink
from maestro_runtime.wire.orders import (
    Accepted,
    CancelSession,
    PauseSession,
    RemoveSession,
    StartSession,
)
from maestro_storage import Records, Store
from maestro_storage.errors import NotFound, StateOwned
from maestro_storage.records import SESSION_FINAL, SessionState

SIGNAL_SECONDS: Final = 0.2
"""Longest delay of Ctrl-C and SIGTERM."""

_STARTED: Final = "started"

OrderOf = Callable[[Records], SessionRequest]
"""Makes the order when it is known what is on record."""


def run_session(
    state_dir: str | None,
    order_of: OrderOf | StartSession,
    *,
    as_json: bool,
    wanted: SessionState | None = None,
    timeout_seconds: float | None = None,
) -> NoReturn:
    """Have a session run or stop, print its report at its end, and exit with its code.

    Args:
        state_dir: As the flag says it, if it was given.
        order_of: What is ordered. A start makes the state if there is none.
        as_json: JSON on stdout, and for each event on stderr.
        wanted: State of the session that is code 0.
        timeout_seconds: How long it is waited for; None: for ever.
    """
    with _interruptible() as reached:
        report = _brought_to_end(
            state_dir, order_of, reached, Deadline(timeout_seconds), as_json=as_json
        )
    print_report(report, as_json=as_json)
    sys.exit(ExitCode.DONE if report.state == wanted else exit_code(report))


def bring_to_end(state_dir: str | None, order: SessionRequest) -> SessionReport | None:
    """Have a session come to its end; return where it stands then, None if it is removed."""
    with _interruptible() as reached:
        try:
            return _brought_to_end(
                state_dir, lambda _: order, reached, Deadline(None), as_json=False
            )
        except NotFound:
            return None


def watch_session(state_dir: str | None, given: str, *, as_json: bool) -> NoReturn:
    """Show a session that another process runs to its end, its report, and exit with its code.

    One that nobody runs is shown as it is.
    """
    with _interruptible() as reached, open_owner(state_dir) as owner:
        if owner is None:
            with open_records(state_dir) as records:
                report = session_report(records, find_session(records, given))
        else:
            records = owner.records
            session_id = find_session(records, given)
            report = session_report(records, session_id)
            if not _rests(owner, report):
                accepted = Accepted(session_id=session_id, rests=False)
                reached.session_id, reached.owner_pid = session_id, owner.pid
                attendance = Attendance(state_path(state_dir), owner, accepted)
                report = attendance.to_the_end(
                    _STARTED, known=0, as_json=as_json, deadline=Deadline(None)
                )
    if report.state == "running":
        say(f"no process runs it; {to_go_on(report.session_id)}")
    print_report(report, as_json=as_json)
    sys.exit(exit_code(report))


def _rests(owner: Owner, report: SessionReport) -> bool:
    """Whether nothing happens in a session; a daemon runs all that has not come to rest."""
    return not owner.runs(report.session_id) and (report.state != "running" or not owner.hosts)


def detached(state_dir: str | None, start: StartSession, *, as_json: bool) -> None:
    """Have a daemon run a session, print its id, and leave it alone."""
    path = state_path(state_dir)
    with _interruptible(), open_owner(state_dir) as owner:
        if owner is None:
            say(
                f"error: no daemon has the state directory {path}; "
                f"to start one: maestro-runtime serve --state-dir {path}"
            )
            sys.exit(ExitCode.CANNOT_START)
        session_id = owner.carry_out(_for_owner(owner, start)).session_id
    if as_json:
        print_json({"schema": "maestro.detached/1", "session_id": session_id})
    else:
        print_lines([session_id])
    say(f"detached; to come back: {to_type(f'session watch {session_id}')}")


class _Reached:
    """What a command that is cut short can say."""

    def __init__(self) -> None:
        self.session_id = ""
        self.owner_pid = 0
        """Whose process runs the session; 0: this one."""

    def say(self, what: str) -> None:
        """Say how to come back."""
        if not self.session_id:
            return
        if self.owner_pid:
            back = to_type(f"session watch {self.session_id}")
            goes_on = f"session {self.session_id} goes on in process {self.owner_pid}"
            say(f"{what}; detached: {goes_on}; to come back: {back}")
        else:
            say(f"{what}; {to_go_on(self.session_id)}")


@contextmanager
def _interruptible() -> Iterator[_Reached]:
    """End with the code of what cuts the wait short; a session of another process goes on."""
    reached = _Reached()
    try:
        yield reached
    except TeamChanged as changed:
        how = "to go on with a changed team, accept it: --accept-changes"
        say(f"nothing was run; {'run --session NAME starts another' if changed.ended_as else how}")
        raise
    except SafeMode:
        say(to_leave_safe_mode())
        raise
    except TimedOut:
        reached.say("it takes longer")
        sys.exit(ExitCode.TIMED_OUT)
    except KeyboardInterrupt:
        reached.say("interrupted")
        sys.exit(ExitCode.INTERRUPTED)
    except Terminated:
        reached.say("terminated")
        sys.exit(ExitCode.TERMINATED)


def _brought_to_end(
    state_dir: str | None,
    order_of: OrderOf | StartSession,
    reached: _Reached,
    deadline: Deadline,
    *,
    as_json: bool,
) -> SessionReport:
    attended = partial(_attended, state_dir, order_of, reached, deadline, as_json=as_json)
    alone = partial(_run_alone, state_path(state_dir), order_of, reached, deadline, as_json=as_json)
    report = attended()
    if report is None:
        try:
            return alone()
        except StateOwned:
            if reached.session_id:
                raise
            # By somebody who came in between: whoever that is answers, or leaves, soon.
            report = attended() or alone()
    return report


def _attended(
    state_dir: str | None,
    order_of: OrderOf | StartSession,
    reached: _Reached,
    deadline: Deadline,
    *,
    as_json: bool,
) -> SessionReport | None:
    """Have the owner of the state carry out the order; None: it has none."""
    with open_owner(state_dir) as owner:
        if owner is None:
            return None
        order = order_of if isinstance(order_of, StartSession) else order_of(owner.records)
        known = _known_events(owner, order)
        accepted = owner.carry_out(_for_owner(owner, order))
        reached.session_id, reached.owner_pid = accepted.session_id, owner.pid
        if accepted.session_id != order.session_id:
            # Another one was looked at: that of a fork, and one that a key names, begin there.
            known = 0
        attendance = Attendance(state_path(state_dir), owner, accepted)
        opening = _opening(order, is_new=not known)
        return attendance.to_the_end(opening, known=known, as_json=as_json, deadline=deadline)


def _run_alone(
    path: Path,
    order_of: OrderOf | StartSession,
    reached: _Reached,
    deadline: Deadline,
    *,
    as_json: bool,
) -> SessionReport:
    """Carry out the order in a state that nobody owns.

    Raises:
        StateOwned: Somebody does by now.
    """
    if isinstance(order_of, StartSession):
        return _run_here(path, order_of, reached, deadline, as_json=as_json)
    # Looked at first: a directory without a state is not made one.
    with AtRest(path) as desk:
        order = order_of(desk.records)
    return _run_here(path, order, reached, deadline, as_json=as_json)


def _opening(order: SessionRequest, *, is_new: bool) -> str:
    """Return what is said of a session at first, before its events."""
    match order:
        case PauseSession():
            return "is to pause"
        case CancelSession() | RemoveSession():
            return "is to be cancelled"
        case _:
            return _STARTED if is_new else "resumed"


def _known_events(owner: Owner, order: SessionRequest) -> int:
    """Return how many events of an order's session are on record before it is given."""
    if order.session_id is None:
        return 0
    record = owner.records.sessions.get(order.session_id)
    if record is None:
        return 0
    return sum(1 for _ in owner.records.events.scan(order.session_id))


def _for_owner(owner: Owner, order: SessionRequest) -> SessionRequest:
    """Return an order as its receiver can take it: a foreground run is only attached to."""
    if isinstance(order, StartSession) and not owner.hosts:
        return msgspec.structs.replace(order, attach=True)
    return order


def _run_here(
    state_dir: Path, order: SessionRequest, reached: _Reached, deadline: Deadline, *, as_json: bool
) -> SessionReport:
    """Open the state and run one session to its end."""
    collect_seldom()
    sink = configured_sink(resolve_ticket_settings(os.environ), state_dir)
    redactor = configure_logs(as_json=as_json, secrets=sink.secrets)
    options = RuntimeOptions(tickets=sink, redactor=redactor)

    def show(line: str) -> None:
        say(redactor.clean(line))

    @contextmanager
    def shown(report: SessionReport, is_new: IsNew) -> Iterator[Listener]:
        # A tree on a terminal takes stderr for itself: what functions write comes out above it.
        with progress(report, is_new, as_json=as_json) as listener, stderr_cleaned(redactor):
            yield listener

    if isinstance(order, StartSession) and not Store.exists(state_dir):
        with stdout_reserved(), printed(show, redactor):
            require_startable(order, options)
    with (
        stdout_reserved(),
        printed(show, redactor),
        Runtime(state_dir, options) as runtime,
        reachable(runtime),
    ):
        # Subscribed before the session starts, so that no event of it is missed.
        feed = Feed()
        runtime.subscribe(feed)
        session = session_of(runtime, order)
        reached.session_id = session.session_id
        return _watch(runtime, session, feed, order, deadline, shown)


def _watch(
    runtime: Runtime,
    session: Session,
    feed: Feed,
    order: SessionRequest,
    deadline: Deadline,
    shown: Callable[[SessionReport, IsNew], AbstractContextManager[Listener]],
) -> SessionReport:
    """Show progress until nothing more can run in the session."""
    report = session.report()
    if report.state in SESSION_FINAL:
        say(f"session {session.session_id} has already ended; run --session NAME starts another")
        runtime.settle_tickets(session.session_id, TICKET_SECONDS)
        return session.report()
    if report.state == "paused":
        # It may be about to be cancelled.
        _wait(session, deadline)
        return session.report()
    epoch = runtime.store.epoch
    first = next(runtime.store.events.scan(session.session_id, limit=1))
    # Not "has attempts": a new session may have begun some by now.
    opening = _opening(order, is_new=first.epoch == epoch)
    say(f"session {session.session_id} {opening}; workspace {report.output_dir}")
    with shown(report, lambda event: event.epoch == epoch) as listener:
        feed.attach(session.session_id, runtime.store.events.scan(session.session_id), listener)
        _wait(session, deadline)
        runtime.settle_tickets(session.session_id, TICKET_SECONDS)
    return session.report()


def _wait(session: Session, deadline: Deadline) -> None:
    """Wait for the end, never deaf to a signal for long.

    The kernel may hand a signal to any thread, but Python runs its handler in the main thread,
    which nothing wakes from a lock: it has to look up by itself.
    """
    while True:
        try:
            session.result(SIGNAL_SECONDS)
        except pykka.Timeout:
            deadline.check()
        else:
            return
