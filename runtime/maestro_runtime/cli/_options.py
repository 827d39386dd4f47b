"""What several commands take from their caller: options, the state directory, the user."""

import getpass
import os
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeVar

import click

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])

_AGE: Final = re.compile(r"(\d{1,6})([smhd])")
_AGE_MS: Final = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def state_dir_option(function: FunctionT) -> FunctionT:
    """Add `--state-dir`."""
    return click.option(
        "--state-dir",
        metavar="DIR",
        help="Where the state is kept (MAESTRO_STATE_DIR; default /var/maestro/state).",
    )(function)


def stop_options(function: FunctionT) -> FunctionT:
    """Add `--only` and `--until`."""
    only = click.option("--only", metavar="PHASE", help="Run this phase alone, then pause.")
    until = click.option(
        "--until", metavar="PHASE", help="Run this phase and all before it, then pause."
    )
    return only(until(function))


def json_option(function: FunctionT) -> FunctionT:
    """Add `--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")(function)


def context_option(function: FunctionT) -> FunctionT:
    """Add `--context`."""
    return click.option(
        "--context",
        metavar="JSON",
        help='What applies to every persona in this run, such as {"retry": {"max_rounds": 1}}.',
    )(function)


def timeout_option(function: FunctionT) -> FunctionT:
    """Add `--timeout`; the function gets `timeout_seconds`, or None."""
    return click.option(
        "--timeout",
        "timeout_seconds",
        metavar="SECONDS",
        type=click.FloatRange(min=0),
        help="Wait no longer; exits 124. A session that a daemon runs goes on.",
    )(function)


def accept_changes_option(function: FunctionT) -> FunctionT:
    """Add `--accept-changes`."""
    return click.option(
        "--accept-changes",
        is_flag=True,
        help="Go on with a changed team: what has not ended follows it.",
    )(function)


class InstantType(click.ParamType[int]):
    """An instant: a date or a time of day of one, in UTC unless it says otherwise, or an age."""

    name = "when"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return wall-clock milliseconds since the epoch."""
        age = _AGE.fullmatch(value)
        if age is not None:
            return max(0, time.time_ns() // 1_000_000 - int(age[1]) * _AGE_MS[age[2]])
        try:
            at = datetime.fromisoformat(value)
            at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
            at_ms = round(at.timestamp() * 1000)
        except (ValueError, OverflowError):
            at_ms = -1
        if at_ms < 0:
            rule = "2026-11-21, 2026-11-21T10:00, or an age such as 30s, 90m, 24h or 7d"
            self.fail(f"must be an instant like {rule}, got {value!r}", param, ctx)
        return at_ms


def period_options(function: FunctionT) -> FunctionT:
    """Add `--since` and `--until`; the function gets `since_ms` and `until_ms`, or None."""
    text = "2026-11-21, 2026-11-21T10:00 (UTC) or an age: 90m, 24h, 7d"
    until = click.option(
        "--until", "until_ms", metavar="WHEN", type=InstantType(), help="And before it."
    )
    since = click.option(
        "--since",
        "since_ms",
        metavar="WHEN",
        type=InstantType(),
        help=f"From this hour on: {text}.",
    )
    return since(until(function))


def require_period(since_ms: int | None, until_ms: int | None) -> None:
    """Refuse a period in which nothing can lie."""
    if since_ms is not None and until_ms is not None and since_ms >= until_ms:
        raise click.UsageError("--until must be later than --since")


def state_path(state_dir: str | None) -> Path:
    """Return the state directory in force.

    Raises:
        SettingInvalid: The flag or the environment does not name a directory.
    """
    from maestro_runtime.config import Flags, resolve_settings

    return resolve_settings(Flags(state_dir=state_dir), os.environ).state_dir.value


def named_socket() -> Path | None:
    """Return the socket of an owner that the environment names, if it does."""
    named = os.environ.get("MAESTRO_SOCKET")
    return Path(named).absolute() if named else None


def names_state() -> bool:
    """Whether the environment names a state directory."""
    return bool(os.environ.get("MAESTRO_STATE_DIR"))


def user_name() -> str:
    """Return the name of who gives the command; empty if the system knows none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""
