"""The report of a session as text, and the exit code that goes with it."""

from maestro_runtime.cli._exit import ExitCode
from maestro_runtime.cli._output import print_json, print_table, printable, say
from maestro_runtime.cli._sessions import to_go_on, to_type
from maestro_runtime.reports.session import SessionReport, TicketReport


def print_report(report: SessionReport, *, as_json: bool) -> None:
    """Print where a session stands, task by task."""
    if as_json:
        print_json(report)
        return
    print_table(
        ("PHASE", "CONTRACT", "PERSONA", "STATE", "ATTEMPTS", "TOKENS", "QUALITY", "WAITS FOR"),
        [
            (
                task.phase,
                task.task_id,
                task.persona_id,
                task.state,
                len(task.attempts),
                task.tokens_used,
                f"{task.quality_score:.2f}",
                task.detail or "-",
            )
            for task in report.tasks
        ],
    )
    for task in report.tasks:
        if task.state in ("failed", "help_needed"):
            reason = "; ".join(task.evidence) or "no evidence"
            say(printable(f"{task.task_id}: {task.failure}: {reason}"))
        if task.ticket is not None:
            say(printable(f"{task.task_id}: {_ticket(task.ticket)}"))
    kept = f" and {report.tokens_kept} kept" if report.tokens_kept else ""
    done = sum(task.state == "done" for task in report.tasks)
    skipped = sum(task.state == "skipped" for task in report.tasks)
    seconds = "" if report.duration_seconds is None else f" in {report.duration_seconds:.1f} s"
    state = "needs help" if report.state == "help_needed" else f"is {report.state}"
    say(
        f"session {report.session_id} {state}: {done} of "
        f"{len(report.tasks)} tasks done{f', {skipped} skipped' if skipped else ''}{seconds}, "
        f"{report.tokens_used} tokens{kept}; "
        f"artifacts in {report.output_dir}"
    )
    if report.queue_place:
        say(f"it waits for other sessions to end, at place {report.queue_place}")
    if report.state == "paused":
        say(printable(f"paused: {report.pause_reason}"))
        if report.set_aside:
            say("what it has done is kept; the log of the process that ran it has the tracebacks")
        if report.ticket is not None:
            say(printable(_ticket(report.ticket)))
        say(to_go_on(report.session_id))
    if any(task.state == "help_needed" for task in report.tasks):
        say(f"to see what to answer: {to_type(f'help-needed list {report.session_id}')}")


def _ticket(ticket: TicketReport) -> str:
    return f"ticket {ticket.reference or 'pending; it is sent as soon as it can be'}"


def exit_code(report: SessionReport) -> ExitCode:
    """Return what the state of a session means to the caller of the process."""
    if report.state == "done":
        skipped = any(task.state == "skipped" for task in report.tasks)
        return ExitCode.NOT_FULFILLED if skipped else ExitCode.DONE
    if report.state == "paused":
        return ExitCode.PAUSED
    if report.over_budget:
        return ExitCode.OVER_BUDGET
    if report.state == "help_needed":
        return ExitCode.HELP_NEEDED
    return ExitCode.NOT_FULFILLED
