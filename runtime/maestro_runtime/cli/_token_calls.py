"""`maestro-runtime tokens`: alerts, lost, export."""

from pathlib import Path
from typing import Any

import click

from maestro_runtime.cli._access import open_records
from maestro_runtime.cli._options import json_option, state_dir_option
from maestro_runtime.cli._output import instant, print_json, print_lines, print_table, say
from maestro_runtime.cli._sessions import find_session


@click.command("alerts", epilog="Example: maestro-runtime tokens alerts @last")
@click.argument("session_id", metavar="[SESSION]", required=False)
@state_dir_option
@json_option
def _alerts(session_id: str | None, state_dir: str | None, **options: Any) -> None:
    """List the shares of budgets that were reached, oldest first."""
    from maestro_runtime.statements.alerts import alerts
    from maestro_runtime.statements.money import figure

    with open_records(state_dir) as store:
        rows = alerts(store, None if session_id is None else find_session(store, session_id))
    if options["as_json"]:
        print_json({"schema": "maestro.alerts/1", "alerts": rows})
        return
    print_table(
        ("AT", "BUDGET", "OF", "WINDOW", "SHARE", "SPENT", "LIMIT", "METRIC", "BY", "SESSION"),
        [
            (
                instant(row.at_ms),
                row.budget_id,
                row.subject or "-",
                row.window,
                f"{row.permille / 10:g} %",
                figure(row.spent, row.metric),
                figure(row.limit, row.metric),
                row.metric,
                row.persona_id,
                row.session_id,
            )
            for row in rows
        ],
        empty="no alerts",
    )


@click.command("lost", epilog="Example: maestro-runtime tokens lost")
@click.argument("session_id", metavar="[SESSION]", required=False)
@state_dir_option
@json_option
def _lost(session_id: str | None, state_dir: str | None, **options: Any) -> None:
    """List the calls of which nobody knows what they used.

    Their tokens are those they are booked with.
    """
    from maestro_runtime.statements.calls import lost_calls
    from maestro_runtime.statements.money import cost_text

    with open_records(state_dir) as store:
        rows = lost_calls(store, None if session_id is None else find_session(store, session_id))
    if options["as_json"]:
        print_json({"schema": "maestro.lost/1", "calls": rows})
        return
    print_table(
        ("CALL", "SESSION", "CONTRACT", "PERSONA", "ROUND", "ATTEMPT", "TOKENS", "USD", "OPENED"),
        [
            (
                row.call_id,
                row.session_id,
                row.contract,
                row.persona,
                row.round,
                row.attempt,
                row.tokens,
                cost_text(row.cost_nano_usd),
                instant(row.opened_ms),
            )
            for row in rows
        ],
        empty="no call is lost",
    )


@click.command("export", epilog="Example: maestro-runtime tokens export --output calls.csv")
@click.argument("session_id", metavar="[SESSION]", required=False)
@click.option(
    "--format",
    "format_",
    type=click.Choice(("csv", "jsonl")),
    default="csv",
    help="jsonl: one JSON value a line.",
)
@click.option(
    "--output",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write it here, whole or not at all; else to stdout.",
)
@state_dir_option
def _export(
    session_id: str | None, format_: str, output: Path | None, state_dir: str | None
) -> None:
    """Write every call that is kept, one on each line.

    They come by session and call id. The columns stay as they are; new ones come last. Money is in
    nano-USD (1e-9 USD), and empty without a price. Text that a spreadsheet would run as a formula
    is disarmed in the CSV.
    """
    from maestro_runtime.cli._export import csv_lines, json_lines, write_file
    from maestro_runtime.statements.calls import calls

    with open_records(state_dir) as store:
        rows = calls(store, None if session_id is None else find_session(store, session_id))
        lines = csv_lines(rows) if format_ == "csv" else json_lines(rows)
        if output is None:
            print_lines(lines)
        else:
            write_file(output, lines)
            say(f"exported to {output}")


COMMANDS = (_alerts, _lost, _export)
"""For the group."""
