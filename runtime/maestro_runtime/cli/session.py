"""`maestro-runtime session`: list, show, result, resume; the other verbs have their own modules."""

import os
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from maestro_runtime.cli import (
    _session_checkpoint,
    _session_fork,
    _session_list,
    _session_logs,
    _session_verbs,
    _session_watch,
)
from maestro_runtime.cli._access import open_records, open_state
from maestro_runtime.cli._options import (
    accept_changes_option,
    json_option,
    state_dir_option,
    stop_options,
    timeout_option,
)
from maestro_runtime.cli._output import instant, print_table, printable, say
from maestro_runtime.cli._owner import Owner
from maestro_runtime.cli._sessions import find_session, to_go_on

if TYPE_CHECKING:
    from maestro_runtime.reports.session import SessionReport
    from maestro_runtime.wire.orders import ResumeSession
    from maestro_storage import Records, StateView

_ALARMS: Final = frozenset(("session_stuck", "coordinator_failed"))

SENTENCE_CHARACTERS: Final = 200
"""Longest sentence of evidence in a table."""


@click.group("session", epilog="Example: maestro-runtime session list")
def command() -> None:
    """List, show, resume, fork, pause, cancel, retry, rerun and remove sessions.

    SESSION is an id, the beginning of one, or @last.
    """


@command.command("show", epilog="Example: maestro-runtime session show @last")
@click.argument("session_id", metavar="SESSION")
@state_dir_option
@json_option
def show(session_id: str, state_dir: str | None, **options: Any) -> None:
    """Show the tasks of a session and what each waits for."""
    from maestro_runtime.cli._event_line import event_text
    from maestro_runtime.cli._report import print_report
    from maestro_runtime.reports.session import session_report

    with open_state(state_dir) as state:
        store = state.records if isinstance(state, Owner) else state
        report = session_report(store, find_session(store, session_id))
        history = store.events.scan(report.session_id)
        alarms = [event for event in history if event.kind in _ALARMS]
        idle = "" if report.state not in ("queued", "running") else _idle(state, report)
    print_report(report, as_json=options["as_json"])
    if options["as_json"]:
        return
    if idle:
        say(printable(f"{idle}; {to_go_on(report.session_id)}"))
    for alarm in alarms:
        say(f"{instant(alarm.at_ms)[:11]}{event_text(alarm)}")
    _print_attempts(report)
    _print_reasons(report)
    if report.labels:
        print_table(("LABEL", "VALUE"), list(report.labels.items()))
    if any(task.checks for task in report.tasks):
        _print_checks(report)


def _idle(state: "StateView | Owner", report: "SessionReport") -> str:
    """Say why a session that could go on does not; empty if it does."""
    if isinstance(state, Owner):
        left = None if state.in_safe_mode else state.why_left(report.session_id)
        return "" if left is None else f"nobody goes on with it: {left}"
    # Looking took the ownership, so nobody else has it.
    wish = "" if report.wish == "run" else f", and it is to {report.wish}"
    return f"no process runs it{wish}"


def _print_attempts(report: "SessionReport") -> None:
    headers = ["CONTRACT", "ROUND", "ATTEMPT", "STATE", "FAILURE", "TOKENS"]
    headers += ["DELAY", "STARTED", "CALL"]
    with_saved = any(task.tokens_saved for task in report.tasks)
    if with_saved:
        headers.append("SAVED")
    print_table(
        headers,
        [
            (
                task.task_id,
                attempt.round,
                attempt.attempt,
                attempt.state,
                attempt.failure or "-",
                attempt.tokens,
                "-" if attempt.delay_seconds is None else f"{attempt.delay_seconds:.1f} s",
                instant(attempt.started_ms),
                attempt.call_id[:8],
                *([attempt.tokens_saved] if with_saved else []),
            )
            for task in report.tasks
            for attempt in task.attempts
        ],
        empty="no attempts yet",
    )


