"""The events of a session that another process runs, through its socket, over its restarts."""

import select
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from maestro_runtime.cli._owner import Owner
from maestro_runtime.wire.errors import DaemonUnreachable
from maestro_runtime.wire.faults import error_of
from maestro_runtime.wire.frames import Events, Follow, Refusal, packed, receive
from maestro_runtime.wire.line import ANSWER_SECONDS, Line, connected
from maestro_storage.records import EventRecord

TICK_SECONDS: Final = 0.2
"""Longest time in which nothing is yielded."""

PATIENCE_SECONDS: Final = 60.0
"""How long a daemon that is gone may take to come back."""

_event = msgspec.msgpack.Decoder(EventRecord).decode

Sight = tuple[Owner | None, list[EventRecord]]
"""Who runs the session now, if anybody is there, and what has happened since the last sight."""


def followed(socket: Path, session_id: str, since: int = 1) -> Iterator[Sight]:
    """Yield the events of a session from a sequence on, each once and in order, for ever.

    Nothing may have happened: there is a sight a few times a second.

    Raises:
        DaemonUnreachable: Nobody runs the session any more, and nobody has come back in a minute.
        NotFound: There is no such session, or not any more.
        SessionQuarantined: A record of it is damaged.
    """
    lost_since: float | None = None
    while True:
        try:
            for owner, events in _once(socket, session_id, since):
                lost_since = None
                if events:
                    since = events[-1].sequence + 1
                yield owner, events
        except DaemonUnreachable:
            lost_since = lost_since or time.monotonic()
            if time.monotonic() - lost_since > PATIENCE_SECONDS:
                raise
            yield None, []
            select.select((), (), (), TICK_SECONDS)


def _once(socket: Path, session_id: str, since: int) -> Iterator[Sight]:
    """Follow over one connection; another one is for what is asked meanwhile."""
    stream, _ = connected(socket, ANSWER_SECONDS)
    with stream, Line(socket) as line:
        owner = Owner(line)
        stream.sendall(packed(Follow(id=1, session_id=session_id, since=since)))
        yield owner, []
        while True:
            ready, _, _ = select.select((stream,), (), (), TICK_SECONDS)
            if not ready:
                yield owner, []
                if line.is_closed:
                    # Who was asked meanwhile stands still: it would be followed for ever.
                    raise DaemonUnreachable(str(socket), "it gives no answer")
                continue
            try:
                frame = receive(stream)
            except OSError as error:
                raise DaemonUnreachable(str(socket), str(error)) from error
            match frame:
                case Events():
                    yield owner, [_event(event) for event in frame.events]
                case Refusal():
                    raise error_of(frame)
                case _:
                    raise DaemonUnreachable(str(socket), "it closed the connection")
