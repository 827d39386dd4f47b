"""Waiting for what the help desk makes durable: answers, and the end of deliveries."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from maestro_storage.records import EventRecord, OutboxRecord

_KINDS: Final = frozenset(
    {"ticket_filed", "ticket_delayed", "alert_sent", "alert_delayed", "task_answered"}
)


class HelpWatch:
    """Wakes who waits for answers and deliveries, by the events that tell of them. Any thread."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._awaited: dict[tuple[str, str], bool] = {}
        """Tasks of which an answer is waited for, and whether it has come."""
        self._failure: BaseException | None = None

    def note(self, events: Iterable[EventRecord]) -> None:
        """Take notice of durable events of any kind."""
        for event in events:
            if event.kind in _KINDS:
                with self._changed:
                    task = event.session_id, event.task_id
                    if event.kind == "task_answered" and task in self._awaited:
                        self._awaited[task] = True
                    self._changed.notify_all()

    def fail(self, error: BaseException) -> None:
        """Nothing becomes durable any more: whoever waits, now or later, gets the error."""
        with self._changed:
            self._failure = self._failure or error
            self._changed.notify_all()

    @contextmanager
    def expecting(self, session_id: str, task_id: str) -> Iterator[Callable[[float], bool]]:
        """Lend what waits, so many seconds at most, until a task was answered since this call.

        It returns False if that was not in time, and raises the error that `fail` was told, if the
        task was not answered before. One caller at a time for each task.
        """
        task = session_id, task_id
        self._awaited[task] = False

        def answered(timeout_seconds: float) -> bool:
            with self._changed:
                self._changed.wait_for(
                    lambda: self._awaited[task] or self._failure, timeout_seconds
                )
                if self._failure is not None and not self._awaited[task]:
                    raise self._failure
                return self._awaited[task]

        try:
            yield answered
        finally:
            del self._awaited[task]

    def settle(
        self,
        unsent: Callable[[], list[OutboxRecord]],
        now_ms: Callable[[], int],
        timeout_seconds: float,
    ) -> bool:
        """Wait until nothing is unsent, or all of it has to wait for longer than is left.

        Args:
            unsent: Reads what is to be sent.
            now_ms: The clock of its deadlines.
            timeout_seconds: Longest wait.

        Returns:
            Whether nothing is unsent. Raises the error that `fail` was told, if something is.
        """
        deadline = time.monotonic() + timeout_seconds
        with self._changed:
            while rows := unsent():
                if self._failure is not None:
                    raise self._failure
                left_seconds = deadline - time.monotonic()
                latest_ms = now_ms() + left_seconds * 1000
                too_late = all((row.deadline_ms or 0) > latest_ms for row in rows)
                if too_late or left_seconds <= 0:
                    return False
                self._changed.wait(left_seconds)
        return True
