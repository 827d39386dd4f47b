"""`maestro-runtime state`: info, verify, backup, compact."""

import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from maestro_runtime.cli._access import open_named_owner, open_state
from maestro_runtime.cli._exit import ExitCode
from maestro_runtime.cli._options import json_option, state_dir_option, state_path
from maestro_runtime.cli._output import print_json, print_table, say

if TYPE_CHECKING:
    from maestro_storage import VerifyReport


@click.group("state", epilog="Example: maestro-runtime state verify")
def command() -> None:
    """Look after the state directory."""


@command.command("info", epilog="Example: maestro-runtime state info --json")
@state_dir_option
@json_option
def info(state_dir: str | None, **options: Any) -> None:
    """Print the figures of the state directory."""
    import msgspec

    with open_state(state_dir) as state:
        figures = msgspec.structs.asdict(state.info())
    # "schema" names the shape of the JSON, here as everywhere.
    figures["state_schema"] = figures.pop("schema")
    if options["as_json"]:
        print_json({"schema": "maestro.state/1", **figures})
        return
    counts = figures.pop("counts")
    figures["quarantined"] = ", ".join(sorted(figures["quarantined"]))
    rows = [(key, "-" if value in ("", None) else value) for key, value in figures.items()]
    print_table(("KEY", "VALUE"), rows + [(f"{kind} stored", n) for kind, n in counts.items()])


@command.command("verify", epilog="Example: maestro-runtime state verify --state-dir ./state")
@state_dir_option
@json_option
def verify(state_dir: str | None, **options: Any) -> None:
    """Check the structure and every record; exits 9 on damage."""
    import msgspec

    report = _verified(state_dir)
    if options["as_json"]:
        print_json({"schema": "maestro.verify/1", **msgspec.structs.asdict(report)})
    else:
        print_table(("KIND", "VALUES CHECKED"), list(report.records.items()))
        for finding in (*report.structure, *report.damaged):
            say(f"damaged: {finding}")
        verdict = "intact" if report.intact else "damaged"
        say(f"{report.path} is {verdict}, checked in {report.seconds:.2f} s")
    sys.exit(ExitCode.DONE if report.intact else ExitCode.DAMAGED)


def _verified(state_dir: str | None) -> "VerifyReport":
    from maestro_storage import verify as verify_state
    from maestro_storage.errors import StateOwned

    with open_named_owner(state_dir) as owner:
        if owner is not None:
            return owner.verify()
    try:
        # As a file: nobody opens one that is damaged as a whole.
        return verify_state(state_path(state_dir))
    except StateOwned:
        with open_state(state_dir) as state:
            return state.verify()


@command.command("backup", epilog="Example: maestro-runtime state backup /backups/today")
@click.argument("destination", metavar="DIR", type=click.Path(path_type=Path))
@state_dir_option
@json_option
def backup(destination: Path, state_dir: str | None, **options: Any) -> None:
    """Copy the state, verified, into an empty directory."""
    with open_state(state_dir) as state:
        state.backup(destination)
    if options["as_json"]:
        print_json({"schema": "maestro.backup/1", "path": str(destination.absolute())})
    else:
        say(f"backed up to {destination}")


@command.command("compact", epilog="Example: maestro-runtime state compact --state-dir ./state")
@state_dir_option
@json_option
def compact(state_dir: str | None, **options: Any) -> None:
    """Rewrite the store without its free pages.

    The old one stays until the new one is verified. Nobody may have the state open meanwhile, so a
    daemon has to be stopped before (exit code 4).
    """
    from maestro_storage import compact as compact_state
    from maestro_storage.errors import StateOwned

    path = _place(state_dir)
    try:
        freed_bytes = compact_state(path)
    except StateOwned as owned:
        # One that does not listen makes no copy either.
        copy = "" if owned.is_silent else "; a compact copy can be had now: `state backup`"
        say(f"stop whoever has it, then compact it{copy}")
        raise
    if options["as_json"]:
        print_json({"schema": "maestro.compact/1", "path": str(path), "freed_bytes": freed_bytes})
    else:
        say(f"compacted {path}: {freed_bytes:,} bytes are free again")


def _place(state_dir: str | None) -> Path:
    with open_named_owner(state_dir) as owner:
        return state_path(state_dir) if owner is None else Path(owner.info().path)


@command.command(
    "leave-safe-mode", epilog="Example: maestro-runtime state leave-safe-mode --state-dir ./state"
)
@state_dir_option
@json_option
def leave_safe_mode(state_dir: str | None, **options: Any) -> None:
    """Let a daemon run sessions again.

    After three crashes within ten minutes a daemon runs nothing, so that its state and its log can
    be looked at. This forgets the crashes and takes up every session that was under way; so does a
    stop in order and another start.
    """
    from maestro_runtime.cli._contact import reached
    from maestro_runtime.cli._owner import Owner
    from maestro_runtime.wire.orders import LeaveSafeMode

    with closing(Owner(reached(state_dir))) as owner:
        owner.carry_out(LeaveSafeMode())
    if options["as_json"]:
        print_json({"schema": "maestro.safe-mode/1", "safe_mode": False})
    else:
        say("nothing keeps sessions from running")
