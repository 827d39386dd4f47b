"""Where in the work a thread is, for whoever logs something there.

An actor says it once, for all of its turns; it is looked up only when there is something to log.
"""

from collections.abc import Callable
from contextvars import ContextVar
from typing import Final

Whereabouts = dict[str, str | int]
"""`session_id`, `task_id`, `round`, `attempt`, `call_id`: those that there are."""

_here: Final[ContextVar[Callable[[], Whereabouts] | None]] = ContextVar(
    "maestro_whereabouts", default=None
)


def stand(tell: Callable[[], Whereabouts]) -> None:
    """Have `tell` say where this context is, from now on: an actor's, or an asyncio task's."""
    _here.set(tell)


def whereabouts() -> Whereabouts:
    """Return where this context is; empty if nobody has said it."""
    tell = _here.get()
    return {} if tell is None else tell()
