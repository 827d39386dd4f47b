"""`maestro-runtime checkpoint`: list, show, verify, diff, prune, export, import."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from maestro_runtime.cli._access import open_desk, open_records
from maestro_runtime.cli._exit import ExitCode
from maestro_runtime.cli._options import json_option, state_dir_option
from maestro_runtime.cli._output import instant, print_json, print_table, say
from maestro_runtime.cli._sessions import find_session, to_go_on

if TYPE_CHECKING:
    from maestro_runtime.checkpoints import CheckpointReport
    from maestro_storage import Records


@click.group("checkpoint", epilog="Example: maestro-runtime checkpoint list @last")
def command() -> None:
    """Checkpoints of a session.

    PHASE is the name of a phase, "init", or the number of a checkpoint; left out, it is the last.
    """


@command.command("list", epilog="Example: maestro-runtime checkpoint list @last")
@click.argument("session_id", metavar="SESSION")
@state_dir_option
@json_option
def list_checkpoints(session_id: str, state_dir: str | None, **options: Any) -> None:
    """List the checkpoints of a session, oldest first."""
    with open_records(state_dir) as store:
        session_id = store.require_session(find_session(store, session_id)).session_id
        records = list(store.checkpoints.scan(session_id))
    if options["as_json"]:
        checkpoints = [
            {
                "number": record.number,
                "phase": record.phase,
                "at_ms": record.at_ms,
                "tasks_done": record.tasks_done,
                "tokens_used": record.tokens_used,
                "summary_sha256": record.summary.hex(),
            }
            for record in records
        ]
        print_json(
            {
                "schema": "maestro.checkpoints/1",
                "session_id": session_id,
                "checkpoints": checkpoints,
            }
        )
        return
    print_table(
        ("NUMBER", "PHASE", "AT", "TASKS DONE", "TOKENS", "SHA-256"),
        [
            (
                record.number,
                record.phase,
                instant(record.at_ms),
                record.tasks_done,
                record.tokens_used,
                record.summary.hex()[:12],
            )
            for record in records
        ],
    )


@command.command("show", epilog="Example: maestro-runtime checkpoint show @last")
@click.argument("session_id", metavar="SESSION")
@click.argument("phase", metavar="[PHASE]", required=False)
@state_dir_option
@json_option
def show(session_id: str, phase: str | None, state_dir: str | None, **options: Any) -> None:
    """Show the finished tasks of a checkpoint with their files."""
    with open_records(state_dir) as store:
        report = _report(store, find_session(store, session_id), phase)
    if options["as_json"]:
        print_json(report)
        return
    print_table(
        ("PHASE", "CONTRACT", "STATE", "TOKENS", "QUALITY", "FILE", "BYTES", "SHA-256"),
        [
            (
                task.phase,
                task.task_id,
                task.state,
                task.tokens_used,
                f"{task.quality_score:.2f}",
                *((file.path, file.size_bytes, file.sha256[:12]) if file else ("-", "-", "-")),
            )
            for task in report.tasks
            for file in (task.artifacts or (None,))
        ],
        empty="no finished tasks",
    )
    say(
        f"checkpoint {report.number} ({report.phase}) of session {report.session_id}: "
        f"{len(report.tasks)} tasks finished, {len(report.unfinished)} not, "
        f"{report.tokens_used} tokens"
    )


@command.command("verify", epilog="Example: maestro-runtime checkpoint verify @last")
@click.argument("session_id", metavar="SESSION")
@click.argument("phase", metavar="[PHASE]", required=False)
@state_dir_option
@json_option
def verify(session_id: str, phase: str | None, state_dir: str | None, **options: Any) -> None:
    """Compare files with a checkpoint; exit code 9 if they differ."""
    from maestro_runtime.checkpoints import verified

    with open_records(state_dir) as store:
        report = _report(store, find_session(store, session_id), phase)
        output_dir = store.require_session(report.session_id).output_dir
    found = verified(report, output_dir)
    if options["as_json"]:
        print_json(found)
    for path in found.missing:
        say(f"missing: {path}")
    for path in found.changed:
        say(f"changed: {path}")
    what = f"checkpoint {found.number} ({found.phase}) of session {found.session_id}"
    if not found.looked:
        say(f"{what}: records intact; there is no directory {output_dir} to look for files in")
    else:
        say(
            f"{what}: {found.files} files, {len(found.missing)} missing, "
            f"{len(found.changed)} changed"
        )
    sys.exit(ExitCode.DONE if found.intact else ExitCode.DAMAGED)


@command.command("diff", epilog="Example: maestro-runtime checkpoint diff @last init")
@click.argument("session_id", metavar="SESSION")
@click.argument("before", metavar="PHASE")
@click.argument("after", metavar="[PHASE]", required=False)
@state_dir_option
@json_option
def diff(
    session_id: str, before: str, after: str | None, state_dir: str | None, **options: Any
) -> None:
    """Show what changed from a checkpoint to another, or to now."""
    from maestro_runtime.checkpoints import compared, report_of_now

    with open_records(state_dir) as store:
        session_id = find_session(store, session_id)
        first = _report(store, session_id, before)
        then = (
            report_of_now(store, session_id) if after is None else _report(store, session_id, after)
        )
    found = compared(first, then)
    if options["as_json"]:
        print_json(found)
        return
    print_table(
        ("WHAT", "CHANGE", "NAME"),
        [
            (what, change, name)
            for what, changes in (("task", found.tasks), ("file", found.artifacts))
            for change in ("added", "changed", "removed")
            for name in getattr(changes, change)
        ],
        empty="no task or file changed",
    )
    say(f"{found.tokens:+} tokens from {first.phase} to {then.phase}")


@command.command("prune", epilog="Example: maestro-runtime checkpoint prune todo-api")
@click.argument("session_id", metavar="SESSION")
@state_dir_option
@json_option
def prune(session_id: str, state_dir: str | None, **options: Any) -> None:
    """Drop the checkpoints that nobody needs.

    The first and the last stay, those that a fork began with, and all of a session that has not
    ended.
    """
    from maestro_runtime.wire.orders import PruneCheckpoints

    with open_desk(state_dir) as desk:
        session_id = find_session(desk.records, session_id)
        pruned = desk.carry_out(PruneCheckpoints(session_id=session_id))
    if options["as_json"]:
        print_json({"schema": "maestro.checkpoints-pruned/1", "pruned": pruned})
    say(f"session {session_id}: {len(pruned.dropped)} checkpoints dropped, {len(pruned.kept)} kept")


@command.command("export", epilog="Example: maestro-runtime checkpoint export @last --output copy")
@click.argument("session_id", metavar="SESSION")
@click.argument("phase", metavar="[PHASE]", required=False)
@click.option(
    "--output",
    metavar="DIR|FILE",
    required=True,
    type=click.Path(path_type=Path),
    help="Directory for both files, or FILE.tar for the bundle, or FILE.json for the document.",
)
@state_dir_option
@json_option
def export(
    session_id: str, phase: str | None, output: Path, state_dir: str | None, **options: Any
) -> None:
    """Write a checkpoint and its files for another machine.

    The same checkpoint is the same bytes, wherever it is written. It has the team with all that
    the team says, so handle it like a team file.
    """
    from maestro_runtime.checkpoints import export as export_checkpoint
    from maestro_runtime.checkpoints import find_checkpoint

    with open_records(state_dir) as store:
        record = find_checkpoint(store, find_session(store, session_id), phase)
        exported = export_checkpoint(store, record, output)
    if options["as_json"]:
        print_json(exported)
    for path in exported.paths:
        say(f"exported to {path}")


@command.command("import", epilog="Example: maestro-runtime checkpoint import checkpoint_write.tar")
@click.argument("bundle", metavar="FILE", type=click.Path(path_type=Path))
@click.option(
    "--output",
    "output_dir",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Workspace, empty (default maestro-output/SESSION).",
)
@click.option(
    "--input", "input_dir", metavar="DIR", type=click.Path(path_type=Path), help="Source tree."
)
@state_dir_option
@json_option
def import_checkpoint(
    bundle: Path,
    output_dir: Path | None,
    input_dir: Path | None,
    state_dir: str | None,
    **options: Any,
) -> None:
    """Make a session of an exported bundle, to be resumed.

    Nothing runs, and nothing is written before the whole bundle is verified. Its team says which
    programs a resume runs: import only what you would run as a team file.
    """
    from maestro_runtime.checkpoints import ImportOrder, read_bundle
    from maestro_runtime.wire.session_order import import_of

    # Before a state is made for it: what is no bundle leaves nothing behind.
    read_bundle(bundle)
    order = ImportOrder(bundle, output_dir, input_dir)
    with open_desk(state_dir) as desk:
        imported = desk.carry_out(import_of(order))
    if options["as_json"]:
        print_json(imported)
    say(
        f"session {imported.session_id} imported: {imported.tasks_kept} of {imported.tasks} tasks "
        f"and {imported.files} files kept, {imported.tokens_kept} tokens of them booked elsewhere; "
        f"{to_go_on(imported.session_id)}"
    )


def _report(store: "Records", session_id: str, phase: str | None) -> "CheckpointReport":
    from maestro_runtime.checkpoints import checkpoint_report, find_checkpoint

    return checkpoint_report(store, find_checkpoint(store, session_id, phase))
