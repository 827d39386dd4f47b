"""`maestro-runtime events`."""

from typing import Any

import click
from click.shell_completion import CompletionItem

from maestro_runtime.cli._access import open_records
from maestro_runtime.cli._options import json_option, state_dir_option
from maestro_runtime.cli._sessions import find_session
from maestro_runtime.cli._since import Since, follow_option, since_option


class KindType(click.ParamType[str]):
    """A kind of events, or a family of them."""

    name = "kind"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the kind; no other one is ever on record."""
        from maestro_runtime.cli._event_line import FAMILIES, KINDS, is_of

        if not any(is_of(kind, value) for kind in KINDS):
            known = f"{', '.join(sorted(FAMILIES))}, or one of {', '.join(sorted(KINDS))}"
            self.fail(f"must be one of {known}, got {value!r}", param, ctx)
        return str(value)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem[str]]:
        """Return the kinds and families that begin like this."""
        from maestro_runtime.cli._event_line import FAMILIES, KINDS

        return [
            CompletionItem(kind) for kind in sorted(KINDS | FAMILIES) if kind.startswith(incomplete)
        ]


@click.command("events", epilog="Example: maestro-runtime events -f --kind task_help_needed")
@follow_option
@click.option("--session", "given", metavar="SESSION", help="Of this session alone.")
@click.option(
    "--kind",
    "kinds",
    metavar="KIND",
    type=KindType(),
    multiple=True,
    help="Of this kind, or family of kinds (attempt, task ...); repeatable.",
)
@since_option
@state_dir_option
@json_option
def command(
    given: str | None,
    kinds: tuple[str, ...],
    since: Since | None,
    state_dir: str | None,
    *,
    follow: bool,
    as_json: bool,
) -> None:
    """Print what has happened in all sessions, in the order of time, one line each.

    With -f it goes on with what happens, over restarts of whoever runs sessions, without a gap and
    without anything twice; without --since it then begins with now. Ctrl-C ends it (130).
    """
    from maestro_runtime.cli._events import Wanted, print_events

    session_id = None
    if given is not None:
        with open_records(state_dir) as store:
            session_id = find_session(store, given)
    wanted = Wanted(session_id=session_id, kinds=kinds, since=since or Since())
    from_now = follow and since is None
    print_events(state_dir, wanted, follow=follow, from_now=from_now, as_json=as_json)
