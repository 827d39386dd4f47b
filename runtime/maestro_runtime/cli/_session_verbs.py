"""`maestro-runtime session pause|cancel|retry|rerun|remove`, on a state that nobody owns."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from maestro_runtime.cli._access import open_owner, open_records
from maestro_runtime.cli._options import json_option, state_dir_option, state_path, user_name
from maestro_runtime.cli._output import print_json, say
from maestro_runtime.cli._sessions import find_session

if TYPE_CHECKING:
    from collections.abc import Callable

    from maestro_actors.messages import Request
    from maestro_actors.rework import Rerun
    from maestro_runtime.runtime import Runtime
    from maestro_runtime.session import Session
    from maestro_runtime.wire.orders import Accepted
    from maestro_storage import Store
    from maestro_storage.records import SessionState

T = TypeVar("T")


@click.command("pause", epilog='Example: maestro-runtime session pause @last --reason "lunch"')
@click.argument("session_id", metavar="SESSION")
@click.option("--reason", metavar="TEXT", default="", help="Shown with the session.")
@state_dir_option
@json_option
def pause(session_id: str, reason: str, state_dir: str | None, **options: Any) -> None:
    """Let a session run only when it is resumed by name."""
    from maestro_runtime.wire.orders import PauseSession

    why = reason or f"asked for by {user_name() or 'somebody'}"
    _stop(
        session_id,
        state_dir,
        "paused",
        lambda found: PauseSession(session_id=found, reason=why),
        lambda runtime, found: runtime.pause(found, reason=why),
        as_json=options["as_json"],
    )


@click.command("cancel", epilog="Example: maestro-runtime session cancel @last")
@click.argument("session_id", metavar="SESSION")
@click.option("--reason", metavar="TEXT", default="", help="For the history.")
@state_dir_option
@json_option
def cancel(session_id: str, reason: str, state_dir: str | None, **options: Any) -> None:
    """End a session and the tasks that have not ended, for good."""
    from maestro_runtime.wire.orders import CancelSession

    _stop(
        session_id,
        state_dir,
        "cancelled",
        lambda found: CancelSession(session_id=found, reason=reason),
        lambda runtime, found: runtime.cancel(found, reason=reason),
        as_json=options["as_json"],
    )


@click.command("retry", epilog="Example: maestro-runtime session retry @last backend")
@click.argument("session_id", metavar="SESSION")
@click.argument("task_id", metavar="CONTRACT")
@state_dir_option
@json_option
def retry(session_id: str, task_id: str, state_dir: str | None, **options: Any) -> None:
    """Try a failed task again, at the next resume if nobody runs it."""
    from maestro_runtime.control import retry_at_rest
    from maestro_runtime.wire.orders import RetryFailed

    with open_owner(state_dir) as owner:
        if owner is not None:
            found = find_session(owner.records, session_id)
            owner.carry_out(RetryFailed(session_id=found, task_id=task_id))
            _print_retry(found, task_id, (), as_json=options["as_json"])
            say(f"queued: {task_id}")
            return

    def do(store: "Store", found: str) -> tuple[str, ...]:
        return retry_at_rest(store, found, task_id, _now_ms())

    found, unblocked = _change(session_id, state_path(state_dir), do)
    _print_retry(found, task_id, unblocked, as_json=options["as_json"])
    _say_resume(f"queued: {', '.join((task_id, *unblocked))}", found)


@click.command("rerun", epilog="Example: maestro-runtime session rerun @last --from design")
@click.argument("session_id", metavar="SESSION")
@click.option("--from", "phase", metavar="PHASE", required=True, help="The first phase to run.")
@click.option("--dry-run", is_flag=True, help="Only say what would run again.")
@state_dir_option
@json_option
def rerun(
    session_id: str, phase: str, state_dir: str | None, *, dry_run: bool, as_json: bool
) -> None:
    """Run a phase and all after it again, at the next resume.

    Results of other phases are kept. Files stay as they are.
    """
    from maestro_runtime.control import rerun_at_rest, rerun_plan

    if dry_run:
        with open_records(state_dir) as view:
            plan = rerun_plan(view, find_session(view, session_id), phase)
    else:
        _, plan = _change(
            session_id,
            state_path(state_dir),
            lambda store, found: rerun_at_rest(store, found, phase, _now_ms()),
        )
    if as_json:
        print_json({"schema": "maestro.rerun/1", "dry_run": dry_run, "plan": plan})
    _say_plan(plan)
    if not dry_run:
        _say_resume("queued", plan.session_id)


@click.command("remove", epilog="Example: maestro-runtime session remove todo-api")
@click.argument("session_id", metavar="SESSION")
@state_dir_option
@json_option
def remove(session_id: str, state_dir: str | None, **options: Any) -> None:
    """Delete the records of a session that has ended; files stay."""
    from maestro_runtime.control import remove_at_rest

    found, _ = _change(session_id, state_path(state_dir), remove_at_rest)
    if options["as_json"]:
        print_json({"schema": "maestro.removal/1", "session_id": found})
    say(f"session {found} is removed; its files are where they were")


def _stop(
    session_id: str,
    state_dir: str | None,
    state: "SessionState",
    order: "Callable[[str], Request[Accepted]]",
    wish: "Callable[[Runtime, str], Session]",
    *,
    as_json: bool,
) -> None:
    """Have a session stop: by who runs it, and at its leisure, or else here, with a report."""
    from maestro_runtime.cli._session_run import run_in_foreground

    with open_owner(state_dir) as owner:
        if owner is not None:
            found = find_session(owner.records, session_id)
            owner.carry_out(order(found))
            if as_json:
                print_json({"schema": "maestro.wish/1", "session_id": found, "wished": state})
            say(f"session {found} is to be {state}; what is in flight is brought to its end")
            return
    path = state_path(state_dir)
    found = _looked_up(session_id, path)
    run_in_foreground(path, lambda runtime: wish(runtime, found), as_json=as_json, wanted=state)


def _change(session_id: str, path: Path, change: "Callable[[Store, str], T]") -> tuple[str, T]:
    """Change the records of a session; nothing is created for one that is not there."""
    from maestro_storage import Store

    found = _looked_up(session_id, path)
    with Store.open(path) as store:
        return found, change(store, found)


def _looked_up(session_id: str, path: Path) -> str:
    from maestro_storage import Store

    with Store.inspect(path) as view:
        return view.require_session(find_session(view, session_id)).session_id


def _print_retry(
    session_id: str, task_id: str, unblocked: tuple[str, ...], *, as_json: bool
) -> None:
    if as_json:
        print_json(
            {
                "schema": "maestro.retry/1",
                "session_id": session_id,
                "task_id": task_id,
                "unblocked": unblocked,
            }
        )


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _say_plan(plan: "Rerun") -> None:
    say(
        f"session {plan.session_id} from phase {plan.from_phase}: {len(plan.tasks_kept)} tasks and "
        f"{plan.tokens_kept} tokens kept, checkpoints dropped: {len(plan.checkpoints_dropped)}"
    )
    say(f"phases {', '.join(plan.phases)} run {', '.join(plan.tasks)}")
    say(f"to be spent again: about {plan.tokens_again} tokens")


def _say_resume(what: str, session_id: str) -> None:
    say(f"{what}; to go on: maestro-runtime session resume {session_id}")
