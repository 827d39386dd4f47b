"""Where a list of events begins, as its caller says it."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import click

from maestro_runtime.cli._options import InstantType

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])


class Since(NamedTuple):
    """Where a list of events begins."""

    sequence: int | None = None
    """At this one of each session."""
    at_ms: int | None = None
    """At this instant."""


class SinceType(click.ParamType[Since]):
    """The number of an event, or an instant."""

    name = "since"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Since:
        """Return where to begin."""
        if value.isdecimal() and len(value) <= len(str(1 << 53)):
            return Since(sequence=max(1, int(value)))
        return Since(at_ms=InstantType().convert(value, param, ctx))


def since_option(function: FunctionT) -> FunctionT:
    """Add `--since`; the function gets a `Since`, or None."""
    return click.option(
        "--since",
        metavar="WHEN|NUMBER",
        type=SinceType(),
        help="From then on: a date, an age such as 90m, or the number of an event.",
    )(function)


def follow_option(function: FunctionT) -> FunctionT:
    """Add `--follow`."""
    return click.option("-f", "--follow", is_flag=True, help="Go on with what happens.")(function)
