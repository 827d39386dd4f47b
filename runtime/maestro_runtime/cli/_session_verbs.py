"""`maestro-runtime session pause|cancel|retry|rerun|remove`."""

from typing import TYPE_CHECKING, Any

import click

from maestro_runtime.cli._access import open_desk, open_records
from maestro_runtime.cli._options import json_option, state_dir_option, timeout_option, user_name
from maestro_runtime.cli._output import print_json, say
from maestro_runtime.cli._sessions import find_session, to_go_on

if TYPE_CHECKING:
    from maestro_actors.verbs.rework import Rerun
    from maestro_storage import Records


@click.command("pause", epilog='Example: maestro-runtime session pause @last --reason "lunch"')
@click.argument("session_id", metavar="SESSION")
@click.option("--reason", metavar="TEXT", default="", help="Shown with the session.")
@timeout_option
@state_dir_option
@json_option
def pause(session_id: str, reason: str, state_dir: str | None, **options: Any) -> None:
    """Let a session run only when it is resumed by name.

    That it is to be paused is durable before it is waited for.
    """
    from maestro_runtime.cli._session_run import run_session
    from maestro_runtime.wire.orders import PauseSession

    why = reason or f"asked for by {user_name() or 'somebody'}"
    run_session(
        state_dir,
        lambda records: PauseSession(session_id=find_session(records, session_id), reason=why),
        as_json=options["as_json"],
        wanted="paused",
        timeout_seconds=options["timeout_seconds"],
    )


@click.command("cancel", epilog="Example: maestro-runtime session cancel @last")
@click.argument("session_id", metavar="SESSION")
@click.option("--reason", metavar="TEXT", default="", help="For the history.")
@click.option(
    "--deadline",
    "deadline_seconds",
    metavar="SECONDS",
    type=click.FloatRange(min=0),
    help="Programs in flight are killed after it (default 5). The earlier of two counts.",
)
@timeout_option
@state_dir_option
@json_option
def cancel(session_id: str, reason: str, state_dir: str | None, **options: Any) -> None:
    """End a session and the tasks that have not ended, for good.

    That it is to be cancelled is durable before it is waited for.
    """
    from maestro_runtime.cli._session_run import run_session
    from maestro_runtime.session import CANCEL_SECONDS
    from maestro_runtime.wire.orders import CancelSession

    deadline_seconds = options["deadline_seconds"]
    if deadline_seconds is None:
        deadline_seconds = CANCEL_SECONDS
    run_session(
        state_dir,
        lambda records: CancelSession(
            session_id=find_session(records, session_id),
            reason=reason,
            deadline_seconds=deadline_seconds,
        ),
        as_json=options["as_json"],
        wanted="cancelled",
        timeout_seconds=options["timeout_seconds"],
    )


@click.command("retry", epilog="Example: maestro-runtime session retry @last backend")
@click.argument("session_id", metavar="SESSION")
@click.argument("task_id", metavar="CONTRACT")
@state_dir_option
@json_option
def retry(session_id: str, task_id: str, state_dir: str | None, **options: Any) -> None:
    """Try a failed task again; by a resume, if nobody runs it."""
    from maestro_runtime.wire.orders import RetryFailed

    with open_desk(state_dir) as desk:
        found = find_session(desk.records, session_id)
        blocked = _blocked(desk.records, found)
        desk.carry_out(RetryFailed(session_id=found, task_id=task_id))
        still = _blocked(desk.records, found)
        goes_on = desk.runs(found)
    unblocked = [name for name in blocked if name not in still]
    if options["as_json"]:
        print_json(
            {
                "schema": "maestro.retry/1",
                "session_id": found,
                "task_id": task_id,
                "unblocked": unblocked,
            }
        )
    _say_queued(f"queued: {', '.join((task_id, *unblocked))}", found, goes_on=goes_on)


@click.command("rerun", epilog="Example: maestro-runtime session rerun @last --from design")
@click.argument("session_id", metavar="SESSION")
@click.option("--from", "phase", metavar="PHASE", required=True, help="The first phase to run.")
@click.option("--interrupt", is_flag=True, help="Cut short what is in flight.")
@click.option("--dry-run", is_flag=True, help="Only say what would run again.")
@state_dir_option
@json_option
def rerun(session_id: str, phase: str, state_dir: str | None, **options: Any) -> None:
    """Run a phase and all after it again.

    A session that runs does so once nothing is in flight, others at the next resume. Results of
    other phases are kept. Files stay as they are: a contract with the check changed_since_start has
    to change one.
    """
    from maestro_runtime.at_rest.sessions import rerun_plan
    from maestro_runtime.wire.orders import RerunPhase

    dry_run = options["dry_run"]
    goes_on = False
    if dry_run:
        with open_records(state_dir) as view:
            plan = rerun_plan(view, find_session(view, session_id), phase)
    else:
        with open_desk(state_dir) as desk:
            found = find_session(desk.records, session_id)
            plan = desk.carry_out(
                RerunPhase(session_id=found, phase=phase, interrupt=options["interrupt"])
            )
            goes_on = desk.runs(found)
    if options["as_json"]:
        print_json({"schema": "maestro.rerun/1", "dry_run": dry_run, "plan": plan})
    _say_plan(plan)
    if not dry_run:
        _say_queued("queued", plan.session_id, goes_on=goes_on)


@click.command("remove", epilog="Example: maestro-runtime session remove todo-api")
@click.argument("session_id", metavar="SESSION")
@click.option("--cancel", "cancels", is_flag=True, help="Cancel it before, if it has not ended.")
@state_dir_option
@json_option
def remove(session_id: str, state_dir: str | None, *, cancels: bool, as_json: bool) -> None:
    """Delete the records of a session that has ended; files stay."""
    from maestro_runtime.wire.orders import RemoveSession
    from maestro_storage.records import SESSION_FINAL

    with open_desk(state_dir) as desk:
        found = find_session(desk.records, session_id)
        ended = desk.records.require_session(found).state in SESSION_FINAL
        if ended or not cancels:
            desk.carry_out(RemoveSession(session_id=found))
    left = None
    if cancels and not ended:
        from maestro_runtime.cli._session_run import bring_to_end

        left = bring_to_end(state_dir, RemoveSession(session_id=found, cancel=True))
    if as_json:
        print_json({"schema": "maestro.removal/1", "session_id": found})
    if left is None:
        say(f"session {found} is removed; its files are where they were")
    else:
        say(f"session {found} is {left.state}; it is removed once its tickets have been sent")


def _blocked(records: "Records", session_id: str) -> list[str]:
    tasks = records.tasks.scan(session_id)
    return [task.task_id for task in tasks if task.state == "blocked"]


def _say_plan(plan: "Rerun") -> None:
    say(
        f"session {plan.session_id} from phase {plan.from_phase}: {len(plan.tasks_kept)} tasks and "
        f"{plan.tokens_kept} tokens kept, checkpoints dropped: {len(plan.checkpoints_dropped)}"
    )
    say(f"phases {', '.join(plan.phases)} run {', '.join(plan.tasks)}")
    say(f"to be spent again: about {plan.tokens_again} tokens")


def _say_queued(what: str, session_id: str, *, goes_on: bool) -> None:
    say(f"{what}; it goes on by itself" if goes_on else f"{what}; {to_go_on(session_id)}")
