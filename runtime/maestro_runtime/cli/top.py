"""`maestro-runtime top`."""

import sys
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

import click

from maestro_runtime.cli._access import open_owner, open_records
from maestro_runtime.cli._options import json_option, state_dir_option
from maestro_runtime.cli._output import can_draw, instant, print_json, print_lines, table_lines
from maestro_runtime.cli._sessions import state_text

if TYPE_CHECKING:
    from maestro_runtime.reports.lookout import Lookout
    from maestro_runtime.reports.overview import Overview

REFRESH_SECONDS: Final = 2.0
"""Between two looks."""


@click.command("top", epilog="Example: maestro-runtime top --once")
@click.option("--once", is_flag=True, help="One page, as without a terminal.")
@state_dir_option
@json_option
def command(state_dir: str | None, *, once: bool, as_json: bool) -> None:
    """Show what runs, what waits for what, open breakers, and budgets that are half spent.

    On a terminal it goes on, over restarts of whoever runs sessions, until Ctrl-C (130).
    """
    if as_json:
        print_json(_look(state_dir))
    elif once or not can_draw(sys.stdout):
        print_lines(_page(_look(state_dir), ""))
    else:
        _draw(state_dir)


def _look(state_dir: str | None) -> "Overview":
    from maestro_runtime.reports.overview import overview

    with open_records(state_dir) as store:
        return overview(store, _now_ms())


def _draw(state_dir: str | None) -> None:
    """Show pages for ever. While nobody runs sessions, the last one: a look takes the state."""
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    from maestro_runtime.reports.lookout import Lookout

    lookout = Lookout()
    found = _look(state_dir)
    with Live(console=Console(), screen=True, auto_refresh=False) as live:
        while True:
            for found in _looks(state_dir, lookout):
                live.update(Text("\n".join(_page(found, ""))), refresh=True)
                time.sleep(REFRESH_SECONDS)
            page = _page(found, "  nobody runs sessions here")
            live.update(Text("\n".join(page)), refresh=True)
            time.sleep(REFRESH_SECONDS)


def _looks(state_dir: str | None, lookout: "Lookout") -> "Iterator[Overview]":
    """Yield what the owner of a state sees, as long as there is one."""
    from maestro_runtime.reports.overview import overview
    from maestro_runtime.wire.errors import DaemonUnreachable

    try:
        with open_owner(state_dir, at_once=True) as owner:
            while owner is not None:
                yield overview(owner.records, _now_ms(), lookout)
    except DaemonUnreachable:
        return


def _page(found: "Overview", note: str) -> list[str]:
    """Return one page as lines that are safe for a terminal."""
    lines = [
        f"{instant(found.at_ms)} UTC  epoch {found.epoch}{note}",
        f"sessions: {_counts(found.sessions)}",
        f"tasks: {_counts(found.tasks)}",
        f"waiting for: {_counts(found.waits)}",
        f"tokens a minute: {found.tokens_per_minute:,}",
    ]
    for headers, rows in (_sessions(found), _waits(found), _breakers(found), _budgets(found)):
        if rows:
            lines += ["", *table_lines(headers, rows)]
    return lines


_Table = tuple[tuple[str, ...], list[tuple[object, ...]]]
"""Headers and rows."""


def _sessions(found: "Overview") -> _Table:
    headers = ("SESSION", "STATE", "TASKS", "TOKENS", "PER MINUTE", "STARTED")
    return headers, [
        (
            row.session_id,
            f"{row.state}, to {row.wish}"
            if row.wish != "run"
            else state_text(row.state, set_aside=row.set_aside),
            _counts(row.tasks),
            row.tokens_used,
            row.tokens_per_minute,
            instant(row.created_ms),
        )
        for row in found.rows
    ]


def _waits(found: "Overview") -> _Table:
    headers = ("SESSION", "CONTRACT", "WAITS FOR", "UNTIL", "ATTEMPT", "PERSONA", "ENGINE")
    return headers, [
        (
            line.session_id,
            line.task_id,
            f"{line.waits_for} {line.detail}".strip(),
            instant(line.deadline_ms),
            f"{line.attempt} of round {line.round}",
            line.persona_id,
            line.engine,
        )
        for line in found.waiting
    ]


def _breakers(found: "Overview") -> _Table:
    headers = ("BREAKER", "STATE", "FAILURES", "NEXT PROBE")
    return headers, [
        (line.name, line.state, line.failures, instant(line.next_probe_ms))
        for line in found.breakers
    ]


def _budgets(found: "Overview") -> _Table:
    from maestro_runtime.statements.money import figure

    headers = ("BUDGET", "OF", "SESSION", "WINDOW", "METRIC", "LIMIT", "SPENT", "HELD", "SHARE")
    return headers, [
        (
            line.budget_id,
            line.subject or "-",
            line.session_id or "-",
            line.window,
            line.metric,
            *(figure(n, line.metric) for n in (line.limit, line.spent, line.held)),
            f"{line.spent_permille / 10:g} %",
        )
        for line in found.budgets
    ]


def _counts(counts: Mapping[Any, int]) -> str:
    found = (f"{count} {name.replace('_', ' ')}" for name, count in sorted(counts.items()))
    return ", ".join(found) or "none"


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
