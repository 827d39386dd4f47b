"""`maestro-runtime run`: the main job."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from maestro_runtime.cli._options import (
    accept_changes_option,
    context_option,
    json_option,
    state_dir_option,
    stop_options,
    timeout_option,
)

if TYPE_CHECKING:
    from maestro_actors.team import Team
    from maestro_runtime.config import Flags
    from maestro_runtime.given import Given


@click.command(
    "run", epilog="Example: maestro-runtime run examples/todo-api/team.toml --state-dir ./state"
)
@click.argument("team_file", metavar="TEAM.toml", type=click.Path(path_type=Path))
@click.option("--requirement", metavar="TEXT|@FILE", help="What to build, instead of the team's.")
@click.option(
    "--input", "input_dir", metavar="DIR", type=click.Path(path_type=Path), help="Source tree."
)
@click.option(
    "--output",
    "output_dir",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Workspace (default maestro-output/SESSION).",
)
@click.option(
    "--session",
    "session_id",
    metavar="ID",
    help="Name of the session (default: derived from team, requirement and directories).",
)
@click.option("--max-attempts", metavar="N", help="Attempts in a round (MAESTRO_MAX_ATTEMPTS).")
@click.option("--token-budget", metavar="N", help="Tokens a persona has (MAESTRO_TOKEN_BUDGET).")
@click.option("--label", "labels", metavar="KEY=VALUE", multiple=True, help="Repeatable.")
@click.option(
    "--idempotency-key",
    metavar="KEY",
    help="Names this order: the same key and input find the same session.",
)
@click.option(
    "--priority",
    type=int,
    default=0,
    metavar="N",
    help="-100 to 100: goes before sessions with less, in the queue and at limits.",
)
@accept_changes_option
@click.option(
    "--from", "start_at", metavar="PHASE", help="Start here; --given has what comes before."
)
@click.option(
    "--given",
    "given_dir",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Files that the phases before --from would have delivered.",
)
@click.option(
    "--given-context",
    metavar="FILE",
    type=click.File("rb"),
    help="JSON object that every persona gets with its order.",
)
@stop_options
@context_option
@timeout_option
@click.option(
    "--detach",
    is_flag=True,
    help="Have a daemon run it, print its id, and do not wait.",
)
@state_dir_option
@json_option
def command(
    team_file: Path,
    requirement: str | None,
    input_dir: Path | None,
    output_dir: Path | None,
    session_id: str | None,
    max_attempts: str | None,
    token_budget: str | None,
    labels: tuple[str, ...],
    idempotency_key: str | None,
    priority: int,
    context: str | None,
    state_dir: str | None,
    start_at: str | None,
    given_dir: Path | None,
    given_context: BinaryIO | None,
    only: str | None,
    until: str | None,
    timeout_seconds: float | None,
    *,
    accept_changes: bool,
    detach: bool,
    as_json: bool,
) -> None:
    """Run the team in TEAM.toml, or resume it where it was.

    The same command after a crash goes on with the same session. A session that has ended just
    prints its result. If a session that has a name has begun with another team, what is different
    is shown, and nothing runs without --accept-changes.

    If a daemon has the state, it runs the session, and the first Ctrl-C leaves it alone.
    """
    from maestro_runtime.cli._plan import plan_from
    from maestro_runtime.cli._session_run import detached, run_session
    from maestro_runtime.config import Flags
    from maestro_runtime.labels import read_labels
    from maestro_runtime.session import SessionOrder
    from maestro_runtime.wire.session_order import start_of

    flags = Flags(state_dir=state_dir, max_attempts=max_attempts, token_budget=token_budget)
    team = _team_of(team_file, requirement, context, flags)
    order = SessionOrder(
        team,
        session_id,
        output_dir,
        input_dir,
        labels=read_labels(labels),
        idempotency_key=idempotency_key,
        priority=priority,
        accept_changes=accept_changes,
        start_at=start_at,
        given=_given_of(given_dir, given_context),
        plan=plan_from(team, only, until) or (),
    )
    start = start_of(order)
    if detach:
        detached(state_dir, start, as_json=as_json)
    else:
        run_session(state_dir, start, as_json=as_json, timeout_seconds=timeout_seconds)


def _team_of(
    team_file: Path, requirement: str | None, context: str | None, flags: "Flags"
) -> "Team":
    """Return the team of a file, with what the command line says instead."""
    from maestro_runtime.config import (
        load_team,
        read_context_text,
        read_requirement,
        resolve_settings,
    )

    settings = resolve_settings(flags, os.environ)
    run_context = read_context_text("{}" if context is None else context)
    text = None if requirement is None else read_requirement(requirement)
    return load_team(team_file, requirement=text, settings=settings, context=run_context).team


def _given_of(given_dir: Path | None, given_context: BinaryIO | None) -> "Given":
    from maestro_runtime.given import Given, read_given_context

    return Given(
        {} if given_dir is None else given_dir,
        {} if given_context is None else read_given_context(given_context.read()),
    )
