"""Looking at sessions again and again: of each only what has changed since is read."""

from collections.abc import Collection
from typing import Final, NamedTuple

from maestro_storage import Records
from maestro_storage.records import SessionRecord, TaskRecord

MINUTE_MS: Final = 60_000

SHARE_REREAD: Final = 0.02
"""Of its tasks, above which all are read at once: a page costs less than that many requests."""

_OF_ONE_TASK: Final = frozenset(
    {
        "attempt_started",
        "attempt_succeeded",
        "attempt_failed",
        "attempt_interrupted",
        "call_cut",
        "task_done",
        "task_waiting",
        "ticket_filed",
        "ticket_delayed",
        "budget_alert",
        "alert_delayed",
        "breaker_opened",
        "breaker_probed",
        "breaker_closed",
    }
)
"""Events whose transition has changed no task but their own; any other may have changed all."""


class Sight(NamedTuple):
    """What is seen of a session."""

    tasks: Collection[TaskRecord]
    tokens_per_minute: int
    """Of the calls that ended in the last minute."""


class Lookout:
    """Remembers what it has seen. One thread."""

    def __init__(self) -> None:
        self._seen: dict[str, _Seen] = {}

    def sight(self, store: Records, session: SessionRecord, now_ms: int) -> Sight:
        """Look at a session that has not ended."""
        seen = self._seen.get(session.session_id)
        if seen is None or seen.created_ms != session.created_ms:
            seen = self._seen[session.session_id] = _Seen(session)
        seen.look(store, now_ms)
        return Sight(seen.tasks.values(), sum(seen.ended.values()))

    def forget_others(self, session_ids: Collection[str]) -> None:
        """Forget all sessions but these."""
        self._seen = {name: seen for name, seen in self._seen.items() if name in session_ids}


class _Seen:
    """A session as it was at the last look."""

    def __init__(self, session: SessionRecord) -> None:
        self.session_id: Final = session.session_id
        self.created_ms: Final = session.created_ms
        """Another one may have its name."""
        self.tasks: dict[str, TaskRecord] = {}
        self.ended: dict[tuple[str, int], int] = {}
        """Tokens of the calls that have ended within a minute, by task and instant."""
        self._sequence = 0

    def look(self, store: Records, now_ms: int) -> None:
        """Read what has changed."""
        if not self._sequence:
            # Counted before the rest is read, which may be newer then, but never older.
            self._sequence = store.events.count(self.session_id)
            self._read_tasks(store)
            for call in store.calls.scan(self.session_id):
                if call.closed_ms is not None:
                    tokens = call.input_tokens + call.output_tokens
                    self.ended[call.task_id, call.closed_ms] = tokens
        else:
            self._catch_up(store)
        begin_ms = now_ms - MINUTE_MS
        self.ended = {key: tokens for key, tokens in self.ended.items() if key[1] > begin_ms}

    def _catch_up(self, store: Records) -> None:
        events = list(store.events.scan(self.session_id, after=self._sequence))
        if not events:
            return
        self._sequence = events[-1].sequence
        for event in events:
            # Of the call that ended with it, which the first look may have seen already.
            if event.kind.startswith("attempt_") and "tokens" in event.data:
                self.ended[event.task_id, event.at_ms] = int(event.data["tokens"] or 0)
        changed = {event.task_id for event in events if event.task_id}
        is_plain = all(event.kind in _OF_ONE_TASK for event in events)
        if not is_plain or len(changed) > len(self.tasks) * SHARE_REREAD:
            self._read_tasks(store)
            return
        for task_id in changed:
            task = store.tasks.get(self.session_id, task_id)
            if task is not None:
                self.tasks[task_id] = task

    def _read_tasks(self, store: Records) -> None:
        self.tasks = {task.task_id: task for task in store.tasks.scan(self.session_id)}