def _print_checks(report: "SessionReport") -> None:
    print_table(
        ("CONTRACT", "CHECK", "VERDICT", "SCORE", "EXPECTED", "GOT"),
        [
            (
                task.task_id,
                check.name,
                f"{check.verdict} (kept)" if check.reused else check.verdict,
                f"{check.score:.2f}",
                _shortened(check.expected),
                _shortened(check.got),
            )
            for task in report.tasks
            for check in task.checks
        ],
    )


def _print_reasons(report: "SessionReport") -> None:
    """Print why attempts failed, as far as a task has ended for it, and what healing did."""
    rows = [
        (task.task_id, attempt.round, attempt.attempt, what, _shortened(text, SENTENCE_CHARACTERS))
        for task in report.tasks
        for attempt in task.attempts
        for what, texts in (
            ("evidence", attempt.evidence if task.state in ("failed", "help_needed") else ()),
            ("healing", attempt.healing),
        )
        for text in texts
    ]
    if rows:
        print_table(("CONTRACT", "ROUND", "ATTEMPT", "WHAT", "TEXT"), rows)


def _shortened(text: str, width: int = 60) -> str:
    """Return what fits beside other columns; --json has the whole."""
    return textwrap.shorten(text, width, placeholder=" ...")


@command.command("result", epilog="Example: maestro-runtime session result todo-api --json")
@click.argument("session_id", metavar="SESSION")
@state_dir_option
@json_option
def result(session_id: str, state_dir: str | None, **options: Any) -> None:
    """Print what a session delivered, with the exit code of its run."""
    from maestro_runtime.cli._report import exit_code, print_report
    from maestro_runtime.reports.session import session_report

    with open_records(state_dir) as store:
        report = session_report(store, find_session(store, session_id))
    if options["as_json"]:
        print_report(report, as_json=True)
    else:
        print_table(
            ("CONTRACT", "FILE", "BYTES", "SHA-256"),
            [
                (task.task_id, artifact.path, artifact.size_bytes, artifact.sha256[:12])
                for task in report.tasks
                for artifact in task.artifacts
            ],
            empty="no artifacts yet",
        )
    sys.exit(exit_code(report))


@command.command("resume", epilog="Example: maestro-runtime session resume @last")
@click.argument("session_id", metavar="SESSION")
@click.option(
    "--team",
    "team_file",
    metavar="TEAM.toml",
    type=click.Path(path_type=Path),
    help="Go on with this team; what is different is shown.",
)
@accept_changes_option
@stop_options
@timeout_option
@state_dir_option
@json_option
def resume(
    session_id: str,
    team_file: Path | None,
    only: str | None,
    until: str | None,
    state_dir: str | None,
    *,
    accept_changes: bool,
    **options: Any,
) -> None:
    """Go on with a session: team and directories are in its records.

    One that has come to a stop goes on to the next one of its plan, or to its end.
    """
    from maestro_runtime.cli._plan import plan_from
    from maestro_runtime.cli._session_run import run_session
    from maestro_runtime.config import Flags, load_team, resolve_settings
    from maestro_runtime.recorded import recorded_team
    from maestro_runtime.wire.orders import ResumeSession

    settings = resolve_settings(Flags(state_dir=state_dir), os.environ)
    team = None if team_file is None else load_team(team_file, settings=settings).team

    def order_of(records: "Records") -> "ResumeSession":
        record = records.require_session(find_session(records, session_id))
        known = team or recorded_team(records, record)
        return ResumeSession(
            session_id=record.session_id,
            plan=plan_from(known, only, until),
            team=team,
            accept_changes=accept_changes,
        )

    run_session(
        state_dir, order_of, as_json=options["as_json"], timeout_seconds=options["timeout_seconds"]
    )


command.add_command(_session_list.command)
command.add_command(_session_logs.command)
command.add_command(_session_watch.command)
command.add_command(_session_fork.command)
command.add_command(_session_checkpoint.command)
command.add_command(_session_verbs.pause)
command.add_command(_session_verbs.cancel)
command.add_command(_session_verbs.retry)
command.add_command(_session_verbs.rerun)
command.add_command(_session_verbs.remove)
