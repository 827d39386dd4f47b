"""The verbs of a runtime that are about people: their answers, and the tickets they get."""

from typing import Final

import pykka

from maestro_actors.answer import Answer
from maestro_actors.kernel import ActorSystem
from maestro_runtime._help_watch import HelpWatch
from maestro_runtime._openings import Openings
from maestro_runtime.proxies import Proxies
from maestro_runtime.receipts import carried_out, receipt_of
from maestro_storage import Store
from maestro_storage.records import OutboxRecord

ANSWER_SECONDS: Final = 30.0
"""Longest wait for an answer to become durable."""


class HelpVerbs(Proxies):
    """Answers of people, and tickets to them."""

    store: Store
    system: ActorSystem
    _help: HelpWatch
    _starting: Openings

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
        with self._starting:
            if carried_out(self.store, receipt):
                return
            self.store.require_session(session_id)
            before = self._help.answers(session_id, task_id)
            taken = self.help_desk.answer(session_id, task_id, answer, receipt)
            taken.get(timeout=ANSWER_SECONDS)
            if not self._help.wait_for_answer(session_id, task_id, before, ANSWER_SECONDS):
                raise pykka.Timeout(f"the answer was not durable after {ANSWER_SECONDS:g} s")

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
            return [row for row in self.store.outbox.scan(session_id) if row.state != "done"]

        return self._help.settle(unsent, self.system.clock.now_ms, timeout_seconds)
