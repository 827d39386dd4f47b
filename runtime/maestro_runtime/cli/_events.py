"""The events of all sessions, or of one: those on record, and in `_events_live` those to come."""

import heapq
import time
from collections.abc import Iterator
from typing import NamedTuple

from maestro_runtime.cli._access import open_records
from maestro_runtime.cli._event_line import event_line, event_text, is_of
from maestro_runtime.cli._output import json_text, print_live, say
from maestro_runtime.cli._since import Since
from maestro_storage import Records
from maestro_storage.records import EventRecord

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
            and (not self.kinds or any(is_of(event.kind, kind) for kind in self.kinds))
        )


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
    counts = {name: store.events.count(name) for name in _sessions(store, wanted)}
    return {
        # Not beyond the last one: who has seen more of a session has seen another one of its name.
        name: (count if sequence is None else min(count, sequence - 1), now_ms)
        for name, count in counts.items()
    }


def print_events(
    state_dir: str | None, wanted: Wanted, *, follow: bool, from_now: bool, as_json: bool
) -> None:
    """Print events on stdout, one line each, and go on with those to come if that is wanted."""
    seen: Seen | None = None
    found = False
    if not from_now:
        with open_records(state_dir) as store:
            seen = {} if wanted.since.sequence is None else passed_over(store, wanted)
            for event in recorded(store, wanted, seen):
                found = True
                if not _print(event, wanted, as_json=as_json):
                    return
    if not follow:
        if not (found or as_json):
            say("no events")
        return
    # Only who follows pays for what a connection needs.
    from maestro_runtime.cli._events_live import followed

    for event in followed(state_dir, wanted, seen):
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
