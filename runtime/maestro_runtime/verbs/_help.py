"""The verbs of a runtime that are about people: their answers, and the tickets they get."""

import pykka

from maestro_actors.help.answer import Answer
from maestro_runtime.receipts import carried_out, receipt_of
from maestro_runtime.running.help_watch import HelpWatch
from maestro_runtime.verbs._foundation import DURABLE_SECONDS, Foundation
from maestro_storage.records import OutboxRecord


class HelpVerbs:
    """Answers of people, and tickets to them."""

    def __init__(self, base: Foundation, watch: HelpWatch) -> None:
        self._base = base
        self._watch = watch

    def answer(
        self, session_id: str, task_id: str, answer: Answer, *, request_id: bytes = b""
    ) -> None:
        """Answer a task that needs help; durable on return.

        A session that still runs takes it up at once; one that has stopped for want of an answer
        goes on when it is resumed. With the `request_id` of an answer that was given, nothing is
        done. Not from a listener.

        Raises:
            RequestIdInvalid: As `retry`.
            NotFound: There is no such task.
            HelpNotAwaited: The task does not wait for a person.
            AnswerInvalid: The answer breaks a rule.
            SessionQuarantined: A record of the session is damaged.
            pykka.Timeout: It was not durable within 30 seconds; it still may become so.
            StorageError, ActorFailed: The store or an actor was lost before it was.
        """
        receipt = receipt_of(request_id, "answer")
        # Both an answer and a verb may write the record of a session that nobody runs.
        with self._base.starting:
            if carried_out(self._base.store, receipt):
                return
            self._base.store.require_session(session_id)
            with self._watch.expecting(session_id, task_id) as answered:
                taken = self._base.help_desk.answer(session_id, task_id, answer, receipt)
                taken.get(timeout=DURABLE_SECONDS)
                if not answered(DURABLE_SECONDS):
                    raise pykka.Timeout(f"the answer was not durable after {DURABLE_SECONDS:g} s")

    def settle_tickets(self, session_id: str, timeout_seconds: float) -> bool:
        """Wait until all tickets and alerts of a session are delivered, or have to wait for longer.

        Args:
            session_id: The session; it exists.
            timeout_seconds: Longest wait.

        Returns:
            Whether all were delivered. The others are tried again while the runtime is open, and
            at each later start.

        Raises:
            StorageError, ActorFailed: The store or an actor was lost before they were.
        """

        def unsent() -> list[OutboxRecord]:
            return [row for row in self._base.store.outbox.scan(session_id) if row.state != "done"]

        return self._watch.settle(unsent, self._base.now_ms, timeout_seconds)
