"""The events of all sessions: those on record, and those to come, over restarts of their owner."""

import heapq
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import chain
from pathlib import Path
from socket import socket as Socket  # noqa: N812 - the name is that of a path here
from typing import Final, NamedTuple

import msgspec

from maestro_runtime.cli._access import Owner, open_records
from maestro_runtime.cli._options import state_path
from maestro_runtime.cli._output import json_text, print_live, say
from maestro_runtime.cli._progress import event_line, event_text
from maestro_runtime.cli._since import Since
from maestro_runtime.wire.errors import DaemonUnreachable, EventsMissed
from maestro_runtime.wire.faults import error_of
from maestro_runtime.wire.frames import Events, FollowAll, Refusal, packed, receive
from maestro_runtime.wire.line import ANSWER_SECONDS, SOCKET_NAME, Line, connected
from maestro_storage import Records
from maestro_storage.records import EventRecord

BACKOFF_SECONDS: Final = 0.5
"""Between two looks for an owner."""

_event = msgspec.msgpack.Decoder(EventRecord).decode

Seen = dict[str, tuple[int, int]]
"""Sequence and instant of the last event of each session that is not to be passed on again."""


class Wanted(NamedTuple):
    """Which events are passed on."""

    session_id: str | None = None
    """None: of all sessions."""
    task_id: str | None = None
    kinds: tuple[str, ...] = ()
    """One of them, or of its family: `attempt` has `attempt_failed`. None: any."""
    since: Since = Since()

    def has(self, event: EventRecord) -> bool:
        """Whether an event is one of them."""
        return (
            self.session_id in (None, event.session_id)
            and self.task_id in (None, event.task_id)
            and (self.since.at_ms is None or event.at_ms >= self.since.at_ms)
            and (not self.kinds or any(_is_of(event.kind, kind) for kind in self.kinds))
        )


def _is_of(kind: str, family: str) -> bool:
    return f"{kind}_".startswith(f"{family}_")


def recorded(store: Records, wanted: Wanted, seen: Seen) -> Iterator[EventRecord]:
    """Yield the events on record that are wanted, in the order of time; note them in `seen`."""
    histories = []
    for session_id in _sessions(store, wanted):
        after, _ = seen.get(session_id, (0, 0))
        if after and store.events.count(session_id) < after:
            # It was removed, and begun anew under the same name.
            after = 0
        histories.append(store.events.scan(session_id, after=after))
    order = heapq.merge(
        *histories, key=lambda event: (event.at_ms, event.session_id, event.sequence)
    )
    for event in order:
        seen[event.session_id] = (event.sequence, event.at_ms)
        if wanted.has(event):
            yield event


def passed_over(store: Records, wanted: Wanted) -> Seen:
    """Return what is taken for seen: what comes before a sequence, or else all there is."""
    sequence, now_ms = wanted.since.sequence, time.time_ns() // 1_000_000
    return {
        session_id: (store.events.count(session_id) if sequence is None else sequence - 1, now_ms)
        for session_id in _sessions(store, wanted)
    }


def followed(socket: Path, wanted: Wanted, seen: Seen | None) -> Iterator[EventRecord]:
    """Yield events that are wanted, as they become durable, each once; for ever.

    Whoever owns the state is asked, and after it whoever comes next: what has happened meanwhile is
    read from the records. What is no event of theirs yet is waited for.

    Args:
        socket: Of the owner.
        wanted: Which.
        seen: What is taken for seen; None: what is on record when the owner is first reached.
    """
    is_lost = False
    while True:
        try:
            with _listening(socket) as (stream, owner):
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


def print_events(
    state_dir: str | None, wanted: Wanted, *, follow: bool, from_now: bool, as_json: bool
) -> None:
    """Print events on stdout, one line each, and go on with those to come if that is wanted."""
    seen: Seen | None = None
    if not from_now:
        with open_records(state_dir) as store:
            seen = {} if wanted.since.sequence is None else passed_over(store, wanted)
            for event in recorded(store, wanted, seen):
                if not _print(event, wanted, as_json=as_json):
                    return
    if not follow:
        return
    for event in followed(state_path(state_dir) / SOCKET_NAME, wanted, seen):
        if not _print(event, wanted, as_json=as_json):
            return


def _print(event: EventRecord, wanted: Wanted, *, as_json: bool) -> bool:
    """Print one event; False if nobody reads any more."""
    if as_json:
        return print_live(json_text(event_line(event)))
    text = event_text(event)
    if wanted.session_id is None and event.task_id:
        at, _, rest = text.partition(" ")
        text = f"{at} {event.session_id}/{rest}"
    return print_live(text)


def _sessions(store: Records, wanted: Wanted) -> list[str]:
    if wanted.session_id is not None:
        return [store.require_session(wanted.session_id).session_id]
    return [record.session_id for record in store.sessions.scan()]


@contextmanager
def _listening(socket: Path) -> Iterator[tuple[Iterator[EventRecord], Owner]]:
    """Lend the events from now on, and who tells them; what it knows is asked on a line beside."""
    stream, _ = connected(socket, ANSWER_SECONDS)
    with stream, Line(socket) as line:
        stream.sendall(packed(FollowAll(id=1)))
        _received(stream, socket)
        stream.settimeout(None)
        yield chain.from_iterable(iter(partial(_received, stream, socket), None)), Owner(line)


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
