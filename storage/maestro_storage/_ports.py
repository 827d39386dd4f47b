"""What a store calls and is called with: the seams to the rest of the process."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol

from maestro_storage.errors import NotFound, StorageError
from maestro_storage.records import EventRecord


class CommitObserver(Protocol):
    """Sees every commit of the journal, on its thread. For tests that kill at a boundary."""

    def before_commit(self, number: int) -> None:
        """Everything of commit `number` (1-based in this process) is written, nothing durable."""

    def after_commit(self, number: int) -> None:
        """Commit `number` is durable, nothing of it is delivered or acknowledged yet."""


def wall_clock_ms() -> int:
    """Return milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def _deliver_nowhere(address: str, _message: bytes) -> None:
    """Refuse a delivery in a process that has no actors."""
    raise NotFound("address", address)


@dataclass(frozen=True, kw_only=True)
class StorePorts:
    """Callables of a store.

    They run on the thread that writes unless noted: the writer thread, or one that writes in its
    place. They must not wait for the store, and must not raise: an exception stops the store as a
    failure does.
    """

    deliver: Callable[[str, bytes], None] = _deliver_nowhere
    """Called with address and message of each delivery, in order, once it is durable."""
    gathering: Callable[[], AbstractContextManager[None]] = nullcontext
    """Entered around all deliveries of a commit, so that who gets them is woken once."""
    on_events: Callable[[list[EventRecord]], None] | None = None
    """Called with the numbered events of each commit, after its deliveries and futures."""
    on_degraded: Callable[[str], None] | None = None
    """Called with the reason when the ballast is given up; also by `open`, on its thread."""
    on_failure: Callable[[StorageError], None] | None = None
    """Called once when the store stops acknowledging; the process is to end."""
    observer: CommitObserver | None = None
    now_ms: Callable[[], int] = wall_clock_ms
    """Wall clock; used on the caller's thread."""
