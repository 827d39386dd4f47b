"""The verbs of a runtime that are about its books: what was used, and what may be."""

from typing import Final

from maestro_actors.messages import CorrectCall, TopUp
from maestro_actors.proxy import LocalChannel
from maestro_actors.token_accountant import AccountantProxy
from maestro_storage import Store

BOOKED_SECONDS: Final = 30.0
"""Longest wait for an entry to become durable."""


class BookVerbs:
    """The accountant, corrections, and budgets that are raised."""

    store: Store
    _channel: LocalChannel

    @property
    def accountant(self) -> AccountantProxy:
        """The token accountant."""
        return AccountantProxy(self._channel)

    def correct(self, order: CorrectCall) -> None:
        """Book what a closed call has really used; durable on return. Not from a listener.

        The same correction of the same call again changes nothing. Raises as
        `maestro_runtime.correction.correct`, but for the price table.
        """
        self.store.require_session(order.session_id)
        self.accountant.correct(order).get(timeout=BOOKED_SECONDS)
        self.store.journal.settle(BOOKED_SECONDS)

    def top_up(self, order: TopUp) -> None:
        """Raise the limit of a budget in its running window; durable on return.

        Calls that wait for it go on. Not from a listener. While no runtime is open, see
        `maestro_runtime.top_up`.

        Raises:
            NotFound: There is no such session.
            SessionQuarantined: A record of the session is damaged.
            BudgetInvalid: The amount is below 1.
            LedgerConflict: The budget does not count this caller.
        """
        session_id = order.caller.session_id
        self.store.require_session(session_id)
        self.accountant.top_up(
            order.budget, order.caller, order.amount, reason=order.reason, at_ms=order.at_ms
        )
        # Answered after the top-up was handled, because the accountant keeps the order.
        self.accountant.usage(session_id).get(timeout=BOOKED_SECONDS)
        self.store.journal.settle(BOOKED_SECONDS)
