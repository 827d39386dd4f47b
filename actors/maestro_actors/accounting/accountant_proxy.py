"""How the rest of the program talks to the token accountant."""

import pykka

from maestro_actors.identity import ACCOUNTANT_ADDRESS
from maestro_actors.ledger.budget import Budget
from maestro_actors.limits import CallLimits
from maestro_actors.messages import (
    AppendDraft,
    CallCorrected,
    CallsGoverned,
    CloseCall,
    CorrectCall,
    ForgetSession,
    GetUsage,
    GovernCalls,
    OpenCall,
    RaiseBudget,
    RecordProcess,
    ReturnRoom,
    ToppedUp,
    TopUp,
)
from maestro_actors.proxy import Channel, Proxy, asks
from maestro_storage.transition import Transition


class AccountantProxy(Proxy):
    """Typed access to the token accountant."""

    def __init__(self, channel: Channel) -> None:
        super().__init__(channel, ACCOUNTANT_ADDRESS)

    def open_call(self, order: OpenCall) -> None:
        """Reserve; the answer goes to `order.reply_to`."""
        self._tell(order)

    def close_call(self, order: CloseCall) -> None:
        """Book the usage and commit the draft."""
        self._tell(order)

    def record_process(self, order: RecordProcess) -> None:
        """Write the engine's process into the row of its call."""
        self._tell(order)

    def top_up(self, order: TopUp) -> pykka.Future[ToppedUp]:
        """Raise a limit and commit the draft of what follows; not durable yet when answered.

        Raises, through the future:
            LedgerConflict: The budget does not count this caller.
        """
        return self._ask(order, ToppedUp)

    def correct(self, order: CorrectCall) -> pykka.Future[CallCorrected]:
        """Book what a closed call has really used; not durable yet when this is answered.

        Raises, through the future:
            NotFound: There is no such call.
            UsageInvalid: The figures cannot be.
            LedgerConflict: The call is open, or another correction has this id.
        """
        return self._ask(order, CallCorrected)

    def return_room(self, address: str) -> None:
        """Say that a call that was woken for room cannot be made now, or waits no more."""
        self._tell(ReturnRoom(address=address))

    def govern(
        self, limits: CallLimits, budgets: tuple[Budget, ...]
    ) -> pykka.Future[CallsGoverned]:
        """Follow other limits and budgets of the whole runtime; in force when this is answered."""
        return self._ask(GovernCalls(limits=limits, budgets=budgets), CallsGoverned)

    def append(self, draft: Transition) -> None:
        """Make a draft durable after all that was sent to this proxy before."""
        self._tell(AppendDraft(draft=draft))

    def raise_budget(self, order: RaiseBudget) -> None:
        """Add the tokens that an answer grants and commit the draft."""
        self._tell(order)

    def forget_session(self, session_id: str) -> None:
        """Drop a finished session from memory."""
        self._tell(ForgetSession(session_id=session_id))

    usage = asks(GetUsage)
