"""`maestro-runtime tokens correct`."""

import time
from typing import TYPE_CHECKING, Any

import click

from maestro_runtime.cli._access import open_desk
from maestro_runtime.cli._options import json_option, state_dir_option
from maestro_runtime.cli._output import print_json, say

if TYPE_CHECKING:
    from maestro_storage import Records
    from maestro_storage.records import CallRecord

CALL_DIGITS_MIN = 8
"""Fewest digits of an id that name a call."""


@click.command(
    "correct",
    epilog="Example: maestro-runtime tokens correct 07e21b64 --input-tokens 812 "
    "--output-tokens 95 --reason invoice",
)
@click.argument("call", metavar="CALL")
@click.option("--input-tokens", metavar="N", type=int, required=True, help="With what was cached.")
@click.option("--output-tokens", metavar="N", type=int, required=True, help="With reasoning.")
@click.option("--cache-read-tokens", metavar="N", type=int, default=0, help="Part of the input.")
@click.option("--cache-write-tokens", metavar="N", type=int, default=0, help="Part of the input.")
@click.option("--reasoning-tokens", metavar="N", type=int, default=0, help="Part of the output.")
@click.option("--requests", metavar="N", type=int, default=1, help="To the provider (default 1).")
@click.option("--reason", metavar="TEXT", required=True, help="Why; the history keeps it.")
@state_dir_option
@json_option
def command(call: str, reason: str, state_dir: str | None, **options: Any) -> None:
    """Book what a call has really used, all of it.

    CALL is its id or a beginning of it, as `tokens lost` and `tokens export` print it. Budgets and
    history change by the difference; what was booked before stays in the row of the call. The same
    figures again change nothing. It is durable when this returns.
    """
    import msgspec

    from maestro_actors.engine import Usage
    from maestro_actors.ledger.rows import figures_of, usage_of
    from maestro_actors.messages import CorrectCall
    from maestro_runtime.statements.calls import report_of
    from maestro_runtime.wire.orders import CorrectBooking

    as_json = options.pop("as_json")
    with open_desk(state_dir) as desk:
        row = _find_call(desk.records, call)
        usage = Usage(**options)
        if row.state != "settled" or usage_of(figures_of(row)) != usage:
            order = CorrectCall(
                session_id=row.session_id,
                call_id=row.call_id,
                # The next one: whoever repeats the command finds the figures of this one booked.
                correction_id=str(len(row.corrections) + 1),
                usage=msgspec.structs.replace(usage, basis="provider"),
                reason=reason,
                at_ms=time.time_ns() // 1_000_000,
            )
            desk.carry_out(CorrectBooking(order=order))
            row = _find_call(desk.records, row.call_id.hex())
    report = report_of(row)
    if as_json:
        print_json({"schema": "maestro.call/1", "call": report})
        return
    say(f"call {report.call_id} is booked with {report.tokens} tokens")


def _find_call(store: "Records", given: str) -> "CallRecord":
    """Return the call whose id begins as given.

    Raises:
        NotFound: There is none.
        click.UsageError: There are several, or it is too short to name one.
    """
    from maestro_storage.errors import NotFound

    if len(given) < CALL_DIGITS_MIN:
        raise click.UsageError(f"CALL must have at least {CALL_DIGITS_MIN} digits, got {given!r}")
    found = [row for row in store.calls.scan() if row.call_id.hex().startswith(given.lower())]
    if not found:
        raise NotFound("call", given)
    if len(found) > 1:
        names = ", ".join(row.call_id.hex() for row in found[:10])
        raise click.UsageError(f"several calls begin with {given!r}: {names}")
    return found[0]
