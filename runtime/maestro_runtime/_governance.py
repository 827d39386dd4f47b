"""The part of a runtime by which an operator governs it, live."""

import threading
from pathlib import Path

from maestro_actors.kernel import ActorSystem
from maestro_actors.ledger.prices import PriceBook
from maestro_runtime.policy import RuntimePolicy, differences
from maestro_runtime.prices import own_prices


class Governance:
    """Holds the policy in force."""

    system: ActorSystem

    def _begin_to_govern(self, state_dir: Path, policy: RuntimePolicy, prices: PriceBook) -> None:
        self._state_dir = state_dir
        self._policy = policy
        self._prices = prices
        self._governing = threading.Lock()

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
        """
        with self._governing:
            table = own_prices(self._state_dir, policy.prices)
            changes = differences(self._policy, policy)
            models = self._prices.replace(table, self.system.clock.now_ms())
            self._policy = policy
        return (*changes, f"prices: {models} model(s) have changed") if models else changes
