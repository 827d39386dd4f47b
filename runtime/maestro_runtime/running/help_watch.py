"""Waiting for what the help desk makes durable: answers, and the end of deliveries."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final

from maestro_storage.records import EventRecord, OutboxRecord

_KINDS: Final = frozenset(
    {"ticket_filed", "ticket_delayed", "alert_sent", "alert_delayed", "task_answered"}
)


class HelpWatch:
    """Counts answers and wakes who waits for them, by the events that tell of them. Any thread."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._answers: Counter[tuple[str, str]] = Counter()
        self._failure: BaseException | None = None

    def note(self, events: Iterable[EventRecord]) -> None:
        """Take notice of durable events of any kind."""
        for event in events:
            if event.kind in _KINDS:
                with self._changed:
                    answered = event.kind == "task_answered"
                    self._answers[event.session_id, event.task_id] += answered
                    self._changed.notify_all()

    def fail(self, error: BaseException) -> None:
        """Nothing becomes durable any more: whoever waits, now or later, gets the error."""
        with self._changed:
            self._failure = self._failure or error
            self._changed.notify_all()

    def answers(self, session_id: str, task_id: str) -> int:
        """Return how often a task was answered in this start."""
        return self._answers[session_id, task_id]

    def wait_for_answer(
        self, session_id: str, task_id: str, before: int, timeout_seconds: float
    ) -> bool:
        """Wait until a task was answered more than `before` times; False: it was not in time.

        Raises the error that `fail` was told, if it was not answered before.
        """

        def answered() -> bool:
            return self.answers(session_id, task_id) > before

        with self._changed:
            self._changed.wait_for(lambda: answered() or self._failure, timeout_seconds)
            if self._failure is not None and not answered():
                raise self._failure
            return answered()

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
