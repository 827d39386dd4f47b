"""What is durable, as the actors read it when they start."""

from maestro_actors.checks import CheckResult, decode_checked
from maestro_actors.ledger.rows import CounterRow, persona_of
from maestro_storage import Store
from maestro_storage.bookings import CounterKey
from maestro_storage.errors import NotFound
from maestro_storage.records import (
    AttemptRecord,
    BreakerRecord,
    CallRecord,
    CheckpointRecord,
    OutboxRecord,
    SessionRecord,
    TaskRecord,
)


class StoreMemory:
    """The `Memory` port over the repositories of a store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def session(self, session_id: str) -> SessionRecord:
        """Return the session; NotFound or SessionQuarantined if it cannot be had."""
        return self._store.require_session(session_id)

    def tasks(self, session_id: str) -> list[TaskRecord]:
        """Return all tasks of the session, by task id."""
        return list(self._store.tasks.scan(session_id))

    def task(self, session_id: str, task_id: str) -> TaskRecord:
        """Return one task; NotFound if there is none."""
        record = self._store.tasks.get(session_id, task_id)
        if record is None:
            raise NotFound("task", f"{session_id}/{task_id}")
        return record

    def known_checks(self, record: TaskRecord) -> tuple[CheckResult, ...]:
        """Return the results of the task's last attempt that was checked."""
        if record.checks is None:
            return ()
        return decode_checked(self._store.payloads.require(record.checks)).results

    def call(self, session_id: str, call_id: bytes) -> CallRecord | None:
        """Return one row of the ledger."""
        return self._store.calls.get(session_id, call_id)

    def calls_since(self, at_ms: int) -> list[CallRecord]:
        """Return the calls of all sessions that were opened at an instant or later."""
        return [
            call
            for session in self._store.sessions.scan()
            if session.finished_ms is None or session.finished_ms >= at_ms
            for call in self._store.calls.scan(session.session_id)
            if call.opened_ms >= at_ms
        ]

    def counter(self, key: CounterKey) -> CounterRow | None:
        """Return the row of a counter, or None before its first call."""
        if persona_id := persona_of(key):
            return self._store.budgets.get(key.session_id, persona_id)
        return self._store.counters.get(*key)

    def counted_until_ms(self) -> int:
        """Return when a counter that belongs to no session changed last, 0 if there is none."""
        return max((row.updated_ms for row in self._store.counters.scan("")), default=0)

    def breaker(self, engine: str) -> BreakerRecord | None:
        """Return the breaker of an engine, or None if it never moved."""
        return self._store.breakers.get(engine)

    def checkpoints(self, session_id: str) -> list[CheckpointRecord]:
        """Return the checkpoints of the session, oldest first."""
        return list(self._store.checkpoints.scan(session_id))

    def attempts(self, session_id: str, task_id: str) -> list[AttemptRecord]:
        """Return all attempts of a task, oldest first."""
        return list(self._store.attempts.scan(session_id, task_id))

    def unsent(self) -> list[OutboxRecord]:
        """Return the rows of the outbox that are not done, of all sessions, oldest first."""
        rows = [row for row in self._store.outbox.scan() if row.state != "done"]
        return sorted(rows, key=_age)

    def outbox(self, session_id: str) -> list[OutboxRecord]:
        """Return the outbox rows of a session, oldest first."""
        return sorted(self._store.outbox.scan(session_id), key=_age)

    def payload(self, digest: bytes) -> bytes:
        """Return a payload; NotFound if there is none."""
        return self._store.payloads.require(digest)


def _age(row: OutboxRecord) -> tuple[int, int, str]:
    # The length, because an id ends with a count: the tenth comes after the ninth.
    return (row.created_ms, len(row.outbox_id), row.outbox_id)
