"""The verbs of a runtime that are about its books: what was used, and what may be."""

from maestro_actors.messages import CorrectCall, ToppedUp
from maestro_runtime.receipts import answer_in, carried_out, receipt_of
from maestro_runtime.top_up import TopUpOrder, books_order, planned
from maestro_runtime.verbs._foundation import DURABLE_SECONDS, Foundation


class BookVerbs:
    """Corrections, and budgets that are raised."""

    def __init__(self, base: Foundation) -> None:
        self._base = base

    def correct(self, order: CorrectCall) -> None:
        """Book what a closed call has really used; durable on return. Not from a listener.

        The same correction of the same call again changes nothing. Raises as
        `maestro_runtime.at_rest.correction.correct`, but for the price table.
        """
        self._base.store.require_session(order.session_id)
        self._base.accountant.correct(order).get(timeout=DURABLE_SECONDS)
        self._base.store.journal.settle(DURABLE_SECONDS)

    def top_up(self, order: TopUpOrder, *, request_id: bytes = b"") -> ToppedUp:
        """Raise a limit in its running window; durable on return, with all that follows from it.

        As `maestro_runtime.at_rest.top_up.top_up`, but tasks of a session that runs are tried again
        at once, and calls that wait for the budget go on. With the `request_id` of a top-up that
        was done, nothing is, and its answer is given again. Not from a listener.

        Raises:
            RequestIdInvalid: As `retry`.
            BudgetInvalid, NotFound, BudgetAmbiguous, StorageError: As there.
            pykka.Timeout: It was not durable within 30 seconds; it still may become so.
        """
        receipt = receipt_of(request_id, "top-up")
        # An answer to one of the tasks must not come in between.
        with self._base.starting:
            if row := carried_out(self._base.store, receipt):
                return answer_in(row, ToppedUp)
            now_ms = self._base.now_ms()
            plan = planned(self._base.store, order, now_ms, self._base.running.is_running)
            done = self._base.accountant.top_up(books_order(plan, now_ms, receipt))
            topped_up: ToppedUp = done.get(timeout=DURABLE_SECONDS)
            self._base.store.journal.settle(DURABLE_SECONDS)
            return topped_up
