"""`maestro-runtime session fork`."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from maestro_runtime.cli._access import open_records
from maestro_runtime.cli._options import json_option, state_dir_option, timeout_option
from maestro_runtime.cli._output import print_json, say
from maestro_runtime.cli._sessions import find_session

if TYPE_CHECKING:
    from maestro_runtime.checkpoints import ForkPlan


@click.command("fork", epilog="Example: maestro-runtime session fork @last --from write --dry-run")
@click.argument("session_id", metavar="SESSION")
@click.option(
    "--from",
    "phase",
    metavar="PHASE",
    required=True,
    help="Go on from this phase or number.",
)
@click.option("--id", "new_id", metavar="ID", help="Name of the fork (default SESSION-fork-N).")
@click.option(
    "--output",
    "output_dir",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Workspace, empty (default maestro-output/ID).",
)
@click.option(
    "--requirement-file", metavar="FILE", help="What to build, for the tasks that run again."
)
@click.option("--dry-run", is_flag=True, help="Only say what would run again.")
@timeout_option
@state_dir_option
@json_option
def command(
    session_id: str,
    phase: str,
    new_id: str | None,
    output_dir: Path | None,
    requirement_file: str | None,
    timeout_seconds: float | None,
    state_dir: str | None,
    *,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Run a new session from a checkpoint of another.

    The other one is not touched. What was done by then is kept, its files are copied and verified.
    """
    from maestro_runtime.checkpoints import ForkOrder, fork_plan
    from maestro_runtime.cli._session_run import run_session
    from maestro_runtime.config import read_requirement
    from maestro_runtime.wire.session_order import fork_of

    requirement = None if requirement_file is None else read_requirement(f"@{requirement_file}")
    order = ForkOrder(session_id, phase, new_id, output_dir, requirement)
    # Looked at first: a directory without a state is not made one.
    with open_records(state_dir) as store:
        order = replace(order, session_id=find_session(store, session_id))
        plan = fork_plan(store, order)
    _say_plan(plan)
    if dry_run:
        if as_json:
            print_json(plan)
        return

    fork = fork_of(replace(order, new_id=plan.session_id))
    run_session(state_dir, lambda _: fork, as_json=as_json, timeout_seconds=timeout_seconds)


def _say_plan(plan: "ForkPlan") -> None:
    say(
        f"session {plan.session_id} from checkpoint {plan.from_checkpoint} ({plan.from_phase}) of "
        f"{plan.from_session}: {len(plan.tasks_kept)} tasks, {plan.files} files and "
        f"{plan.tokens_kept} tokens kept"
    )
    for phase in plan.again:
        known = f"{phase.tokens} tokens before"
        untried = f", {phase.untried} of them never tried" if phase.untried else ""
        say(f"phase {phase.phase} runs {', '.join(phase.tasks)}: {known}{untried}")
    if plan.again:
        say(f"to be spent again: about {plan.tokens_again} tokens")
    else:
        say("nothing is left to run")
