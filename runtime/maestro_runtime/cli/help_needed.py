"""`maestro-runtime help-needed`: list, show, answer."""

import shlex
from typing import Any

import click

from maestro_runtime.cli._access import open_desk, open_records
from maestro_runtime.cli._options import json_option, state_dir_option, user_name
from maestro_runtime.cli._output import instant, print_json, print_table, printable, say
from maestro_runtime.cli._sessions import find_session, to_go_on


@click.group("help-needed", epilog="Example: maestro-runtime help-needed list")
def command() -> None:
    """Tasks that wait for a person, and answers to them.

    SESSION is an id, the beginning of one, or @last; CONTRACT is the id of a contract.
    """


@command.command("list", epilog="Example: maestro-runtime help-needed list @last")
@click.argument("session_id", metavar="[SESSION]", required=False)
@state_dir_option
@json_option
def list_requests(session_id: str | None, state_dir: str | None, **options: Any) -> None:
    """List what waits for a person, longest first."""
    from maestro_runtime.reports.help import waiting_for_help

    with open_records(state_dir) as store:
        named = None if session_id is None else find_session(store, session_id)
        requests = waiting_for_help(store, named)
        aside = [
            record.session_id
            for record in store.sessions.scan()
            if record.set_aside and named in (None, record.session_id)
        ]
    if options["as_json"]:
        print_json({"schema": "maestro.help/1", "requests": requests, "set_aside": aside})
        return
    print_table(
        ("SESSION", "CONTRACT", "PERSONA", "FAILURE", "TOKENS", "SINCE", "TICKET"),
        [
            (
                request.session_id,
                request.task_id,
                request.persona_id,
                request.failure,
                request.tokens_used,
                instant(request.since_ms),
                "-" if request.ticket is None else request.ticket.reference or "pending",
            )
            for request in requests
        ],
        empty="no task waits for a person" if aside else "nothing waits for a person",
    )
    for name in aside:
        say(f"session {name} is set aside; {to_go_on(name)}")


@command.command("show", epilog="Example: maestro-runtime help-needed show @last backend")
@click.argument("session_id", metavar="SESSION")
@click.argument("task_id", metavar="CONTRACT")
@state_dir_option
@json_option
def show(session_id: str, task_id: str, state_dir: str | None, **options: Any) -> None:
    """Print a ticket: what was tried and seen, what to answer."""
    from maestro_runtime.reports.help import ticket_text

    with open_records(state_dir) as store:
        session_id = find_session(store, session_id)
        text = ticket_text(store, session_id, task_id)
    if options["as_json"]:
        named = {"schema": "maestro.ticket/1", "session_id": session_id, "task_id": task_id}
        print_json({**named, "text": text})
        return
    for line in text.splitlines():
        click.echo(printable(line))
    if state_dir is not None:
        # The same text is sent to people who are told nothing of this flag.
        say(f"each of its commands ends with: --state-dir {shlex.quote(state_dir)}")


@command.command(
    "answer",
    epilog='Example: maestro-runtime help-needed answer @last backend --note "use port 8080"',
)
@click.argument("session_id", metavar="SESSION")
@click.argument("task_id", metavar="CONTRACT")
@click.option("--retry", is_flag=True, help="Try again: one more round of attempts.")
@click.option("--note", metavar="TEXT", default="", help="Try again with this advice.")
@click.option(
    "--raise-budget", metavar="TOKENS", type=int, help="Try again with more tokens for its persona."
)
@click.option("--accept", is_flag=True, help="Say yes to the questions of its checks.")
@click.option("--skip", is_flag=True, help="Go on without it: what depends on it may run.")
@click.option("--give-up", is_flag=True, help="End it: what depends on it is blocked.")
@state_dir_option
@json_option
def answer(session_id: str, task_id: str, state_dir: str | None, **options: Any) -> None:
    """Answer a task that waits for a person.

    The answer is durable when this returns. A note may go with every answer; alone it means to try
    again.
    """
    from maestro_actors.help.answer import Answer
    from maestro_runtime.wire.orders import AnswerTask

    decisions = [name for name in ("accept", "skip", "give_up") if options[name]]
    if options["retry"] or options["raise_budget"] is not None:
        decisions.append("retry")
    if not decisions and options["note"]:
        decisions.append("retry")
    if len(decisions) != 1:
        names = "--retry, --note, --raise-budget, --accept, --skip, --give-up"
        raise click.UsageError(f"give one of {names}")
    if options["raise_budget"] is not None and options["raise_budget"] < 1:
        raise click.UsageError(f"--raise-budget must be at least 1, got {options['raise_budget']}")
    given = Answer(
        decision=decisions[0],  # type: ignore[arg-type] # the names are the decisions
        note=options["note"],
        add_tokens=options["raise_budget"] or 0,
        by=user_name(),
    )
    with open_desk(state_dir) as desk:
        session_id = find_session(desk.records, session_id)
        desk.carry_out(AnswerTask(session_id=session_id, task_id=task_id, answer=given))
        goes_on = desk.runs(session_id)
    if options["as_json"]:
        named = {"schema": "maestro.answer/1", "session_id": session_id, "task_id": task_id}
        print_json({**named, "decision": given.decision, "goes_on": goes_on})
        return
    say("answered; its session goes on" if goes_on else f"answered; {to_go_on(session_id)}")
