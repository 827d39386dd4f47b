"""`maestro-runtime state`: info, verify, backup, compact."""

import sys
from pathlib import Path
from typing import Any

import click

from maestro_runtime.cli._exit import ExitCode
from maestro_runtime.cli._options import json_option, state_dir_option, state_path
from maestro_runtime.cli._output import print_json, print_table, say


@click.group("state")
def command() -> None:
    """Look after the state directory."""


@command.command("info")
@state_dir_option
@json_option
def info(state_dir: str | None, **options: Any) -> None:
    """Print the figures of the state directory."""
    import msgspec

    from maestro_storage import Store

    with Store.inspect(state_path(state_dir)) as store:
        figures = msgspec.structs.asdict(store.info())
    if options["as_json"]:
        print_json({"schema": "maestro.state/1", **figures})
        return
    counts = figures.pop("counts")
    rows = [*figures.items(), *((f"{kind} stored", count) for kind, count in counts.items())]
    print_table(("KEY", "VALUE"), rows)


@command.command("verify")
@state_dir_option
@json_option
def verify(state_dir: str | None, **options: Any) -> None:
    """Check the structure of the store and the digest of every record; exits 9 on damage."""
    import msgspec

    from maestro_storage import verify as verify_state

    report = verify_state(state_path(state_dir))
    if options["as_json"]:
        print_json({"schema": "maestro.verify/1", **msgspec.structs.asdict(report)})
    else:
        print_table(("KIND", "VALUES CHECKED"), list(report.records.items()))
        for finding in (*report.structure, *report.damaged):
            say(f"damaged: {finding}")
        verdict = "intact" if report.intact else "damaged"
        say(f"{report.path} is {verdict}, checked in {report.seconds:.2f} s")
    sys.exit(ExitCode.DONE if report.intact else ExitCode.DAMAGED)


@command.command("backup")
@click.argument("destination", metavar="DIR", type=click.Path(path_type=Path))
@state_dir_option
@json_option
def backup(destination: Path, state_dir: str | None, **options: Any) -> None:
    """Write a compact, verified copy of the state into an empty directory."""
    from maestro_storage import Store

    with Store.inspect(state_path(state_dir)) as store:
        store.backup(destination)
    if options["as_json"]:
        print_json({"schema": "maestro.backup/1", "path": str(destination.absolute())})
    else:
        say(f"backed up to {destination}")


@command.command("compact")
@state_dir_option
@json_option
def compact(state_dir: str | None, **options: Any) -> None:
    """Rewrite the store without its free pages; the old one stays until the new is verified."""
    from maestro_storage import compact as compact_state

    path = state_path(state_dir)
    compact_state(path)
    if options["as_json"]:
        print_json({"schema": "maestro.compact/1", "path": str(path)})
    else:
        say(f"compacted {path}")
