"""What a shell completes beside commands and options: names of what is on record now."""

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import click
from click.shell_completion import CompletionItem

from maestro_runtime.cli._access import open_records
from maestro_runtime.cli._sessions import LAST, find_session

if TYPE_CHECKING:
    from maestro_storage import Records

PATIENCE_SECONDS: Final = 0.2
"""Longest wait for names: whoever presses a key must not wait for a large state."""

NAMES_MAX: Final = 100
"""Most sessions that are offered, the newest first."""

Look = Callable[["Records", click.Context], list[str]]


class NameType(click.ParamType[str]):
    """A text for which names on record are offered."""

    name = "text"

    def __init__(self, look: Look) -> None:
        self._look = look

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the text as it is."""
        return str(value)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem[str]]:
        """Return the names that begin like this; none if they are not found in time."""
        found: list[str] = []

        def look() -> None:
            # Whatever is wrong is told when the command is run.
            with (
                suppress(Exception),
                open_records(ctx.params.get("state_dir"), at_once=True) as store,
            ):
                found.extend(self._look(store, ctx))

        _load()
        # A daemon: what takes longer ends with the process.
        thread = threading.Thread(target=look, daemon=True)
        thread.start()
        thread.join(PATIENCE_SECONDS)
        return [CompletionItem(name) for name in found if name.startswith(incomplete)]


def _load() -> None:
    """Load what a look needs before the clock runs: the time is meant for disk and owner."""
    import maestro_runtime.cli._contact
    import maestro_runtime.wire.records  # noqa: F401 - of an owner
    from maestro_runtime.config import Flags, resolve_settings  # noqa: F401 - where the state is
    from maestro_storage import Store  # noqa: F401 - of a state that nobody owns


def completable(command: click.Command) -> click.Command:
    """Have a command, and all below it, complete the names it takes."""
    for parameter in command.params:
        look = _LOOKS.get((parameter.metavar or "").strip("[]"))
        if look is not None:
            parameter.type = NameType(look)
    if isinstance(command, click.Group):
        for below in command.commands.values():
            completable(below)
    return command


def _sessions(store: "Records", _ctx: click.Context) -> list[str]:
    records = sorted(store.sessions.scan(), key=lambda record: -record.created_ms)
    return [*(record.session_id for record in records[:NAMES_MAX]), LAST]


def _contracts(store: "Records", ctx: click.Context) -> list[str]:
    return [task.task_id for task in store.tasks.scan(_session_of(store, ctx))]


def _phases(store: "Records", ctx: click.Context) -> list[str]:
    """Return the phases of a session, and what its checkpoints are called."""
    session_id = _session_of(store, ctx)
    phases = [task.phase for task in store.tasks.scan(session_id)]
    named = [item.phase for item in store.checkpoints.scan(session_id)]
    return list(dict.fromkeys([*phases, *named]))


def _breakers(store: "Records", ctx: click.Context) -> list[str]:
    if ctx.parent is None or ctx.parent.info_name != "breaker":
        return []
    from maestro_runtime.reports.breakers import breaker_reports

    return [report.name for report in breaker_reports(store)]


def _budgets(store: "Records", _ctx: click.Context) -> list[str]:
    named = {row.counter.budget_id for row in store.counters.scan()}
    personas = {f"persona/{row.persona_id}" for row in store.budgets.scan()}
    return sorted(named | personas)


def _session_of(store: "Records", ctx: click.Context) -> str:
    # Behind an option that has no value yet, click has not told arguments apart.
    given = ctx.params.get("session_id") or next(iter(ctx.args))
    return find_session(store, given, helps=False)


_LOOKS: Final[dict[str, Look]] = {
    "SESSION": _sessions,
    "CONTRACT": _contracts,
    "PHASE": _phases,
    "NAME": _breakers,
    "BUDGET": _budgets,
}
"""By what the help calls the parameter."""
