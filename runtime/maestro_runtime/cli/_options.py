"""What several commands take from their caller: options, the state directory, the user."""

import getpass
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])


def state_dir_option(function: FunctionT) -> FunctionT:
    """Add `--state-dir`."""
    return click.option(
        "--state-dir",
        metavar="DIR",
        help="Where the state is kept (MAESTRO_STATE_DIR; default /var/maestro/state).",
    )(function)


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


def state_path(state_dir: str | None) -> Path:
    """Return the state directory in force.

    Raises:
        SettingInvalid: The flag or the environment does not name a directory.
    """
    from maestro_runtime.config import Flags, resolve_settings

    return resolve_settings(Flags(state_dir=state_dir), os.environ).state_dir.value


def user_name() -> str:
    """Return the name of who gives the command; empty if the system knows none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""
