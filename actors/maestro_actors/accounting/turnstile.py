"""The throttle at work in the accountant's turn: who has to wait is told, and woken in its turn."""

from collections.abc import Iterable
from typing import Final

from maestro_actors.accounting.throttle import Applicant, Recent, Throttle
from maestro_actors.identity import ACCOUNTANT_ADDRESS
from maestro_actors.limits import CallLimits
from maestro_actors.messages import CallParked, LimitFreed, OpenCall, ThrottleDue
from maestro_actors.ports import Ports
from maestro_actors.proxy import encoded
from maestro_storage.records import CallRecord

_FREED: Final = encoded(LimitFreed())
_DUE: Final = encoded(ThrottleDue())
_TIMER: Final = f"{ACCOUNTANT_ADDRESS}/throttle"


class Turnstile:
    """Asked about each call as soon as there was a limit; none is there before."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._throttle = Throttle(lambda address: ports.system.ref(address) is not None)

    def govern(self, limits: CallLimits, open_calls: Iterable[CallRecord]) -> None:
        """Follow other limits, and wake those that they let through."""

        def recent_calls(since_ms: int) -> Iterable[Recent]:
            return map(_recent, self._ports.memory.calls_since(since_ms))

        now_ms = self._ports.now_ms()
        self._throttle.govern(limits, map(_recent, open_calls), recent_calls, now_ms)
        self.wake()

    def admits(self, order: OpenCall) -> bool:
        """Whether a call may begin; else it is told what it waits for.

        One that may has to `begin`, or `wake` has to be called.
        """
        applicant = Applicant(
            order.reply_to, order.caller.engine, order.caller.persona_id, order.need_tokens
        )
        blocked = self._throttle.admit(applicant, order.at_ms, order.priority)
        if blocked is None:
            return True
        parked = CallParked(
            call_id=order.call_id, retry_at_ms=blocked.until_ms, limit=blocked.limit
        )
        self._ports.system.deliver(order.reply_to, encoded(parked))
        self.wake()
        return False

    def begin(self, order: OpenCall, tokens: int) -> None:
        """Count a call that begins, with what is reserved for it."""
        self._throttle.begin(
            order.call_id,
            order.caller.engine,
            order.caller.persona_id,
            tokens=tokens,
            at_ms=order.at_ms,
        )

    def end(self, call: CallRecord) -> None:
        """Count a call that has ended."""
        self._throttle.end(call.call_id, call.requests, call.input_tokens + call.output_tokens)
        self.wake()

    def leave(self, address: str) -> None:
        """Forget somebody who does not want to call any more."""
        if self._throttle.leave(address) is not None:
            self.wake()

    def due(self) -> None:
        """Look again: a minute has moved, or somebody has had the time to ask."""
        self._throttle.lapse(self._ports.now_ms())
        self.wake()

    def wake(self) -> None:
        """Tell those that may ask now, and set the timer for the others."""
        if not self._throttle.is_waited_for:
            return
        now_ms = self._ports.now_ms()
        for address in self._throttle.wake(now_ms):
            self._ports.system.deliver(address, _FREED)
        due_ms = self._throttle.due_ms(now_ms)
        if due_ms is not None:
            self._ports.system.timers.at(_TIMER, due_ms, ACCOUNTANT_ADDRESS, _DUE)


def _recent(call: CallRecord) -> Recent:
    is_open = call.state == "open"
    return Recent(
        call_id=call.call_id,
        engine=call.engine,
        persona_id=call.persona_id,
        opened_ms=call.opened_ms,
        requests=1 if is_open else call.requests,
        tokens=call.reserved_tokens if is_open else call.input_tokens + call.output_tokens,
    )
