"""The part of a runtime by which an operator governs it, live."""

import threading
from pathlib import Path

from maestro_runtime.policy import RuntimePolicy, differences
from maestro_runtime.prices import own_prices
from maestro_runtime.verbs._foundation import DURABLE_SECONDS, Foundation


class Governance:
    """Holds the policy in force."""

    def __init__(self, base: Foundation, state_dir: Path, policy: RuntimePolicy) -> None:
        """Hand the policy to those who keep it; nothing of a session has begun yet."""
        self._base = base
        self._state_dir = state_dir
        self._policy = policy
        self._governing = threading.Lock()
        base.running.queue.govern(policy.sessions_running, policy.sessions_queued)
        base.accountant.govern(policy.calls, policy.budgets)

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
            models = self._base.ports.prices.replace(table, self._base.now_ms())
            self._base.accountant.govern(policy.calls, policy.budgets).get(timeout=DURABLE_SECONDS)
            self._base.running.queue.govern(policy.sessions_running, policy.sessions_queued)
            self._policy = policy
        return (*changes, f"prices: {models} model(s) have changed") if models else changes
