"""`maestro-runtime session`: list, show, result, resume, fork."""

import sys
import textwrap
from typing import TYPE_CHECKING, Any, Final

import click

from maestro_runtime.cli import _session_fork
from maestro_runtime.cli._options import json_option, state_dir_option, state_path
from maestro_runtime.cli._output import instant, print_json, print_table, say
from maestro_runtime.cli._sessions import find_session

if TYPE_CHECKING:
    from maestro_runtime.report import SessionReport

SENTENCE_CHARACTERS: Final = 200
"""Longest sentence of evidence in a table."""


@click.group("session", epilog="Example: maestro-runtime session list")
def command() -> None:
    """List, show, resume and fork sessions.

    SESSION is an id, the beginning of one, or @last.
    """


@command.command("list", epilog="Example: maestro-runtime session list --json")
@state_dir_option
@json_option
def list_sessions(state_dir: str | None, **options: Any) -> None:
    """List all sessions, newest first."""
    from maestro_runtime.report import session_summary
    from maestro_storage import Store
    from maestro_storage.errors import NotFound

    try:
        with Store.inspect(state_path(state_dir)) as store:
            summaries = [session_summary(store, record) for record in store.sessions.scan()]
            quarantined = dict(store.quarantined)
    except NotFound:
        # No state yet is an empty list: scripts must not have to tell the two apart.
        summaries, quarantined = [], {}
    summaries.sort(key=lambda summary: summary.created_ms, reverse=True)
    if options["as_json"]:
        print_json(
            {
                "schema": "maestro.sessions/1",
                "sessions": summaries,
                "quarantined": sorted(quarantined),
            }
        )
        return
    print_table(
        ("SESSION", "STATE", "TEAM", "TASKS", "TOKENS", "STARTED", "ENDED"),
        [
            (
                summary.session_id,
                summary.state,
                summary.team,
                f"{summary.tasks_done}/{summary.tasks}",
                summary.tokens_used,
                instant(summary.created_ms),
                instant(summary.finished_ms),
            )
            for summary in summaries
        ],
        empty="no sessions yet",
    )
    for session_id, damaged in quarantined.items():
        say(f"session {session_id} is quarantined: {len(damaged)} damaged records")


@command.command("show", epilog="Example: maestro-runtime session show @last")
@click.argument("session_id", metavar="SESSION")
@state_dir_option
@json_option
def show(session_id: str, state_dir: str | None, **options: Any) -> None:
    """Show the tasks of a session and what each waits for."""
    from maestro_runtime.cli._report import print_report
    from maestro_runtime.report import session_report
    from maestro_storage import Store

    with Store.inspect(state_path(state_dir)) as store:
        report = session_report(store, find_session(store, session_id))
    print_report(report, as_json=options["as_json"])
    if options["as_json"]:
        return
    if report.state == "running":
        # Looking takes the ownership, so nobody else has it.
        say(f"no process runs it; to go on: maestro-runtime session resume {report.session_id}")
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
    _print_reasons(report)
    if not any(task.checks for task in report.tasks):
        return
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
    from maestro_runtime.report import session_report
    from maestro_storage import Store

    with Store.inspect(state_path(state_dir)) as store:
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
@state_dir_option
@json_option
def resume(session_id: str, state_dir: str | None, **options: Any) -> None:
    """Go on with a session: team and directories are in its records."""
    from maestro_runtime.cli._session_run import run_in_foreground

    run_in_foreground(
        state_path(state_dir),
        lambda runtime: runtime.resume(find_session(runtime.store, session_id)),
        as_json=options["as_json"],
    )


command.add_command(_session_fork.command)
