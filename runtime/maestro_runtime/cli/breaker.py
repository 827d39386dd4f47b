"""`maestro-runtime breaker`: list, show, open, reset."""

from typing import TYPE_CHECKING, Any

import click

from maestro_runtime.cli._access import open_desk, open_records
from maestro_runtime.cli._options import json_option, state_dir_option, user_name
from maestro_runtime.cli._output import instant, print_json, print_table, say
from maestro_runtime.cli._sessions import to_type

if TYPE_CHECKING:
    from maestro_runtime.reports.breakers import BreakerReport

SCHEMA = "maestro.breaker/1"


@click.group("breaker", epilog="Example: maestro-runtime breaker list")
def command() -> None:
    """The circuit breakers of the engines.

    NAME is an engine, or engine:endpoint, as `list` prints it.
    """


@command.command("list", epilog="Example: maestro-runtime breaker list --json")
@state_dir_option
@json_option
def list_breakers(state_dir: str | None, **options: Any) -> None:
    """List breakers that have ever moved, or that a session uses."""
    from maestro_runtime.reports.breakers import breaker_reports

    with open_records(state_dir) as store:
        reports = breaker_reports(store)
    if options["as_json"]:
        print_json({"schema": "maestro.breakers/1", "breakers": reports})
        return
    print_table(
        ("BREAKER", "STATE", "FAILURES", "NEXT PROBE", "OPENED", "CALLS", "FAILED", "REFUSED"),
        [
            (
                report.name,
                report.state,
                report.failures,
                instant(report.next_probe_ms),
                report.opened_total,
                report.calls,
                report.failed_total,
                report.refused_total,
            )
            for report in reports
        ],
    )


@command.command("show", epilog="Example: maestro-runtime breaker show command:build.py")
@click.argument("name", metavar="NAME")
@state_dir_option
@json_option
def show(name: str, state_dir: str | None, **options: Any) -> None:
    """Show a breaker: state, counters, ends of calls, policy."""
    from maestro_runtime.reports.breakers import breaker_report

    with open_records(state_dir) as store:
        report = breaker_report(store, name)
    if options["as_json"]:
        _print_json(report)
        return
    ended = ", ".join(f"{count} {outcome}" for outcome, count in report.outcomes.items())
    rows: list[tuple[str, object]] = [
        ("state", report.state),
        ("changed by hand", report.changed_by or "-"),
        ("failures in a row", report.failures),
        ("opened in a row", report.opened_in_a_row),
        ("next probe", instant(report.next_probe_ms)),
        ("opened in all", report.opened_total),
        ("failed in all", report.failed_total),
        ("refused in all", report.refused_total),
        ("calls ended", f"{report.calls} ({ended})" if ended else "0"),
        *(
            (f"policy {key}", "-" if value is None else value)
            for key, value in report.policy.items()
        ),
    ]
    print_table((report.name, ""), rows)


@command.command("open", epilog="Example: maestro-runtime breaker open command")
@click.argument("name", metavar="NAME")
@state_dir_option
@json_option
def open_breaker(name: str, state_dir: str | None, **options: Any) -> None:
    """Open a breaker: no call leaves.

    Until its reset delay has passed; then one call is let through as a probe. Durable on return.
    """
    from maestro_runtime.wire.orders import OpenBreaker

    with open_desk(state_dir) as desk:
        report = desk.carry_out(OpenBreaker(name=name, by=user_name()))
    if options["as_json"]:
        _print_json(report)
    until = instant(report.next_probe_ms)
    say(f"breaker {name} is open until {until}; to close it: {to_type(f'breaker reset {name}')}")


@command.command("reset", epilog="Example: maestro-runtime breaker reset command")
@click.argument("name", metavar="NAME")
@state_dir_option
@json_option
def reset(name: str, state_dir: str | None, **options: Any) -> None:
    """Close a breaker and forget its failures; durable on return."""
    from maestro_runtime.wire.orders import CloseBreaker

    with open_desk(state_dir) as desk:
        report = desk.carry_out(CloseBreaker(name=name, by=user_name()))
    if options["as_json"]:
        _print_json(report)
    say(f"breaker {name} is closed")


def _print_json(report: "BreakerReport") -> None:
    print_json({"schema": SCHEMA, "breaker": report})
