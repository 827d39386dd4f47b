"""Requests that wait for something to happen in sessions: their events, their ends."""

from typing import Final

import msgspec

from maestro_actors.messages import Request

NEWS_ADDRESS: Final = "urn:maestro:news"
"""Where a process is asked what happens in its sessions."""

SESSIONS_MAX: Final = 4096
"""In one question."""


class EventBatch(msgspec.Struct, frozen=True, kw_only=True):
    """Events of a session, in order and without a gap, durable."""

    events: tuple[bytes, ...]
    """Encoded `EventRecord`s."""
    over: bool
    """The session rests, and there are no more."""


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """Sessions in which nothing can run any more, for now or for good."""

    epoch: int
    number: int
    """Of the last of them; for the next question."""
    sessions: tuple[str, ...]
    missed: bool = False
    """There may have been others that nobody knows of any more: look at those that matter."""
    left: dict[str, str] = {}
    """Those that have not ended, but nobody goes on with; and why."""


class Resting(msgspec.Struct, frozen=True, kw_only=True):
    """Those of some sessions in which nothing runs, or that there are not."""

    sessions: tuple[str, ...]
    left: dict[str, str] = {}
    """Those of them that have work left, but nobody goes on with; and why."""


class PhasesOver(msgspec.Struct, frozen=True, kw_only=True):
    """None of the phases goes on any more."""


class TicketsSettled(msgspec.Struct, frozen=True, kw_only=True):
    """All that could be delivered in time was."""

    delivered: bool
    """Whether that is everything."""


class NextEvents(Request[EventBatch], frozen=True, kw_only=True):
    """Ask for the next events of a session, at least one, or that it is over."""

    session_id: str
    since: int
    """Sequence of the first one wanted; 1 for all."""


class NextEnds(Request[Ended], frozen=True, kw_only=True):
    """Ask for the next ends of sessions, at least one."""

    epoch: int
    """Of the answer before; 0 if there was none."""
    after: int


class WhoRests(Request[Resting], frozen=True, kw_only=True):
    """Ask in which of some sessions nothing runs, by what is on record."""

    sessions: tuple[str, ...]


class AwaitPhases(Request[PhasesOver], frozen=True, kw_only=True):
    """Ask to be told when none of some phases of a session goes on."""

    session_id: str
    phases: tuple[str, ...]


class SettleTickets(Request[TicketsSettled], frozen=True, kw_only=True):
    """See `Runtime.settle_tickets`."""

    session_id: str
    timeout_seconds: float


NewsRequest = NextEvents | NextEnds | WhoRests | AwaitPhases | SettleTickets
