"""Which session a user means: an id, the beginning of one, or `@last`."""

import shlex
from typing import TYPE_CHECKING, Final

import click

from maestro_runtime.cli._output import say

if TYPE_CHECKING:
    from collections.abc import Collection

    from maestro_storage import Records

LAST: Final = "@last"
"""Stands for the session that was started last."""

CANDIDATES_NAMED: Final = 10
"""Most sessions that the message about an ambiguous prefix lists."""


def find_session(store: "Records", given: str, *, helps: bool = True) -> str:
    """Return the id of the session that `given` stands for.

    Args:
        store: Where to look; its damaged sessions can be named too.
        given: A session id, a prefix of at least one character that only one session has, or
            `@last`.
        helps: If no session is meant, say what may be.

    Raises:
        NotFound: No session is meant.
        click.UsageError: Several sessions begin like this.
    """
    from maestro_storage.errors import NotFound

    if given == LAST:
        newest = max(store.sessions.scan(), key=lambda record: record.created_ms, default=None)
        if newest is None:
            raise NotFound("session", given)
        return newest.session_id
    known = {record.session_id for record in store.sessions.scan()} | set(store.quarantined)
    if given in known:
        return given
    # An empty name is a variable that a script never set: it must not mean the only session.
    beginnings = [session_id for session_id in known if given and session_id.startswith(given)]
    candidates = sorted(beginnings)
    if not candidates:
        if helps:
            say(_instead(given, known))
        raise NotFound("session", given)
    if len(candidates) > 1:
        raise click.UsageError(_ambiguous(given, candidates))
    return candidates[0]


def _instead(given: str, known: "Collection[str]") -> str:
    """Return what helps whoever has mistyped a session."""
    import difflib

    close = difflib.get_close_matches(given, known, 1)
    mean = f"did you mean {close[0]!r}? " if close else ""
    return f"{mean}to see all sessions: {to_type('session list')}"


def state_text(state: str, *, set_aside: bool) -> str:
    """Return the state of a session as tables show it."""
    return f"{state}, set aside" if set_aside else state


def to_go_on(session_id: str) -> str:
    """Return what to type for a session that rests."""
    return f"to go on: {to_type(f'session resume {session_id}')}"


def to_leave_safe_mode() -> str:
    """Return what to type for a daemon that runs nothing."""
    return f"to have sessions run again: {to_type('state leave-safe-mode')}"


def to_type(command: str) -> str:
    """Return a command about the state of this one: the flag that names it must be given again."""
    context = click.get_current_context(silent=True)
    state_dir = None if context is None else context.params.get("state_dir")
    flag = "" if state_dir is None else f" --state-dir {shlex.quote(state_dir)}"
    return f"maestro-runtime {command}{flag}"


def _ambiguous(given: str, candidates: list[str]) -> str:
    names = ", ".join(candidates[:CANDIDATES_NAMED])
    if len(candidates) > CANDIDATES_NAMED:
        names += f" and {len(candidates) - CANDIDATES_NAMED} more"
    return f"several sessions begin with {given!r}: {names}"
