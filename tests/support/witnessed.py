"""A run whose every acknowledged event is in a file the moment it is out: see `main`."""

import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from committer import Committer, appoint
from invariants import as_line
from maestro_runtime import RuntimeOptions, SessionOrder, open_runtime
from maestro_runtime.cli._event_line import EventLine
from maestro_runtime.config import Flags, load_team, resolve_settings
from maestro_storage import CommitObserver, Journal, StoreOptions, _environment, _journal, _writer
from maestro_storage.records import EventRecord
from maestro_storage.transition import Transition

SESSION = "witnessed"

_write: Final = Journal._write
_write_batch: Final = _writer.Writer.write


def main(
    team: str,
    state: str,
    output: str,
    witness: str,
    sabotage: str = "",
    *,
    committer: Committer = "disk",
    observer: CommitObserver | None = None,
) -> None:
    """Run the session to its end, or take it up.

    `sabotage` breaks the durability on purpose: "unsynced" lets LMDB write without waiting for the
    disk, "early" acknowledges an event when it is written and not yet committed, "eager" delivers
    before the commit, "torn" makes two commits of a transition.
    """
    appoint(committer)
    acknowledge = acknowledger(witness)
    if sabotage == "unsynced":
        lmdb = vars(_environment)["lmdb"]
        lmdb.open = partial(lmdb.open, sync=False)
    if sabotage == "early":
        _acknowledge_early(acknowledge)
    if sabotage == "eager":
        vars(_journal)["Journal"]._write = _deliver_and_write
    if sabotage == "torn":
        vars(_writer)["Writer"].write = _write_in_halves
    loaded = load_team(team, settings=resolve_settings(Flags(), {}))
    options = RuntimeOptions(store=StoreOptions(ballast_bytes=1 << 16), observer=observer)
    with open_runtime(state, options) as runtime:
        if sabotage != "early":
            runtime.subscribe(acknowledge)
        runtime.run(SessionOrder(loaded.team, SESSION, Path(output))).result(30.0)


def acknowledger(witness: str) -> Callable[[EventRecord], None]:
    """Return a listener that writes each event into a file at once."""
    log = os.open(witness, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def acknowledge(event: EventRecord) -> None:
        os.write(log, msgspec.json.encode(as_line(event)) + b"\n")

    return acknowledge


def acknowledged(witness: Path) -> list[EventLine]:
    """Return the events a file holds, but for one that a kill has cut short."""
    if not witness.exists():
        return []
    lines = witness.read_bytes().splitlines(keepends=True)
    return [msgspec.json.decode(line, type=EventLine) for line in lines if line.endswith(b"\n")]


def _acknowledge_early(acknowledge: Callable[[EventRecord], None]) -> None:
    number: Callable[..., list[EventRecord]] = _writer.Writer._numbered

    def number_and_tell(*arguments: object) -> list[EventRecord]:
        events = number(*arguments)
        for event in events:
            acknowledge(event)
        return events

    vars(_writer)["Writer"]._numbered = number_and_tell


def _deliver_and_write(journal: Journal, batch: list[_journal._Entry]) -> None:
    for work, *_ in batch:
        if isinstance(work, Transition):
            for delivery in work.deliveries:
                journal._ports.deliver(delivery.address, delivery.message)
            work.deliveries = ()
    _write(journal, batch)


def _write_in_halves(writer: _writer.Writer, batch: Sequence[_writer.Work]) -> list[EventRecord]:
    return [
        event for work in batch for half in _halves(work) for event in _write_batch(writer, [half])
    ]


def _halves(work: _writer.Work) -> tuple[_writer.Work, ...]:
    if not isinstance(work, Transition):
        return (work,)
    half = len(work.changes) // 2
    changes = work.changes
    return Transition(changes[:half]), msgspec.structs.replace(work, changes=changes[half:])


if __name__ == "__main__":
    main(*sys.argv[2:], committer=sys.argv[1])  # type: ignore[arg-type] # the other end is `straced`
