"""The events of all sessions as they become durable, over restarts of their owner."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import chain
from pathlib import Path
from socket import socket as Socket  # noqa: N812 - the name is that of a path here
from typing import Final

import msgspec

from maestro_runtime.cli._contact import reached_at_once
from maestro_runtime.cli._events import Seen, Wanted, passed_over, recorded
from maestro_runtime.cli._output import say
from maestro_runtime.cli._owner import Owner
from maestro_runtime.wire.errors import DaemonUnreachable, EventsMissed
from maestro_runtime.wire.faults import error_of
from maestro_runtime.wire.frames import Events, FollowAll, Refusal, packed, receive
from maestro_runtime.wire.line import ANSWER_SECONDS, connected
from maestro_storage.records import EventRecord

BACKOFF_SECONDS: Final = 0.5
"""Between two looks for an owner."""

_event = msgspec.msgpack.Decoder(EventRecord).decode


def followed(state_dir: str | None, wanted: Wanted, seen: Seen | None) -> Iterator[EventRecord]:
    """Yield events that are wanted, as they become durable, each once; for ever.

    Whoever owns the state is asked, and after it whoever comes next: what has happened meanwhile is
    read from the records. What is no event of theirs yet is waited for.

    Args:
        state_dir: As the flag says it, if it was given.
        wanted: Which.
        seen: What is taken for seen; None: what is on record when the owner is first reached.
    """
    is_lost = False
    while True:
        try:
            with _listening(state_dir) as (stream, owner):
                if is_lost:
                    say("it is back")
                    is_lost = False
                if seen is None:
                    seen = passed_over(owner.records, wanted)
                yield from recorded(owner.records, wanted, seen)
                for event in stream:
                    sequence, at_ms = seen.get(event.session_id, (0, 0))
                    # A later one with a smaller number is of another session of that name.
                    if event.sequence > sequence or event.at_ms > at_ms:
                        seen[event.session_id] = (event.sequence, event.at_ms)
                        if wanted.has(event):
                            yield event
        except EventsMissed:
            continue
        except DaemonUnreachable:
            if not is_lost:
                say("nobody runs sessions here; waiting for somebody")
                is_lost = True
            time.sleep(BACKOFF_SECONDS)


@contextmanager
def _listening(state_dir: str | None) -> Iterator[tuple[Iterator[EventRecord], Owner]]:
    """Lend the events from now on, and who tells them; what it knows is asked on a line beside."""
    with reached_at_once(state_dir) as line:
        stream, _ = connected(line.path, ANSWER_SECONDS)
        with stream:
            stream.sendall(packed(FollowAll(id=1)))
            _received(stream, line.path)
            stream.settimeout(None)
            received = partial(_received, stream, line.path)
            yield chain.from_iterable(iter(received, None)), Owner(line)


def _received(stream: Socket, path: Path) -> list[EventRecord]:
    try:
        frame = receive(stream)
    except OSError as error:
        raise DaemonUnreachable(str(path), error.strerror or str(error)) from error
    match frame:
        case Events():
            return [_event(event) for event in frame.events]
        case Refusal():
            raise error_of(frame)
        case _:
            raise DaemonUnreachable(str(path), "it closed the connection")
