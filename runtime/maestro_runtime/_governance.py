"""The part of a runtime by which an operator governs it, live."""

import threading
from pathlib import Path
from typing import Final

from maestro_actors.accountant_proxy import AccountantProxy
from maestro_actors.kernel import ActorSystem
from maestro_actors.ledger.prices import PriceBook
from maestro_runtime._running import RunningSessions
from maestro_runtime.policy import RuntimePolicy, differences
from maestro_runtime.prices import own_prices

GOVERNED_SECONDS: Final = 30.0
"""Longest wait for a policy to be in force."""


class Governance:
    """Holds the policy in force."""

    system: ActorSystem
    _running: RunningSessions

    @property
    def accountant(self) -> AccountantProxy:
        """The token accountant."""
        raise NotImplementedError  # the runtime answers

    def _begin_to_govern(self, state_dir: Path, policy: RuntimePolicy, prices: PriceBook) -> None:
        self._state_dir = state_dir
        self._policy = policy
        self._prices = prices
        self._governing = threading.Lock()

    def _govern_at_start(self) -> None:
        """Hand the policy to who keeps it, before anything of a session."""
        self._running.queue.govern(self._policy.sessions_running, self._policy.sessions_queued)
        self.accountant.govern(self._policy.calls, self._policy.budgets)

    @property
    def policy(self) -> RuntimePolicy:
        """The policy in force."""
        return self._policy

    def govern(self, policy: RuntimePolicy) -> tuple[str, ...]:
        """Have another policy in force, all of it or nothing; the price table is read again.

        Sessions go on: what is in flight stays, what begins from now on follows the new policy. A
        policy is not durable: each start is given one. Any thread, but not from a listener.

        Returns:
            What has changed, in words; nothing if it is the same.

        Raises:
            PriceTableInvalid, OSError: The price table cannot be used; nothing has changed.
            pykka.Timeout: The actors have not followed within 30 seconds; they still may.
            pykka.ActorDeadError: The runtime has stopped.
        """
        with self._governing:
            table = own_prices(self._state_dir, policy.prices)
            changes = differences(self._policy, policy)
            models = self._prices.replace(table, self.system.clock.now_ms())
            self.accountant.govern(policy.calls, policy.budgets).get(timeout=GOVERNED_SECONDS)
            self._running.queue.govern(policy.sessions_running, policy.sessions_queued)
            self._policy = policy
        return (*changes, f"prices: {models} model(s) have changed") if models else changes
